"""What the steps of one provisioning operation have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from gpu_clouds.attempts import Attempt
from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.ending import Ender
from gpu_clouds.errors import CancelledError, ValidationError
from gpu_clouds.intents import Intent, IntentLog
from gpu_clouds.marker import stack_prefix
from gpu_clouds.models import Candidate, Instance
from gpu_clouds.readiness import Probe
from gpu_clouds.request import NodeRequest
from gpu_clouds.run import Run


class Phase(Enum):
    """The phases that a user reads of, each with how far along it is, percent."""

    QUEUED = 0
    PROVISIONING = 10
    INSTANCE_READY = 50
    HEALTH_CHECK = 85
    ACTIVE = 100
    FAILED = -1


@dataclass(frozen=True, slots=True)
class Match:
    """A node that stands for this request, and the candidate that it was made from."""

    cloud: GpuCloud
    candidate: Candidate
    instance: Instance

    @property
    def key(self) -> tuple[str, str]:
        """What tells nodes apart, whichever credential set shows them."""
        return (self.cloud.name, self.instance.id)


@dataclass(slots=True)
class Operation:
    """One request on its way. Used by one thread.

    Attributes:
        request: What is asked.
        clouds: One connected cloud for each credential set, by the set's name.
        intents: Write-ahead intents.
        clock: Tells the time.
        cancel: Set when the user or the engine asks to stop.
        progress: Gets the lines that a user reads.
        may_send: Called before every call that changes a cloud.
        run: Shared by all operations of the run.
        ask: Asks a node whether it is usable.
        attempts: What has failed so far.
        notes: What the user should hear in the end.
        dead: Nodes that this operation has given up: no listing may bring them back.
        unanswered: Launches that may still take effect, with `Clock.monotonic()` of their sending.
    """

    request: NodeRequest
    clouds: Mapping[str, GpuCloud]
    intents: IntentLog
    clock: Clock
    cancel: threading.Event
    progress: Callable[[str], None]
    may_send: Callable[[], None]
    run: Run
    ask: Probe
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dead: set[tuple[str, str]] = field(default_factory=set)
    unanswered: list[tuple[Intent, float]] = field(default_factory=list)

    @property
    def stack(self) -> str:
        """What the names of all nodes of this owner and stack start with."""
        return stack_prefix(self.request.owner, self.request.stack_id)

    @property
    def node_prefix(self) -> str:
        """What the names of this node start with, whatever it was made from."""
        return f"{self.stack}{self.request.node}-"

    def cloud_of(self, candidate: Candidate) -> GpuCloud:
        """The connected cloud of a candidate.

        Raises:
            ValidationError: No such credential set.
        """
        cloud = self.clouds.get(candidate.credentials)
        if cloud is None or cloud.name != candidate.cloud:
            known = (
                ", ".join(sorted(n for n, c in self.clouds.items() if c.name == candidate.cloud)) or "none"
            )
            raise ValidationError(
                f"[{self.request.node}] no credential set {candidate.credentials!r} for cloud "
                f"{candidate.cloud!r}; there is: {known}"
            )
        return cloud

    def accounts(self) -> list[GpuCloud]:
        """Every cloud and credential set among the candidates, in order, each once."""
        return list({c.credentials: self.cloud_of(c) for c in self.request.candidates}.values())

    def say(self, phase: Phase, text: str = "") -> None:
        """One progress line: `[node] phase 10% text`."""
        percent = f" {phase.value}%" if phase.value >= 0 else ""
        self.progress(f"[{self.request.node}] {phase.name.lower()}{percent}{' ' + text if text else ''}")

    def note(self, text: str) -> None:
        """Something that the user should hear now and find in the result."""
        self.notes.append(text)
        self.progress(f"[{self.request.node}] {text}")

    def check_cancel(self) -> None:
        """Stops here if asked to."""
        if self.cancel.is_set():
            raise CancelledError(f"[{self.request.node}] cancelled")

    def ender(self, cancel: threading.Event | None = None) -> Ender:
        """Ends nodes for this operation; not cancelled unless an event is given."""
        return Ender(self.clock, cancel, self.progress, self.may_send, run=self.run)
