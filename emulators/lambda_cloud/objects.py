"""The account's objects other than instances, kept as rows of JSON."""

from __future__ import annotations

from typing import Any

from emulators.store import Store


class Objects:
    """Rows by kind and account.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def rows(self, kind: str, account: str) -> list[dict[str, Any]]:
        """All rows of a kind, oldest first."""
        return [row for _, row in self._store.read_all(f"{kind}/{account}") if isinstance(row, dict)]

    def row(self, kind: str, account: str, object_id: str) -> dict[str, Any] | None:
        """One row; None if there is none."""
        row = self._store.read(f"{kind}/{account}", object_id)
        return row if isinstance(row, dict) else None

    def put(self, kind: str, account: str, row: dict[str, Any]) -> None:
        """Writes a row under its `id`."""
        self._store.write([(f"{kind}/{account}", row["id"], row)])

    def drop(self, kind: str, account: str, object_id: str) -> None:
        """Deletes a row."""
        self._store.write([(f"{kind}/{account}", object_id, None)])
