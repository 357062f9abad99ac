"""The instances of all accounts, and who has which machine. No HTTP here."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from emulators.clock import rfc3339
from emulators.lambda_cloud.catalogue import Kind, free, load
from emulators.lambda_cloud.machine import Machine
from emulators.lambda_cloud.settings import Settings
from emulators.store import Store


class Fleet:
    """All instances.

    Args:
        store: Where they are kept.
        now: Emulated time.
        settings: The settings of the moment.
    """

    def __init__(self, store: Store, now: Callable[[], float], settings: Callable[[], Settings]) -> None:
        self.catalogue = load()
        self._store = store
        self._now = now
        self._settings = settings
        self._machines: dict[str, Machine] = {}
        serial = store.read("meta", "serial")
        self._serial = serial if isinstance(serial, int) else 0
        for _, row in store.read_all("machine"):
            if isinstance(row, dict):
                machine = Machine(**row)
                self._machines[machine.id] = machine

    def any(self, instance_id: str) -> Machine | None:
        """An instance, whosever it is."""
        return self._machines.get(instance_id)

    def all(self) -> Iterator[Machine]:
        """Every instance that is still shown."""
        yield from self._machines.values()

    def of(self, account: str) -> list[Machine]:
        """Every instance of an account, oldest first."""
        return [one for one in self._machines.values() if one.account == account]

    def living(self, account: str) -> int:
        """How many instances of an account hold a machine."""
        now = self._now()
        return sum(one.living(now) for one in self.of(account))

    def free(self, kind: Kind, region: str) -> int | None:
        """Instances of a type that are free in a region; None: as many as you like."""
        return free(self._settings(), kind, region, self._used())

    def free_regions(self) -> dict[str, list[str]]:
        """The regions that have each type free, by its name."""
        settings, used = self._settings(), self._used()
        return {
            name: [region for region in self.catalogue.regions if free(settings, kind, region, used) != 0]
            for name, kind in self.catalogue.kinds.items()
        }

    def _used(self) -> Counter[tuple[str, str]]:
        now = self._now()
        return Counter((one.kind, one.region) for one in self._machines.values() if one.living(now))

    def users_of(self, account: str, uses: Callable[[Machine], Iterable[str]], name: str) -> list[str]:
        """Instances that something counts as in use by: living, ending, and for a while after that."""
        now, lag = self._now(), self._settings().fs_in_use_lag_s
        found = []
        for one in self.of(account):
            ended = one.ended_at(now)
            over = ended is not None and now >= ended + one.terminating_s + lag
            if name in uses(one) and not over:
                found.append(one.id)
        return found

    def ended(self) -> list[dict[str, Any]]:
        """Short records of instances that are gone."""
        return [row for _, row in self._store.read_all("ended") if isinstance(row, dict)]

    def spent(self, account: str) -> float:
        """USD that an account has spent on instances."""
        now = self._now()
        past = sum(row["spent"] for row in self.ended() if row["account"] == account)
        return float(past) + sum(one.usd(now) for one in self.of(account))

    def new_id(self) -> str:
        """32 hexadecimal digits that were never given before, the same in each run with the same seed."""
        self._serial += 1
        self._store.write([("meta", "serial", self._serial)])
        return hashlib.sha256(f"{self._settings().seed}/{self._serial}".encode()).hexdigest()[:32]

    def draw(self, what: str) -> float:
        """A number from 0 up to 1 that depends on the seed and on what it is for."""
        digest = hashlib.sha256(f"{self._settings().seed}/{what}".encode()).digest()
        return int.from_bytes(digest[:4]) / 2**32

    def add(self, machine: Machine, *, stuck: bool = False) -> None:
        """Takes in a new instance and begins its boot. `stuck`: a boot that never ends."""
        settings, now = self._settings(), self._now()
        number = self._serial % 64516
        machine.ip = f"198.51.{number // 254}.{number % 254 + 1}"
        machine.private_ip = f"10.19.{number // 254}.{number % 254 + 1}"
        machine.ip_at = now + settings.ip_after_s
        machine.named_at = now + settings.name_after_s
        machine.listed_at = now + settings.list_lag_s
        machine.readable_at = now + settings.get_lag_s
        if not (stuck or settings.boot_forever):
            machine.active_at = machine.first_active_at = now + self._boot_s(machine)
            machine.ip_at = min(machine.ip_at, machine.active_at)
            if machine.unhealthy_at is None and settings.goes_unhealthy_after is not None:
                machine.unhealthy_at = machine.active_at + settings.goes_unhealthy_after
            if machine.preempted_at is None and settings.preempt_after is not None:
                machine.preempted_at = machine.active_at + settings.preempt_after
        machine.gone_after_s = settings.terminated_visible_s
        self._machines[machine.id] = machine
        self.save(machine)

    def restart(self, machine: Machine) -> None:
        """Boots an instance again; it goes on costing."""
        machine.active_at = self._now() + self._boot_s(machine)
        self.save(machine)

    def terminate(self, machine: Machine, reason: str = "terminated by user") -> None:
        """Begins the end of an instance; once more changes nothing."""
        now, settings = self._now(), self._settings()
        if machine.ended_at(now) is None:
            machine.terminated_at, machine.end_reason = now, reason
            machine.terminating_s = settings.terminating_s
            machine.gone_after_s = settings.terminated_visible_s
            machine.reported_status = ""
            self.save(machine)

    def preempt(self, machine: Machine) -> None:
        """Takes an instance away."""
        now = self._now()
        if machine.ended_at(now) is None:
            machine.preempted_at, machine.reported_status = now, ""
            self.save(machine)

    def save(self, machine: Machine) -> None:
        """Notes that an instance's record was changed."""
        self._store.write([("machine", machine.id, machine.record())])

    def settle(self) -> None:
        """Forgets instances that are not shown any more, when nothing counts them as users either."""
        now, lag = self._now(), self._settings().fs_in_use_lag_s
        for machine in list(self._machines.values()):
            ended = machine.ended_at(now)
            if ended is None or machine.status(now) or now < ended + machine.terminating_s + lag:
                continue
            del self._machines[machine.id]
            row = {
                "id": machine.id,
                "account": machine.account,
                "name": machine.name,
                "created_at": rfc3339(machine.created_at),
                "ended_at": rfc3339(ended),
                "reason": machine.end_reason or "preempted",
                "spent": round(machine.usd(now), 6),
            }
            self._store.write([("machine", machine.id, None), ("ended", machine.id, row)])

    def clear(self) -> None:
        """Forgets every instance, as if there had never been one."""
        self._machines.clear()
        self._store.clear()
        self._store.write([("meta", "serial", self._serial)])

    def _boot_s(self, machine: Machine) -> float:
        settings = self._settings()
        big = self.catalogue.kinds[machine.kind].gpus >= 8 and settings.boot_8_gpus_s is not None
        base = settings.boot_8_gpus_s if big and settings.boot_8_gpus_s is not None else settings.boot_s
        return base + settings.boot_spread_s * self.draw(f"{machine.id}/boot")
