"""What changed between two sets of inputs, and whether that makes a new object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.standins.values import UNKNOWN

Change = Literal["add", "delete", "update"]
_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class Difference:
    """One changed property."""

    path: str
    change: Change
    replaces: bool


def differences(
    olds: Mapping[str, Any], news: Mapping[str, Any], replacing: Iterable[str]
) -> list[Difference]:
    """Compares plain inputs.

    Args:
        olds: of the last run.
        news: of this run. An unknown value counts as changed.
        replacing: properties whose change makes a new object, lists without `[]`: `nodeConfig.machineType`.
    """
    table = list(replacing)
    return [Difference(path, change, _replaces(path, table)) for path, change in _object(olds, news, "")]


def _object(olds: Mapping[str, Any], news: Mapping[str, Any], path: str) -> Iterator[tuple[str, Change]]:
    for name in sorted({*olds, *news}):
        if name.startswith("__"):
            continue
        yield from _value(olds.get(name), news.get(name), f"{path}.{name}" if path else name)


def _value(old: Any, new: Any, path: str) -> Iterator[tuple[str, Change]]:
    if old is UNKNOWN or new is UNKNOWN:
        yield path, "update"
    elif old is None and new is not None:
        yield path, "add"
    elif new is None and old is not None:
        yield path, "delete"
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _object(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            yield from _value(before, after, f"{path}[{index}]")
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, "update"


def _replaces(path: str, replacing: list[str]) -> bool:
    place = _INDEX.sub("", path)
    return any(
        place == entry or place.startswith(f"{entry}.") or entry.startswith(f"{place}.")
        for entry in replacing
    )
