"""What all operations of one engine run share in this process: connections, listings, intents, accounts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamic_providers.accounts import open_account, read_config
from dynamic_providers.host import fence
from dynamic_providers.host.call import Call, current_call, progress
from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.ending import Ender
from gpu_clouds.errors import (
    AuthError,
    BillingError,
    CancelledError,
    GpuCloudError,
    PermissionRefusedError,
    RetiredError,
    ValidationError,
)
from gpu_clouds.intents import IntentLog
from gpu_clouds.marker import DECLARED, stack_prefix
from gpu_clouds.models import AccountStatus
from gpu_clouds.provisioning import Provisioner
from gpu_clouds.registry import clock_from_environment, connect
from gpu_clouds.run import Run
from stack_config import CredentialSource, Settings
from stack_config.errors import nearest

SHOWN_NOTES = 50
"""Notes of nodes that stay on the screen; a fleet that fails over together would fill it otherwise."""

_BAD_ACCOUNT = (AuthError, BillingError, PermissionRefusedError, RetiredError, ValidationError)


@dataclass(frozen=True, slots=True)
class Account:
    """What one authenticated read of a credential set told.

    Attributes:
        status: Balance and limits, where the cloud shows them; None where it could not be read.
        problem: Why this account can't be used; empty if it can.
    """

    status: AccountStatus | None = None
    problem: str = ""


@dataclass(slots=True)
class _Kept:
    """One value that is made once, whoever asks first."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    cloud: GpuCloud | None = None
    account: Account | None = None


class Shared:
    """The clouds of one stack in this process.

    Args:
        sources: Credential sets of the stack file, by name.
        settings: Numbers that hold for the whole stack.
        stack_id: `gpuplane:stackId`; empty where the configuration has none.
        clock: Tells the time; by default the machine's at `GPUPLANE_TIME_SCALE`.
        open_cloud: Connects an account; tests put in their own.
    """

    def __init__(
        self,
        sources: Mapping[str, CredentialSource],
        settings: Settings,
        stack_id: str = "",
        clock: Clock | None = None,
        open_cloud: Callable[[str, CredentialSource, Clock], GpuCloud] | None = None,
    ) -> None:
        self.settings = settings
        self.stack_id = stack_id
        self.clock: Clock = clock or clock_from_environment()
        self.run = Run(self.clock)
        self._sources = sources
        self._open = open_cloud or _connect
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._intents: dict[str, IntentLog] = {}
        self._new_stacks: set[str] = set()
        self._notes = 0

    def source(self, name: str, cloud: str = "") -> CredentialSource:
        """What the stack file says of a credential set.

        Args:
            name: Its name.
            cloud: The cloud that it should be of; empty for any.

        Raises:
            ValidationError: There is none of this name and cloud; the message has the nearest.
        """
        found = self._sources.get(name)
        if found is not None and cloud in ("", found.cloud):
            return found
        fitting = [each for each, source in self._sources.items() if cloud in ("", source.cloud)]
        near = nearest(name, fitting)
        guess = f"did you mean {near!r}? " if near and near != name else ""
        of = f" of {cloud}" if cloud else ""
        declared = ", ".join(sorted(fitting)) or "none"
        raise ValidationError(f"no credential set {name!r}{of}; {guess}declared: {declared}")

    def cloud(self, name: str) -> GpuCloud:
        """The connected cloud of a credential set; connects at its first use.

        Raises:
            ValidationError: No such set, no key, or the emulator does not run.
        """
        source = self.source(name)
        kept = self._kept_of(name)
        with kept.lock:
            if kept.cloud is None:
                kept.cloud = self._open(name, source, self.clock)
            return kept.cloud

    def clouds(self, names: Iterable[str]) -> dict[str, GpuCloud]:
        """The connected clouds of several credential sets, by name."""
        return {name: self.cloud(name) for name in dict.fromkeys(names)}

    def names(self) -> tuple[str, ...]:
        """Names of all credential sets."""
        return tuple(self._sources)

    def account(self, name: str) -> Account:
        """One authenticated read of a credential set, once for each run of the engine."""
        kept = self._kept_of(name)
        with kept.lock:
            known = kept.account
        if known is None:
            try:
                cloud = self.cloud(name)
            except ValidationError as error:
                known = Account(problem=error.message)
            else:
                # Two that ask at once read once.
                with kept.lock:
                    known = kept.account or self._read_account(name, cloud)
                    kept.account = known
        return known

    def _read_account(self, name: str, cloud: GpuCloud) -> Account:
        try:
            return Account(cloud.account())
        except CancelledError:
            raise
        except _BAD_ACCOUNT as error:
            text = f"credential set {name!r} of {cloud.name} can't be used ({error.kind}): {error.message}"
            return Account(problem=text)
        except GpuCloudError as error:
            progress(
                f"credential set {name!r} of {cloud.name} could not be checked now ({error.kind}): "
                f"{error.message}",
                keep=True,
            )
            return Account()

    def intents(self, stack_id: str) -> IntentLog:
        """The write-ahead intents of a stack."""
        with self._lock:
            if stack_id not in self._intents:
                self._intents[stack_id] = IntentLog(stack_id, None, self.clock)
            return self._intents[stack_id]

    def mark_new(self, stack_id: str) -> None:
        """Remembers that this run has made the stack's LeakGuard: nobody else can have made its nodes."""
        with self._lock:
            self._new_stacks.add(stack_id)
        self.run.mark_new(stack_prefix(DECLARED, stack_id))

    def is_new(self, stack_id: str) -> bool:
        """Whether this run has made the stack's LeakGuard."""
        with self._lock:
            return stack_id in self._new_stacks

    def provisioner(self, call: Call, stack_id: str, names: Iterable[str]) -> Provisioner:
        """Brings up nodes of a stack for one operation, in the accounts named."""
        return Provisioner(
            self.clouds(names),
            self.intents(stack_id),
            self.clock,
            call.cancel,
            lambda text: progress(text, call=call),
            fence.check,
            run=self.run,
        )

    def ender(self, call: Call) -> Ender:
        """Ends nodes for one operation."""
        return Ender(
            self.clock, call.cancel, lambda text: progress(text, call=call), fence.check, run=self.run
        )

    def note(self, text: str) -> None:
        """Tells what the user should hear of a node; after `SHOWN_NOTES` of them only in passing."""
        with self._lock:
            self._notes += 1
            count = self._notes
        progress(text, keep=count <= SHOWN_NOTES)
        if count == SHOWN_NOTES:
            progress("… further notes are shown in passing only", keep=True)

    def _kept_of(self, name: str) -> _Kept:
        with self._lock:
            return self._kept.setdefault(name, _Kept())


def _connect(name: str, source: CredentialSource, clock: Clock) -> GpuCloud:
    return connect(
        open_account(name, source), clock=clock, cancel=current_call().cancel, may_send=fence.check
    )


_shared: dict[str, Shared] = {}
_shared_lock = threading.Lock()


def shared_for(config: Any) -> Shared:
    """The shared part for a configuration; the same object for every provider of this process.

    Args:
        config: `ConfigureRequest.config`.

    Raises:
        ValidationError: The configuration breaks a rule.
    """
    names = ("credentials", "settings", "stackId")
    key = json.dumps([config.get(name) for name in names], sort_keys=True, default=str)
    with _shared_lock:
        if key not in _shared:
            sources, settings = read_config(config.get)
            _shared[key] = Shared(sources, settings, str(config.get("stackId") or ""))
        return _shared[key]
