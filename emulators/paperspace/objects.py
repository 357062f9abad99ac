"""What outlives a team's machines: scripts, addresses, snapshots, networks, own templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emulators.store import Store

FAMILIES = {
    "startup-scripts": "ss",
    "private-networks": "ne",
    "public-ips": "",
    "snapshots": "sn",
    "custom-templates": "ct",
}
"""Every family by the word in its path, with what its ids begin with."""

Row = dict[str, Any]


class Objects:
    """All objects of all teams.

    Args:
        store: Where they are kept.
        new_id: Gives ids with a prefix.
    """

    def __init__(self, store: Store, new_id: Callable[[str], str]) -> None:
        self._store = store
        self._new_id = new_id
        self._rows: dict[str, dict[str, Row]] = {
            family: {key: row for key, row in store.read_all(family) if isinstance(row, dict)}
            for family in FAMILIES
        }

    def of(self, family: str, account: str) -> list[Row]:
        """The objects of a team, oldest first."""
        return [row for row in self._rows[family].values() if row["account"] == account]

    def get(self, family: str, account: str, object_id: str) -> Row | None:
        """One object of a team."""
        row = self._rows[family].get(object_id)
        return row if row is not None and row["account"] == account else None

    def add(self, family: str, account: str, row: Row, object_id: str = "") -> Row:
        """Takes in a new object, which gets an id unless it has one."""
        object_id = object_id or self._new_id(FAMILIES[family])
        made = {"account": account, "id": object_id, **row}
        self._rows[family][object_id] = made
        self.save(family, made)
        return made

    def save(self, family: str, row: Row) -> None:
        """Notes that an object was changed."""
        self._store.write([(family, row["id"], row)])

    def remove(self, family: str, object_id: str) -> None:
        """Ends an object."""
        self._rows[family].pop(object_id, None)
        self._store.write([(family, object_id, None)])

    def counts(self, account: str) -> dict[str, int]:
        """How many of each family a team has."""
        return {family: len(self.of(family, account)) for family in FAMILIES}

    def machine_gone(self, account: str, machine_id: str, network_id: str | None, at: float) -> None:
        """A machine has ended: its static address is free, its network notes the time, the rest stays."""
        for row in self.of("public-ips", account):
            if row["machineId"] == machine_id:
                row["machineId"] = None
                self.save("public-ips", row)
        network = self.get("private-networks", account, network_id) if network_id else None
        if network is not None:
            network["left_at"] = at
            self.save("private-networks", network)

    def forget(self) -> None:
        """Forgets everything; the store is cleared by whoever calls."""
        for rows in self._rows.values():
            rows.clear()
