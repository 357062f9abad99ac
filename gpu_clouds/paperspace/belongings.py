"""What outlives a machine and costs or clutters: startup scripts, static addresses, snapshots.

Snapshots and addresses name their machine, so they end before it does. A script is made before its machine,
and for a while nothing connects the two: it is left over only when no machine can need it any more.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gpu_clouds.clock import Clock
from gpu_clouds.errors import (
    AmbiguousError,
    CancelledError,
    ConflictError,
    GpuCloudError,
    NotFoundError,
    TransientError,
    ValidationError,
)
from gpu_clouds.paperspace.client import PaperspaceClient
from gpu_clouds.paperspace.models import PublicIp, Snapshot
from gpu_clouds.paperspace.script import Port, ScriptName
from gpu_clouds.single_flight import SingleFlight

UNCLAIMED_S = 50.0
"""A script of another process that no machine claims is left alone for so long after its launch began.

Within that time a machine appears in the lists. It is a little less than what a launch of a killed run is
given to take effect (`settleS`), so that whoever waits for that also finds the script.
"""
_UNANSWERED_S = 60.0
"""After a launch without an answer, for so long its machine may still come."""
_KEPT_S = 2.0
"""Many nodes that end at once share their lists."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class OwnScript:
    """A startup script that a launch of ours has made.

    Attributes:
        id: Its id.
        name: Its name, read.
        machines: Ids of the machines that the cloud says it belongs to.
    """

    id: str
    name: ScriptName
    machines: tuple[str, ...]


class Belongings:
    """Finds and ends what belongs to machines.

    Args:
        client: Calls.
        clock: Time.
        alive: Tells whether a machine exists, by its id.
    """

    def __init__(self, client: PaperspaceClient, clock: Clock, alive: Callable[[str], bool]) -> None:
        self._client = client
        self._clock = clock
        self._alive = alive
        self._lock = threading.Lock()
        self._launching: dict[str, float] = {}
        self._ended: set[str] = set()
        self._scripts: SingleFlight[list[OwnScript]] = SingleFlight(_KEPT_S, clock)
        self._addresses: SingleFlight[list[PublicIp]] = SingleFlight(_KEPT_S, clock)
        self._snapshots: SingleFlight[list[Snapshot]] = SingleFlight(_KEPT_S, clock)

    # Launching

    def make_script(self, name: ScriptName, text: str, secrets: Iterable[str]) -> str:
        """Makes the script of a launch, which nothing ends until `launched` is told of the outcome.

        Returns:
            Its id.

        Raises:
            TransientError: Nobody knows whether it was made; no machine was.
        """
        try:
            script_id = self._client.create_script(str(name), text, secrets).id
        except AmbiguousError as error:
            # A second one beside it would stand for a launch of its own.
            script_id = self._made_after_all(name)
            if not script_id:
                raise TransientError(
                    f"no machine was asked for, because its startup script got no answer: {error.message}",
                    cloud=error.cloud,
                    status=error.status,
                    request_id=error.request_id,
                ) from error
        with self._lock:
            self._launching[script_id] = float("inf")
        return script_id

    def launched(self, script_id: str, error: GpuCloudError | None, *, unanswered: bool) -> None:
        """Tells of the outcome of a launch; the script of a refused one is ended.

        Args:
            script_id: The script.
            error: Why there is no machine; None where there is one.
            unanswered: There may be one all the same.
        """
        with self._lock:
            if unanswered:
                self._launching[script_id] = self._clock.monotonic() + _UNANSWERED_S
                return
            self._launching.pop(script_id, None)
        if error is not None:
            # What fails here is found again by its name.
            with contextlib.suppress(GpuCloudError):
                self.end_script(script_id)

    # Reading

    def scripts(self) -> list[OwnScript]:
        """Every script of ours, of all stacks."""
        return [one for one in self._scripts.get("", self._read_scripts) if one.id not in self._ended]

    def ports(self, machine_id: str, name: str, scripts: Sequence[OwnScript]) -> tuple[Port, ...]:
        """The ports that a machine was launched with; none where its script is gone."""
        named = [one for one in scripts if one.name.marker == name]
        named.sort(key=lambda one: machine_id not in one.machines)
        return named[0].name.ports if named else ()

    def name_of(self, machine_id: str) -> str:
        """The name of a machine that is gone, by its script; empty where nothing tells."""
        return next((one.name.marker for one in self.scripts() if machine_id in one.machines), "")

    def needless(self, script: OwnScript, ids: Collection[str], names: Collection[str]) -> bool:
        """Whether no machine needs a script, now or any moment.

        Args:
            script: The script.
            ids: Machines that are known to exist.
            names: Their names.
        """
        with self._lock:
            until = self._launching.get(script.id)
        if until is not None and self._clock.monotonic() < until:
            return False
        if script.machines:
            # One that no list shows yet exists all the same.
            return not any(one in ids or self._alive(one) for one in script.machines)
        if script.name.marker in names and not self._another_serves(script, ids):
            return False
        return self._clock.time() - script.name.at >= UNCLAIMED_S

    def left(self, machine_id: str, name: str, ids: Collection[str], names: Collection[str]) -> str:
        """What a machine that is gone has left behind, in words; empty if nothing.

        Args:
            machine_id: The machine.
            name: Its name; empty where it is not known any more.
            ids: Machines that are known to exist.
            names: Their names.
        """
        found = []
        if any(self.needless(one, ids, names) for one in _of(machine_id, name, self.scripts())):
            found.append("startup script")
        if any(one.machine_id == machine_id for one in self._live_snapshots()):
            found.append("snapshot")
        if any(one.assigned_machine_id == machine_id for one in self._live_addresses()):
            found.append("static address")
        return " and ".join(found)

    # Ending

    def end_costly(self, machine_id: str) -> GpuCloudError | None:
        """Ends the snapshots and addresses of a machine, before it: afterwards nothing says whose they were.

        Returns:
            Why not all could be ended; the machine, which costs most, is to end all the same.
        """
        failed: GpuCloudError | None = None
        try:
            for snapshot in self._live_snapshots():
                if snapshot.machine_id == machine_id:
                    failed = self._end(snapshot.id, self._client.delete_snapshot) or failed
            for address in self._live_addresses():
                if address.assigned_machine_id == machine_id:
                    failed = self._end(address.ip, self._release) or failed
        except CancelledError:
            raise
        except GpuCloudError as error:
            failed = error
        return failed

    def end_scripts(
        self, machine_id: str, name: str, others: Callable[[], Sequence[tuple[str, str]]]
    ) -> None:
        """Ends the scripts of a machine whose delete was accepted.

        Args:
            machine_id: The machine.
            name: Its name; empty where it is not known any more.
            others: Gives id and name of every other machine that exists.
        """
        for script in _of(machine_id, name, self.scripts()):
            if script.machines == (machine_id,):
                self.end_script(script.id)
                continue
            known = others()
            rest = OwnScript(
                script.id, script.name, tuple(one for one in script.machines if one != machine_id)
            )
            if self.needless(rest, {one for one, _ in known}, {other for _, other in known}):
                self.end_script(script.id)

    def end_script(self, script_id: str) -> None:
        """Ends one script; absent is success."""
        if (error := self._end(script_id, self._client.delete_script)) is not None:
            raise error

    def _made_after_all(self, name: ScriptName) -> str:
        """Id of the script that a call without an answer has made; empty where none is to be seen."""
        try:
            return next((one.id for one in self._read_scripts() if one.name == name), "")
        except CancelledError:
            raise
        except GpuCloudError:
            return ""

    def _another_serves(self, script: OwnScript, ids: Collection[str]) -> bool:
        """Whether the machine of this name has come of another launch, where the cloud tells of which."""
        same = (one for one in self.scripts() if one.name.marker == script.name.marker)
        return any(one.id != script.id and any(each in ids for each in one.machines) for one in same)

    def _release(self, ip: str) -> None:
        try:
            self._client.release_public_ip(ip)
        except (ConflictError, ValidationError):
            # Perhaps not while it is assigned.
            self._client.unassign_public_ip(ip)
            self._client.release_public_ip(ip)

    def _end(self, object_id: str, delete: Callable[[str], None]) -> GpuCloudError | None:
        try:
            delete(object_id)
        except NotFoundError:
            pass
        except CancelledError:
            raise
        except GpuCloudError as error:
            return error
        with self._lock:
            self._ended.add(object_id)
        return None

    def _read_scripts(self) -> list[OwnScript]:
        found = []
        for script in self._client.list_scripts():
            if (name := ScriptName.parse(script.name)) is not None:
                machines = tuple(one for one in script.assigned_machine_ids if one)
                found.append(OwnScript(script.id, name, machines))
        return found

    def _live_snapshots(self) -> list[Snapshot]:
        found = self._snapshots.get("", self._client.list_snapshots)
        return [one for one in found if one.id not in self._ended]

    def _live_addresses(self) -> list[PublicIp]:
        found = self._addresses.get("", self._client.list_public_ips)
        return [one for one in found if one.ip not in self._ended]


def _of(machine_id: str, name: str, scripts: Iterable[OwnScript]) -> list[OwnScript]:
    """The scripts that are, or may be, a machine's."""
    return [
        one
        for one in scripts
        if machine_id in one.machines or (not one.machines and name and one.name.marker == name)
    ]
