"""Whether the objects that inputs name are there.

Only where a store says what there is: without one, an id may be that of a real object that nobody here knows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from engine.standins.checking import Finding
from engine.standins.store import HIDDEN, Store
from engine.standins.tables import Tables
from engine.standins.values import UNKNOWN, at, plain


class Planned:
    """What this process has previewed, and will be there when its dependents are made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: list[tuple[str, dict[str, Any]]] = []

    def add(self, token: str, values: Mapping[str, Any]) -> None:
        """Remembers a previewed object."""
        with self._lock:
            self._objects.append((token, plain(values)))

    def all(self, token: str) -> list[dict[str, Any]]:
        """The previewed objects of one type."""
        with self._lock:
            return [values for kind, values in self._objects if kind == token]


def missing(
    token: str, inputs: Mapping[str, Any], tables: Tables, store: Store, planned: Planned
) -> Iterator[Finding]:
    """The references of one object to what isn't there.

    Args:
        token: its type.
        inputs: its plain inputs; unknown ones are of objects that are yet to be made.
        tables: say which properties are references.
        store: what there is.
        planned: what there will be.
    """
    for path, (other, keys) in tables.references.get(token, {}).items():
        references = list(at(inputs, path))
        if not references:
            continue
        found = [
            {"id": identifier, **values} for identifier, values in store.all(other).items()
        ] + planned.all(other)
        there = {
            str(each[key]) for each in found for key in keys if each.get(key) not in (None, HIDDEN, UNKNOWN)
        }
        for place, value in references:
            if str(value) not in there:
                yield Finding(place, f"there is no {other} whose {' or '.join(keys)} is {value!r}")
