"""What survives a restart: JSON documents in one SQLite file.

Every write is one small transaction. With the write-ahead log and `synchronous=OFF` a write has reached the
kernel when the call returns: it survives `kill -9` of the emulator (not a power cut, which no test makes).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

Write = tuple[str, str, object | None]
"""Kind, id, and the document; None deletes it."""


class Store:
    """The documents of one cloud or of the frame.

    Args:
        connection: From `open_database`.
        owner: Whose documents these are: `runpod`, `frame`.
    """

    def __init__(self, connection: sqlite3.Connection, owner: str) -> None:
        self._connection = connection
        self._owner = owner

    def write(self, writes: Iterable[Write]) -> None:
        """Writes all or nothing."""
        rows = [
            (self._owner, kind, key, None if value is None else json.dumps(value, separators=(",", ":")))
            for kind, key, value in writes
        ]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for owner, kind, key, text in rows:
                if text is None:
                    self._connection.execute(
                        "DELETE FROM documents WHERE owner=? AND kind=? AND id=?", (owner, kind, key)
                    )
                else:
                    self._connection.execute(
                        "INSERT INTO documents VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET text=excluded.text",
                        (owner, kind, key, text),
                    )
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def read(self, kind: str, key: str) -> object | None:
        """One document; None if there is none."""
        row = self._connection.execute(
            "SELECT text FROM documents WHERE owner=? AND kind=? AND id=?", (self._owner, kind, key)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def read_all(self, kind: str) -> Iterator[tuple[str, object]]:
        """All documents of a kind, in the order in which they were first written."""
        rows = self._connection.execute(
            "SELECT id, text FROM documents WHERE owner=? AND kind=? ORDER BY rowid", (self._owner, kind)
        )
        for key, text in rows.fetchall():
            yield key, json.loads(text)

    def clear(self) -> None:
        """Forgets every document of this owner."""
        self._connection.execute("DELETE FROM documents WHERE owner=?", (self._owner,))


def open_database(path: Path | None) -> sqlite3.Connection:
    """Opens or makes the file; None: in memory, for tests."""
    connection = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS documents"
        " (owner TEXT, kind TEXT, id TEXT, text TEXT, PRIMARY KEY (owner, kind, id))"
    )
    return connection
