"""The instances of all accounts and the places that are free. No HTTP here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from emulators.store import Store
from emulators.vast.catalogue import HOSTS, Host
from emulators.vast.machine import Machine
from emulators.vast.settings import Settings

_FIRST_ID = 30_000_000


class Fleet:
    """All instances.

    Args:
        store: Where they are kept.
        now: Emulated time.
        settings: The settings of the moment.
    """

    def __init__(self, store: Store, now: Callable[[], float], settings: Callable[[], Settings]) -> None:
        self._store = store
        self.now = now
        self._settings = settings
        self._machines: dict[int, Machine] = {}
        for _, document in store.read_all("machine"):
            if isinstance(document, dict):
                machine = Machine(**document)
                self._machines[machine.id] = machine

    def all(self) -> list[Machine]:
        """Every instance that is or was, oldest first."""
        return list(self._machines.values())

    def get(self, account: str, machine_id: str) -> Machine | None:
        """A living instance of this account."""
        machine = self.any(machine_id)
        return machine if machine is not None and machine.account == account else None

    def any(self, machine_id: str) -> Machine | None:
        """A living instance, whosever it is."""
        found = self._machines.get(int(machine_id)) if machine_id.isascii() and machine_id.isdigit() else None
        return None if found is None or found.deleted_at is not None else found

    def listed(self, account: str) -> list[Machine]:
        """What the account's list shows, oldest first."""
        now, settings = self.now(), self._settings()
        return [
            one
            for one in self._machines.values()
            if one.account == account
            and now >= one.created_at + settings.list_lag_s
            and (one.deleted_at is None or now < one.deleted_at + settings.destroyed_listed_s)
        ]

    def spent(self, account: str) -> float:
        """USD that the account has spent so far."""
        now = self.now()
        return sum(one.cost(now) for one in self._machines.values() if one.account == account)

    def hosts(self) -> list[Host]:
        """Hosts with a free place."""
        return [host for host in HOSTS if self._is_free(host)]

    def price(self, host: Host) -> tuple[float, float]:
        """USD per hour on demand, and the least bid, now."""
        factor = self._settings().prices.get(host.gpu_name, 1.0)
        return round(host.dph_total * factor, 4), round(host.min_bid * factor, 4)

    def rent(self, account: str, host: Host, **fields: Any) -> Machine:
        """A new instance at a host."""
        machine = Machine(
            id=_FIRST_ID + len(self._machines),
            account=account,
            ask_id=host.ask_id,
            gpu_name=host.gpu_name,
            num_gpus=host.num_gpus,
            geolocation=host.geolocation,
            created_at=self.now(),
            **fields,
        )
        self._machines[machine.id] = machine
        self.save(machine)
        return machine

    def destroy(self, machine: Machine) -> None:
        """Ends an instance."""
        machine.spent = machine.cost(self.now())
        machine.deleted_at = self.now()
        self.save(machine)

    def save(self, machine: Machine) -> None:
        """Keeps an instance over a restart."""
        self._store.write([("machine", str(machine.id), asdict(machine))])

    def clear(self) -> None:
        """Forgets every instance."""
        self._machines.clear()
        self._store.clear()

    def _is_free(self, host: Host) -> bool:
        capacity = self._settings().capacity
        for key in (f"{host.gpu_name}|{host.country}", f"{host.gpu_name}|*", f"*|{host.country}", "*|*"):
            if key in capacity:
                places = capacity[key]
                used = sum(
                    one.ask_id == host.ask_id and one.deleted_at is None for one in self._machines.values()
                )
                return places is None or used < places
        return True
