"""Paperspace as a `GpuCloud`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx

from gpu_clouds import errors
from gpu_clouds.cloud import Capabilities
from gpu_clouds.connection import Connection
from gpu_clouds.models import AccountStatus, Candidate, Instance, InstanceSpec, LogLine, Offer
from gpu_clouds.paperspace import INFO
from gpu_clouds.paperspace.belongings import Belongings
from gpu_clouds.paperspace.client import PaperspaceClient
from gpu_clouds.paperspace.errors import is_capacity
from gpu_clouds.paperspace.events import DONE, EventWatch
from gpu_clouds.paperspace.instances import ADDRESS, ending, gone, instance, left_over
from gpu_clouds.paperspace.launching import check, disk_gb, machine_body
from gpu_clouds.paperspace.market import Market
from gpu_clouds.paperspace.models import Event, Machine
from gpu_clouds.paperspace.script import ScriptName, ports_of, startup_script

_DELETING_S = 120.0
"""For so long after its delete was accepted a machine counts as ending, whatever its state says."""
_SCRIPT = "script:"
"""Id of what a launch that made no machine has left behind: this and the script's id."""
_START_TRIES = 12
_START_POLL_S = 5.0
_GB = 1024**3
_BAD_STANDING = frozenset(
    {"bad", "delinquent", "past_due", "pastdue", "suspended", "locked", "disabled", "closed"}
)


@dataclass(frozen=True, slots=True)
class _Ending:
    name: str
    accepted_at: float


class PaperspaceCloud:
    """One Paperspace team.

    Args:
        connection: Account, endpoint, clock, cancel.
        transport: Takes the network's place in tests.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self._credentials = connection.credentials
        self._clock = connection.clock
        self._cancel = connection.cancel
        self._address = connection.credentials.proxy_template or ADDRESS
        self._client = PaperspaceClient(connection, transport)
        self._watch = EventWatch(self._client, connection.clock)
        self._belongings = Belongings(self._client, connection.clock, self._alive)
        self._market = Market(self._client, connection)
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        self._ending: dict[str, _Ending] = {}

    @property
    def name(self) -> str:
        """`paperspace`."""
        return INFO.name

    @property
    def credentials(self) -> str:
        """Name of the credential set."""
        return self._credentials.name

    @property
    def capabilities(self) -> Capabilities:
        """What Paperspace can do."""
        return INFO.capabilities

    def account(self) -> AccountStatus:
        """The team's limit of machines and how many there are.

        Raises:
            AuthError: The key is bad; Paperspace says so with an empty session.
            BillingError: The team's account is not in good standing.
        """
        session = self._client.session()
        if session is None:
            raise errors.AuthError(
                f"{self._what}: the key is not known; check the key of this credential set", cloud=self.name
            )
        self._check_standing()
        in_use = sum(not machine.dt_deleted for machine in self._client.list_machines())
        limit = session.team.max_machines if session.team is not None else None
        return AccountStatus(machine_limit=limit, machines_in_use=in_use)

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        """What the API says is free now; it tells no price, see `catalog.list_price`."""
        found = (self._market.offer(candidate) for candidate in candidates)
        return [offer for offer in found if offer is not None]

    def create(self, spec: InstanceSpec) -> Instance:
        """Reads what is free, makes the startup script, and sends one launch call."""
        began = int(self._clock.time())
        candidate, template = spec.candidate, spec.template
        check(candidate, template)
        label, template_id = self._market.image(candidate, template)
        body = machine_body(
            spec, label, template_id, self._market.place(candidate, label, spec.avoid_regions)
        )
        text = startup_script(template)
        script_id = ""
        if text:
            name = ScriptName(spec.name, began, ports_of(template))
            script_id = self._belongings.make_script(name, text, template.env.values())
            body["startupScriptId"] = script_id
        try:
            made = self._client.create_machine(body)
        except errors.GpuCloudError as error:
            if script_id:
                unanswered = isinstance(error, errors.AmbiguousError | errors.UnknownCloudError)
                self._belongings.launched(script_id, error, unanswered=unanswered)
            raise
        if script_id:
            self._belongings.launched(script_id, None, unanswered=False)
        self._watch.launched(made.data.id)
        self._remember(made.data)
        return instance(made.data, ports_of(template), address=self._address)

    def get(self, instance_id: str) -> Instance:
        """The machine as it is now; GONE only when what belongs to it is gone too."""
        if instance_id.startswith(_SCRIPT):
            return self._script_left(instance_id.removeprefix(_SCRIPT))
        machine = self._machine(instance_id)
        if machine is None:
            name = self._names.get(instance_id) or self._belongings.name_of(instance_id)
            what = self._belongings.left(instance_id, name, (), ())
            return left_over(instance_id, name, what) if what else gone(instance_id)
        return self._shown([machine])[0]

    def list(self, name_prefix: str) -> list[Instance]:
        """Machines whose name starts with the prefix, and what was left behind by others that ended."""
        machines = self._client.list_machines()
        living = [machine for machine in machines if not machine.dt_deleted]
        ids = {machine.id for machine in living}
        names = {machine.name for machine in living}
        shown = self._shown([machine for machine in living if machine.name.startswith(name_prefix)])
        left = self._left(name_prefix, ids, names)
        ended = [
            instance(machine)
            for machine in machines
            if machine.dt_deleted and machine.name.startswith(name_prefix) and machine.id not in left
        ]
        return [*shown, *left.values(), *ended]

    def update(self, instance_id: str, spec: InstanceSpec) -> Instance:
        """Makes the disk larger; the machine is `upgrading` meanwhile.

        Raises:
            ValidationError: It would have to become smaller.
        """
        machine = self._client.get_machine(instance_id)
        wanted = disk_gb(spec.template)
        has = round((machine.storage_total or 0) / _GB)
        if wanted < has:
            raise errors.ValidationError(
                f"{self._what}: the disk of machine {instance_id} has {has} GB and can only "
                f"grow, not to {wanted} GB; set another replaceTrigger to get a new machine",
                cloud=self.name,
            )
        if wanted > has:
            machine = self._client.change_machine(instance_id, {"diskSize": wanted}).data
        return self._shown([machine])[0]

    def delete(self, instance_id: str) -> None:
        """Asks for the end of the machine, its snapshots, addresses and script; absent is success.

        Raises:
            ConflictError: Refused in the machine's present state: ask again.
        """
        if instance_id.startswith(_SCRIPT):
            self._belongings.end_script(instance_id.removeprefix(_SCRIPT))
            return
        machine = self._machine(instance_id)
        if machine is None:
            name = self._names.get(instance_id) or self._belongings.name_of(instance_id)
        else:
            name = machine.name
        failed = self._belongings.end_costly(instance_id)
        if machine is not None:
            try:
                self._client.delete_machine(instance_id)
            except errors.NotFoundError:
                pass
            except errors.ValidationError as error:
                # Nobody knows how a refusal for the machine's state reads; no delete is wrong for good.
                raise errors.ConflictError(error.message, cloud=self.name, status=error.status) from error
        with self._lock:
            self._ending[instance_id] = _Ending(name, self._clock.monotonic())
        self._belongings.end_scripts(instance_id, name, lambda: self._others(instance_id))
        if failed is not None:
            raise failed

    def stop(self, instance_id: str) -> None:
        """Stops the machine, which takes minutes; its disk goes on costing."""
        self._client.act(instance_id, "stop")

    def start(self, instance_id: str) -> None:
        """Starts a stopped machine, and follows the start for up to a minute.

        Raises:
            CapacityError: None is free.
        """
        for left in range(_START_TRIES, 0, -1):
            try:
                event = self._client.act(instance_id, "start").event
                break
            except errors.ConflictError:
                machine = self._client.get_machine(instance_id)
                if machine.state in ("starting", "serviceready", "ready"):
                    return
                if left == 1:
                    raise
                self._clock.sleep(_START_POLL_S, self._cancel)
        for left in range(_START_TRIES, -1, -1):
            if event is None or not event.id or event.state == "done":
                return
            if event.state in ("error", "cancelled"):
                raise self._start_failed(instance_id, event)
            if left:
                self._clock.sleep(_START_POLL_S, self._cancel)
                event = self._client.get_event(event.id)

    def logs(self, instance_id: str, *, tail: int = 100, cursor: str = "") -> Iterator[LogLine]:
        """Raises ValidationError: Paperspace shows no log."""
        raise errors.ValidationError(
            f"Paperspace shows no log of a machine; log in with ssh and read "
            f"/var/log/gpuplane-startup.log or `docker logs gpuplane` (machine {instance_id})",
            cloud=self.name,
        )

    def close(self) -> None:
        """Gives connections back."""
        self._client.close()

    # Showing

    @property
    def _what(self) -> str:
        return f"Paperspace, credential set {self.credentials!r}"

    def _shown(self, machines: Sequence[Machine]) -> Sequence[Instance]:
        if not machines:
            return []
        scripts = self._belongings.scripts()
        verdicts = self._watch.verdicts(machines)
        found = []
        for machine in machines:
            self._remember(machine)
            ports = self._belongings.ports(machine.id, machine.name, scripts)
            one = instance(machine, ports, verdicts.get(machine.id, DONE), self._address)
            end = self._ending.get(machine.id)
            if end is not None and self._clock.monotonic() - end.accepted_at < _DELETING_S:
                one = ending(one)
            found.append(one)
        return found

    def _left(self, prefix: str, ids: set[str], names: set[str]) -> dict[str, Instance]:
        """What machines that are gone, and launches that made none, have left, by the id to delete it by."""
        found: dict[str, Instance] = {}
        for script in self._belongings.scripts():
            marker = script.name.marker
            if marker.startswith(prefix) and self._belongings.needless(script, ids, names):
                key = script.machines[0] if script.machines else f"{_SCRIPT}{script.id}"
                found[key] = left_over(key, marker, "startup script")
        with self._lock:
            ended = {key: end.name for key, end in self._ending.items() if key not in ids}
        for machine_id, name in ended.items():
            what = self._belongings.left(machine_id, name, ids, names)
            if what and name.startswith(prefix):
                found[machine_id] = left_over(machine_id, name, what)
            elif not what and not self._alive(machine_id):
                self._forget(machine_id)
        return found

    def _script_left(self, script_id: str) -> Instance:
        key = f"{_SCRIPT}{script_id}"
        found = next((one for one in self._belongings.scripts() if one.id == script_id), None)
        return gone(key) if found is None else left_over(key, found.name.marker, "startup script")

    def _machine(self, machine_id: str) -> Machine | None:
        """The machine; None where it is gone, in either of the two ways in which that shows."""
        try:
            machine = self._client.get_machine(machine_id)
        except errors.NotFoundError:
            return None
        self._remember(machine)
        return None if machine.dt_deleted else machine

    def _alive(self, machine_id: str) -> bool:
        return self._machine(machine_id) is not None

    def _others(self, machine_id: str) -> Sequence[tuple[str, str]]:
        return [
            (machine.id, machine.name)
            for machine in self._client.list_machines()
            if machine.id != machine_id and not machine.dt_deleted
        ]

    def _remember(self, machine: Machine) -> None:
        if machine.name.startswith("gp-"):
            self._names[machine.id] = machine.name

    def _forget(self, machine_id: str) -> None:
        self._watch.forget(machine_id)
        with self._lock:
            self._ending.pop(machine_id, None)
            self._names.pop(machine_id, None)

    # Account and start

    def _check_standing(self) -> None:
        try:
            standing = self._client.account_standing()
        except (errors.NotFoundError, errors.PermissionRefusedError):
            return  # not every key may read it
        words = {str(value).casefold().replace("-", "_").replace(" ", "_") for value in standing.values()}
        good = standing.get("isInGoodStanding", standing.get("inGoodStanding", True))
        if good is False or words & _BAD_STANDING:
            raise errors.BillingError(
                f"{self._what}: the team's account is not in good standing; settle it in the cloud's console",
                cloud=self.name,
            )

    def _start_failed(self, machine_id: str, event: Event) -> errors.GpuCloudError:
        kind = errors.CapacityError if is_capacity(event.error) else errors.UnknownCloudError
        said = f": {event.error}" if event.error else ""
        return kind(f"{self._what}: machine {machine_id} could not be started{said}", cloud=self.name)


def connect(connection: Connection) -> PaperspaceCloud:
    """Opens Paperspace; called by the registry."""
    return PaperspaceCloud(connection)
