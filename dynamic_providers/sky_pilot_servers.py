"""Which SkyPilot API server a resource is on, and the connection to it.

A server that exists already is a credential set of cloud `skypilot`: its token is read when the provider is
configured. A server that the same run makes is named by its address and token, which flow from its outputs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

import pulumi
from pulumi.dynamic import CheckFailure, CheckResult, ReadResult
from pydantic import Field

from dynamic_providers.base import Inputs, Parsed, Provider, checked, inputs_in, own_props
from dynamic_providers.clouds import Shared
from dynamic_providers.host import fence
from dynamic_providers.host.call import current_call, progress
from dynamic_providers.host.secrets import conceal
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.errors import (
    AuthError,
    CancelledError,
    CircuitOpenError,
    GpuCloudError,
    PermissionRefusedError,
    RetiredError,
    TransientError,
    ValidationError,
)
from gpu_clouds.registry import connect
from gpu_clouds.single_flight import SingleFlight
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.cloud import Seen, SkyPilotCloud
from gpu_clouds.skypilot.connection import SkyPilotConnection
from gpu_clouds.skypilot.errors import CLOUD, cloud_errors
from gpu_clouds.skypilot.health import HealthCheck

_FOR_GOOD = (AuthError, PermissionRefusedError, RetiredError, ValidationError)

_LOOKED_S = 3.0
"""A refresh of many clusters asks the server for all of them at once."""

SERVER = frozenset({"credentials", "endpoint", "user", "token", "caFile", "allowInsecure"})
"""Inputs that say which server; another value may be the same server."""


class ServerInputs(Inputs):
    """Which SkyPilot API server.

    Attributes:
        credentials: Name of a credential set of cloud `skypilot`.
        endpoint: Base URL of a server that this run makes; instead of `credentials`.
        token: Service-account token for that server, or the password of `user`; empty where it asks for none.
            Secret.
        user: User name, where the server takes one with a password.
        ca_file: File with the certificates to trust instead of the system's.
        allow_insecure: Accept plain http to another machine, where anybody on the way can read.
    """

    credentials: str = ""
    endpoint: str = ""
    token: str = Field(default="", repr=False)
    user: str = ""
    ca_file: str = ""
    allow_insecure: bool = False

    def server(self) -> ServerInputs:
        """This part alone."""
        return ServerInputs(**{name: getattr(self, name) for name in ServerInputs.model_fields})

    @property
    def server_name(self) -> str:
        """What stands for the server where a credential set has its name."""
        return self.credentials or self.endpoint


class Trouble(Enum):
    """Whether a server can be asked: it can; not now, which is told; or it does not accept us."""

    NONE = 0
    NOT_NOW = 1
    REFUSED = 2


ServerModel = TypeVar("ServerModel", bound=ServerInputs)


def server_rules(inputs: ServerInputs, unknown: frozenset[str], shared: Shared) -> Iterator[CheckFailure]:
    """What is wrong with the naming of the server; needs no network.

    Args:
        inputs: The inputs; unknown ones have their default.
        unknown: Names of those.
        shared: Knows the credential sets.
    """
    if {"credentials", "endpoint"} & unknown:
        return
    if bool(inputs.credentials) == bool(inputs.endpoint):
        has = (
            "give credentials or endpoint, not both" if inputs.endpoint else "give credentials or an endpoint"
        )
        yield CheckFailure("credentials", has)
        return
    try:
        if inputs.credentials:
            shared.source(inputs.credentials, CLOUD)
            if inputs.token or inputs.user:
                yield CheckFailure("token", "belongs to an endpoint; a credential set has its own key")
        else:
            SkyPilotConnection(inputs.endpoint, ca_file=inputs.ca_file, allow_insecure=inputs.allow_insecure)
    except ValidationError as error:
        yield CheckFailure("credentials" if inputs.credentials else "endpoint", error.message)


class SkyPilotProvider(Provider):
    """Base of the providers of what is on a SkyPilot API server."""

    secret_outputs: frozenset[str] = frozenset({"token"})

    @classmethod
    def of(cls, shared: Shared) -> Self:
        """A provider outside of an engine run, for a command that asks what it would answer there.

        Args:
            shared: The stack's clouds.
        """
        made = cls()
        made._shared = shared
        return made

    def cloud(self, server: ServerInputs, workspace: str = "") -> SkyPilotCloud:
        """The connected server; connects at its first use.

        Args:
            server: The server.
            workspace: The workspace that calls are for; empty for that of the credential set.

        Raises:
            ValidationError: The credential set is unknown or of another cloud, or the address is not
                acceptable.
        """
        key = (server.server(), workspace)
        with _lock:
            known = _opened.setdefault(self.shared, {})
            if key not in known:
                found = self._named(server) if server.credentials else self._given(server)
                known[key] = _inside(found, workspace) if workspace else found
            return known[key]

    def _named(self, server: ServerInputs) -> SkyPilotCloud:
        self.shared.source(server.credentials, CLOUD)
        return _skypilot(self.shared.cloud(server.credentials))

    def _given(self, server: ServerInputs) -> SkyPilotCloud:
        conceal([server.token])
        account = CredentialSet(
            server.server_name,
            CLOUD,
            server.token,
            server.endpoint,
            user=server.user,
            ca_file=server.ca_file,
            allow_insecure=server.allow_insecure,
        )
        return _skypilot(
            connect(
                account,
                clock=self.shared.clock,
                cancel=current_call().cancel,
                may_send=fence.check,
            )
        )

    def look_all(self, cloud: SkyPilotCloud, prefix: str) -> dict[str, Seen]:
        """Every cluster whose name starts with the prefix; asked once for all that ask at the same time."""
        with _lock:
            flight = _looks.setdefault(self.shared, SingleFlight(_LOOKED_S, self.shared.clock))
        return flight.get((cloud.credentials, prefix), lambda: cloud.look_all(prefix))

    def client(self, server: ServerInputs) -> SkyPilotClient:
        """The calls of the server."""
        return self.cloud(server).client

    def trouble(self, server: ServerInputs, unknown: frozenset[str], what: str) -> Trouble:
        """Whether the server can be asked now; says so where it can not. For `check`.

        Args:
            server: The server; unknown parts have their default.
            unknown: Names of inputs that are not known yet.
            what: What is not checked then, for the message.
        """
        if SERVER & unknown:
            progress(
                f"the SkyPilot server is not known yet: {what} will be checked when it is there", keep=True
            )
            return Trouble.NOT_NOW
        health = self._health(server)
        if health.needs_auth:
            return Trouble.REFUSED
        if not health:
            progress(f"warning: {what} can't be checked now: {health.reason}", keep=True)
        return Trouble.NONE if health else Trouble.NOT_NOW

    @contextmanager
    def needed(self, server: ServerInputs) -> Iterator[None]:
        """For an end that needs a server of this stack: where it is away, the error says what to do.

        Args:
            server: The server.
        """
        try:
            with cloud_errors():
                yield
        except (TransientError, CircuitOpenError) as error:
            if not server.endpoint:
                raise
            raise type(error)(
                f"{error.message}: it alone can end what it has made, so bring the server up first "
                "(`pulumi up`, then destroy)",
                cloud=CLOUD,
            ) from None

    def read_or_kept(
        self,
        id: str,
        server: ServerInputs,
        outs: Mapping[str, Any],
        inputs: Mapping[str, Any],
        read: Callable[[], ReadResult],
    ) -> ReadResult:
        """What `read` tells; where a server of this stack is away, what is known already.

        The same `up` starts the server anew, which it could not if its refresh failed.

        Args:
            id: Id of the resource.
            server: The server.
            outs: Old outputs.
            inputs: The inputs that they repeat.
            read: Asks the server.
        """
        try:
            with cloud_errors():
                return read()
        except (TransientError, CircuitOpenError) as error:
            if not server.endpoint:
                raise
            progress(f"warning: left as it is in the state: {error.message}", keep=True)
            return ReadResult(id, dict(outs), dict(inputs))

    def reason(self, server: ServerInputs) -> str:
        """Why the server can't be used."""
        return self._health(server).reason

    def _health(self, server: ServerInputs) -> HealthCheck:
        """A check of at most 10 s; a good one holds for this process."""
        key = server.server()
        with _lock:
            lock = _health_locks.setdefault(self.shared, {}).setdefault(key, threading.Lock())
            known = _healthy.setdefault(self.shared, {})
        with lock:
            if key not in known:
                found = self.client(server).check_health()
                if not found:
                    return found
                known[key] = found
            return known[key]


def checked_on_server(
    provider: SkyPilotProvider,
    olds: Mapping[str, Any],
    news: Mapping[str, Any],
    parsed: Parsed[ServerModel],
    rules: Iterable[CheckFailure],
    ask: Callable[[ServerModel, frozenset[str]], Iterable[CheckFailure]],
) -> CheckResult:
    """The answer of `check`: rules first; then, for what is new or changed, what the server says.

    Args:
        provider: Asks the server.
        olds: Old inputs; empty for a new resource.
        news: What the engine sent.
        parsed: The same, read.
        rules: Broken rules that need no network.
        ask: Asks the server; what it finds wrong. A server that fails meanwhile is a warning.
    """
    inputs, unknown = parsed.model, parsed.unknown
    failures = list(parsed.failures)
    if inputs is not None:
        failures += [*server_rules(inputs, unknown, provider.shared), *rules]
    result = checked(news, inputs, unknown, failures)
    if inputs is None or result.failures or result.inputs == own_props(olds):
        return result
    name = current_call().name or "this resource"
    place = "credentials" if inputs.credentials else "token"
    trouble = provider.trouble(inputs, unknown, name)
    if trouble is Trouble.REFUSED:
        failures.append(CheckFailure(place, provider.reason(inputs)))
    elif trouble is Trouble.NONE:
        try:
            with cloud_errors():
                for each in ask(inputs, unknown):  # what was found before a failure counts
                    failures.append(each)
        except _FOR_GOOD as error:
            failures.append(CheckFailure(place, error.message))
        except CancelledError:
            raise
        except GpuCloudError as error:
            progress(f"warning: {name} can't be checked now ({error.kind}): {error.message}", keep=True)
    return checked(news, inputs, unknown, failures)


def secret_inputs(args: Mapping[str, Any], *further: str) -> dict[str, Any]:
    """The inputs, those that are secret marked so: `token` and what is named further."""
    return {
        key: pulumi.Output.secret(value) if key in ("token", *further) and value is not None else value
        for key, value in args.items()
    }


def server_of(outs: Mapping[str, Any]) -> ServerInputs:
    """The server that outputs name."""
    return ServerInputs.model_validate(inputs_in(ServerInputs, outs))


_lock = threading.Lock()
_opened: WeakKeyDictionary[Shared, dict[tuple[ServerInputs, str], SkyPilotCloud]] = WeakKeyDictionary()
_looks: WeakKeyDictionary[Shared, SingleFlight[dict[str, Seen]]] = WeakKeyDictionary()
_healthy: WeakKeyDictionary[Shared, dict[ServerInputs, HealthCheck]] = WeakKeyDictionary()
_health_locks: WeakKeyDictionary[Shared, dict[ServerInputs, threading.Lock]] = WeakKeyDictionary()


def _skypilot(cloud: GpuCloud) -> SkyPilotCloud:
    if not isinstance(cloud, SkyPilotCloud):
        raise ValidationError(f"credential set {cloud.credentials!r} is of {cloud.name}, not of skypilot")
    return cloud


def _inside(cloud: SkyPilotCloud, workspace: str) -> SkyPilotCloud:
    """The same server for calls about one workspace."""
    connection = replace(cloud.client.connection, workspace=workspace)
    return SkyPilotCloud(SkyPilotClient(connection), f"{cloud.credentials}/{workspace}")
