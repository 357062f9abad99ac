"""What became of the making of a machine. Its state alone does not tell: without capacity it ends `off`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, unique

from gpu_clouds.clock import Clock
from gpu_clouds.errors import AuthError, CancelledError, GpuCloudError
from gpu_clouds.paperspace.client import PaperspaceClient
from gpu_clouds.paperspace.models import Event, Machine

CREATING = frozenset({"provisioning", "starting", "serviceready"})
_EVERY_S = 10.0
_AT_ONCE = 32
"""Machines whose events one listing reads; a fleet that boots at once takes turns."""


@unique
class Creation(Enum):
    """How far the making of a machine is."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the events say.

    Attributes:
        creation: How far it is.
        error: The cloud's text where it failed.
    """

    creation: Creation
    error: str = ""

    @property
    def final(self) -> bool:
        """Whether it stays so."""
        return self.creation in (Creation.DONE, Creation.FAILED)


UNKNOWN = Verdict(Creation.UNKNOWN)
DONE = Verdict(Creation.DONE)
RUNNING = Verdict(Creation.RUNNING)


def judge(events: Sequence[Event]) -> Verdict:
    """What the events of one machine say of its making."""
    makings = [event for event in events if event.name == "create"]
    if not makings:
        # Something else was done to it, so it was made long enough ago.
        return DONE if events else UNKNOWN
    states = {event.state: event.error for event in makings}
    if "done" in states:
        return DONE
    for state in ("error", "cancelled"):
        if state in states:
            return Verdict(Creation.FAILED, states[state])
    return RUNNING


class EventWatch:
    """Reads the events of machines that are being made, each every 10 s at most, and remembers the outcome.

    Args:
        client: Where to read.
        clock: Time.
    """

    def __init__(self, client: PaperspaceClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Verdict] = {}
        self._read_at: dict[str, float] = {}

    def launched(self, machine_id: str) -> None:
        """This process has just had the machine made."""
        with self._lock:
            self._known[machine_id] = RUNNING
            self._read_at[machine_id] = self._clock.monotonic()

    def verdicts(self, machines: Iterable[Machine]) -> Mapping[str, Verdict]:
        """What is known of each machine, after reading what is due.

        Raises:
            CancelledError, AuthError: From reading; all other failures leave things as they were known.
        """
        machines = list(machines)
        now = self._clock.monotonic()
        with self._lock:
            for machine in machines:
                if machine.state == "ready":
                    self._known[machine.id] = DONE
            due = [machine for machine in machines if self._is_due(machine, now)]
            due.sort(key=lambda machine: (machine.state != "off", self._read_at.get(machine.id, 0.0)))
        off = sum(machine.state == "off" for machine in due)
        for machine in due[: max(_AT_ONCE, off)]:
            self._read(machine.id)
        with self._lock:
            return {machine.id: self._known.get(machine.id, UNKNOWN) for machine in machines}

    def forget(self, machine_id: str) -> None:
        """The machine is gone."""
        with self._lock:
            self._known.pop(machine_id, None)
            self._read_at.pop(machine_id, None)

    def _is_due(self, machine: Machine, now: float) -> bool:
        known = self._known.get(machine.id, UNKNOWN)
        if known.final or not (machine.state == "off" or machine.state in CREATING):
            return False
        return machine.state == "off" or now - self._read_at.get(machine.id, float("-inf")) >= _EVERY_S

    def _read(self, machine_id: str) -> None:
        try:
            verdict = judge(self._client.machine_events(machine_id))
        except (CancelledError, AuthError):
            raise
        except GpuCloudError:
            verdict = UNKNOWN
        with self._lock:
            self._read_at[machine_id] = self._clock.monotonic()
            # Events may be missing for a machine that this process has launched: then it is being made.
            if verdict is not UNKNOWN or machine_id not in self._known:
                self._known[machine_id] = verdict
