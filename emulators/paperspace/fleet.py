"""The machines of all teams, their events, and what becomes of them as time passes. No HTTP here.

Each operation is a plan: a list of what happens when. The plan is part of the machine's record, so a restart
goes on where it was.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from typing import Any

from emulators.paperspace.catalogue import TYPES
from emulators.paperspace.machine import Event, Machine, stamp
from emulators.paperspace.objects import Objects
from emulators.paperspace.problems import NO_CAPACITY
from emulators.paperspace.script import certificate_of, exported, published_ports, served_model
from emulators.paperspace.settings import Settings
from emulators.store import Store

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Fleet:
    """All machines.

    Args:
        store: Where they are kept.
        now: Emulated time.
        settings: The settings of the moment.
        wake: Called with the emulated time at which `settle` has something to do.
    """

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        settings: Callable[[], Settings],
        wake: Callable[[float], None] = lambda _at: None,
    ) -> None:
        self._store = store
        self._now = now
        self._settings = settings
        self._wake = wake
        self._machines: dict[str, Machine] = {}
        self._events: dict[str, Event] = {}
        self._due: list[tuple[float, str]] = []
        self._spent: dict[str, float] = {}
        serial = store.read("meta", "serial")
        self._serial = serial if isinstance(serial, int) else 0
        self.objects = Objects(store, self.new_id)
        self._load()

    # -- reading -----------------------------------------------------------------------------------

    def get(self, account: str, machine_id: str) -> Machine | None:
        """A machine of this team."""
        machine = self._machines.get(machine_id)
        return machine if machine is not None and machine.account == account else None

    def any(self, machine_id: str) -> Machine | None:
        """A machine, whosever it is."""
        return self._machines.get(machine_id)

    def all(self) -> Iterator[Machine]:
        """Every machine, deleted ones that are still visible included."""
        yield from self._machines.values()

    def listed(self, account: str) -> list[Machine]:
        """The machines that the team's list shows, oldest first."""
        now = self._now()
        return [one for one in self._machines.values() if one.account == account and one.listed_at <= now]

    def living(self, account: str) -> int:
        """How many machines a team has."""
        return sum(one.account == account and one.deleted_at is None for one in self._machines.values())

    def event(self, account: str, event_id: str) -> Event | None:
        """An event of this team."""
        event = self._events.get(event_id)
        return event if event is not None and event.account == account else None

    def events(self, account: str, machine_id: str | None) -> list[Event]:
        """The events of a machine, or of all, oldest first."""
        return [
            one
            for one in self._events.values()
            if one.account == account and machine_id in (None, one.machine_id)
        ]

    def free(self, label: str, region: str) -> bool:
        """Whether there is a machine of this type free in a region."""
        capacity = self._settings().capacity
        for key in (f"{label}|{region}", f"{label}|*", f"*|{region}", "*|*"):
            if key in capacity:
                total = capacity[key]
                return total is None or self._used(label, region) < total
        return True

    def price(self, label: str) -> float:
        """USD per hour of a machine type now."""
        return self._settings().prices.get(label, TYPES[label].usd_per_hour)

    def spent(self, account: str) -> float:
        """USD that the team has spent so far."""
        now = self._now()
        return self._spent.get(account, 0.0) + sum(
            one.total_spent(now) for one in self._machines.values() if one.account == account
        )

    def rate(self, account: str) -> float:
        """USD per hour that the team's machines cost now."""
        return sum(
            one.rate
            for one in self._machines.values()
            if one.account == account and one.charged_from is not None
        )

    def ended(self) -> list[dict[str, Any]]:
        """Short records of machines that were deleted."""
        return [row for _, row in self._store.read_all("ended") if isinstance(row, dict)]

    # -- what users do -----------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        """An id that was never given before, the same in each run with the same seed."""
        self._serial += 1
        self._store.write([("meta", "serial", self._serial)])
        digest = hashlib.sha256(f"{self._settings().seed}/{self._serial}".encode()).digest()
        number = int.from_bytes(digest[:8])
        digits = ""
        for _ in range(8):
            number, digit = divmod(number, 36)
            digits += _DIGITS[digit]
        return prefix + digits

    def add(self, machine: Machine, *, failure: str = "", stuck: bool = False) -> Event:
        """Takes in a new machine and begins to make it.

        Args:
            machine: The machine.
            failure: How its making fails: `event_error`, `silent_off`; empty: it does not.
            stuck: It stays `provisioning` for ever.
        """
        settings, now = self._settings(), self._now()
        self._machines[machine.id] = machine
        machine.modified_at = now
        machine.listed_at = now + settings.list_lag_s
        machine.charged_from = None if failure else now
        event = self._begin(machine, "create")
        plan: list[list[Any]] = [[now + settings.event_start_s, "begin"]]
        if failure:
            plan.append([now + settings.capacity_fails_after_s, failure])
        elif not stuck:
            starting = now + settings.provision_s
            serviceready = starting + settings.starting_s
            plan += [
                [starting, "starting"],
                [serviceready, "serviceready"],
                [serviceready + settings.serviceready_s, "ready"],
            ]
        self._follow(machine, plan)
        return event

    def start(self, machine: Machine, *, refused: bool = False) -> Event:
        """Starts a machine that is off. `refused`: there is no capacity for it."""
        settings, now = self._settings(), self._now()
        event = self._begin(machine, "start")
        machine.state = "starting"
        if refused:
            self._follow(
                machine, [[now + settings.event_start_s, "begin"], [now + settings.start_s, "start_fails"]]
            )
            return event
        machine.charged_from = now
        self._follow(machine, [[now + settings.event_start_s, "begin"], [now + settings.start_s, "ready"]])
        return event

    def stop(self, machine: Machine, at: float | None = None) -> Event:
        """Stops a machine, now or at a time that has just passed."""
        settings, now = self._settings(), self._now() if at is None else at
        event = self._begin(machine, "stop")
        machine.state = "stopping"
        self._follow(machine, [[now + settings.event_start_s, "begin"], [now + settings.stop_s, "off"]])
        return event

    def restart(self, machine: Machine) -> Event:
        """Restarts a machine."""
        settings, now = self._settings(), self._now()
        event = self._begin(machine, "restart")
        machine.state = "restarting"
        self._follow(machine, [[now + settings.event_start_s, "begin"], [now + settings.start_s, "ready"]])
        return event

    def upgrade(self, machine: Machine) -> Event:
        """Resizes a machine, whose record is changed already; it is afterwards what it was before."""
        settings, now = self._settings(), self._now()
        before = machine.state
        event = self._begin(machine, "vm-upgrade")
        machine.state = "upgrading"
        machine.rate = self.price(machine.machine_type)
        done = "ready" if before == "ready" else "off"
        self._follow(machine, [[now + settings.event_start_s, "begin"], [now + settings.upgrade_s, done]])
        return event

    def delete(self, machine: Machine) -> Event:
        """Ends a machine for good; its script, addresses and snapshots stay."""
        settings, now = self._settings(), self._now()
        going_on = self._events.get(machine.event_id)
        if going_on is not None and going_on.name == "deactivate" and going_on.open:
            return going_on
        event = self._begin(machine, "deactivate")
        machine.state = "stopping"
        self._charge(machine, now)
        self._follow(machine, [[now + settings.event_start_s, "begin"], [now + settings.delete_s, "deleted"]])
        return event

    def touch(self, machine: Machine) -> None:
        """Notes that a machine's record was changed."""
        machine.modified_at = self._now()
        self._save(machine)

    def clear(self) -> None:
        """Forgets everything, as if there had never been anything."""
        self._machines.clear()
        self._events.clear()
        self._due.clear()
        self._spent.clear()
        self._store.clear()
        self.objects.forget()
        self._store.write([("meta", "serial", self._serial)])

    # -- as time passes ----------------------------------------------------------------------------

    def settle(self) -> None:
        """Does everything that is due by now."""
        now = self._now()
        while self._due and self._due[0][0] <= now:
            _, machine_id = heapq.heappop(self._due)
            machine = self._machines.get(machine_id)
            while machine is not None and machine.plan and machine.plan[0][0] <= now:
                at, what = machine.plan.pop(0)
                self._happen(machine, what, at)
                if machine.id in self._machines:
                    self._save(machine)

    def _happen(self, machine: Machine, what: str, at: float) -> None:
        event = self._events[machine.event_id]
        if what == "begin":
            event.state, event.started_at = "in progress", at
            self._save_event(event)
        elif what in ("starting", "serviceready"):
            machine.state = what
            if what == "starting":
                self._boot(machine)
        elif what == "ready":
            machine.state = "ready"
            if machine.public_ip is None and machine.public_ip_type != "none":
                machine.public_ip = self.address()
            self._finish(event, at)
            self._plan_shutdown(machine, at)
        elif what == "off":
            self._off(machine, at)
            self._finish(event, at)
        elif what == "event_error":
            self._finish(event, at, self._no_capacity(machine))
        elif what == "start_fails":
            self._off(machine, at)
            self._finish(event, at, self._no_capacity(machine))
        elif what == "silent_off":
            machine.state = "off"
        elif what == "shutdown":
            self.stop(machine, at)
        elif what == "deleted":
            self._deleted(machine, event, at)
        elif what == "gone":
            self._forget(machine)

    def _boot(self, machine: Machine) -> None:
        """The first boot: the script is read now, if it is still there."""
        if machine.script_id is None:
            return
        script = self.objects.get("startup-scripts", machine.account, machine.script_id)
        if script is not None:
            machine.booted = True
            machine.env = exported(str(script["script"]))
            machine.model = served_model(str(script["script"]))
            machine.certificate = certificate_of(str(script["script"]), machine.env)
            machine.ports = published_ports(str(script["script"]))

    def _plan_shutdown(self, machine: Machine, at: float) -> None:
        hours = machine.options.get("autoShutdownTimeout")
        if machine.options.get("autoShutdownEnabled") and isinstance(hours, (int, float)):
            self._follow(machine, [[at + hours * 3600, "shutdown"]])

    def _deleted(self, machine: Machine, event: Event, at: float) -> None:
        visible = self._settings().deleted_visible_s
        machine.state, machine.deleted_at, machine.reported_state = "off", at, ""
        self.objects.machine_gone(machine.account, machine.id, machine.network_id, at)
        self._finish(event, at)
        self._spent[machine.account] = self._spent.get(machine.account, 0.0) + machine.spent
        row = {
            "id": machine.id,
            "account": machine.account,
            "name": machine.name,
            "created_at": stamp(machine.created_at),
            "ended_at": stamp(at),
            "spent": round(machine.spent, 6),
        }
        machine.spent = 0.0
        self._store.write(
            [("ended", machine.id, row), ("spent", machine.account, self._spent[machine.account])]
        )
        if visible > 0:
            self._follow(machine, [[at + visible, "gone"]])
        else:
            self._forget(machine)

    # -- parts -------------------------------------------------------------------------------------

    def _used(self, label: str, region: str) -> int:
        return sum(
            one.machine_type == label and one.region == region and one.charged_from is not None
            for one in self._machines.values()
        )

    def _begin(self, machine: Machine, name: str) -> Event:
        """A new event; the one that was going on is cancelled."""
        before = self._events.get(machine.event_id)
        if before is not None and before.open:
            before.state, before.finished_at = "cancelled", self._now()
            self._save_event(before)
        event = Event(self.new_id("ev_"), machine.account, machine.id, name, self._now())
        self._events[event.id] = event
        machine.event_id = event.id
        machine.modified_at = self._now()
        self._save_event(event)
        return event

    def _finish(self, event: Event, at: float, error: str | None = None) -> None:
        event.state, event.error, event.finished_at = "error" if error else "done", error, at
        self._save_event(event)

    def _follow(self, machine: Machine, plan: list[list[Any]]) -> None:
        machine.plan = plan
        for at, _ in plan:
            heapq.heappush(self._due, (at, machine.id))
            self._wake(at)
        self._save(machine)

    def _off(self, machine: Machine, at: float) -> None:
        self._charge(machine, at)
        machine.state = "off"
        if machine.public_ip_type == "dynamic":
            machine.public_ip = None

    def _charge(self, machine: Machine, at: float) -> None:
        machine.spent = machine.total_spent(at)
        machine.charged_from = None

    def _no_capacity(self, machine: Machine) -> str:
        return NO_CAPACITY.format(label=machine.machine_type, region=machine.region.upper())

    def address(self) -> str:
        """An address of this machine alone, so that nothing that is sent there can leave it."""
        self._serial += 1
        self._store.write([("meta", "serial", self._serial)])
        number = self._serial
        return f"127.{64 + (number >> 16) % 64}.{(number >> 8) % 256}.{number % 256}"

    def _forget(self, machine: Machine) -> None:
        self._machines.pop(machine.id, None)
        self._store.write([("machine", machine.id, None)])

    def _save(self, machine: Machine) -> None:
        self._store.write([("machine", machine.id, machine.record())])

    def _save_event(self, event: Event) -> None:
        self._store.write([("event", event.id, event.record())])

    def _load(self) -> None:
        for account, spent in self._store.read_all("spent"):
            self._spent[account] = float(spent) if isinstance(spent, (int, float)) else 0.0
        for _, row in self._store.read_all("event"):
            if isinstance(row, dict):
                self._events[row["id"]] = Event(**row)
        rows = [row for _, row in self._store.read_all("machine") if isinstance(row, dict)]
        for row in sorted(rows, key=lambda row: float(row["created_at"])):
            machine = Machine(**row)
            self._machines[machine.id] = machine
            for at, _ in machine.plan:
                heapq.heappush(self._due, (at, machine.id))
                self._wake(at)
