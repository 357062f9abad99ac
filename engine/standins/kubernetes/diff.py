"""The differences between two inputs, in the engine's words."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.standins.kubernetes import replacing
from engine.standins.kubernetes.objects import AUTONAMED, annotation, metadata
from engine.standins.kubernetes.values import Object

ADD, DELETE, UPDATE = "ADD", "DELETE", "UPDATE"


@dataclass(frozen=True)
class Difference:
    """What changes.

    Attributes:
        changes: place -> ADD, DELETE or UPDATE.
        replaces: the places that need a new object.
        delete_first: whether the old object must go before the new one can be made.
    """

    changes: dict[str, str] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()
    delete_first: bool = False


def compare(old: Object, new: Object, mutable: Collection[str] = ()) -> Difference:
    """Compares the inputs of two runs.

    Args:
        old: of the last one.
        new: of this one.
        mutable: which of ConfigMap and Secret may be changed in place.
    """
    changes = dict(walk(old, new))
    rules = replacing.rules(old, new, mutable)
    replaces = tuple(path for path in changes if replacing.needs_new_object(path, rules, old, new))
    named = not annotation(new, AUTONAMED) and bool(metadata(new).get("name"))
    stays = not {"metadata.name", "metadata.namespace"} & set(replaces)
    return Difference(changes, replaces, bool(replaces) and named and stays)


def walk(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The places where two values differ.

    Args:
        old: one value.
        new: the other.
        path: where both are.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            place = path + _step(key, first=not path)
            if key not in old:
                yield place, ADD
            elif key not in new:
                yield place, DELETE
            else:
                yield from walk(old[key], new[key], place)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            place = f"{path}[{index}]"
            if index >= len(old):
                yield place, ADD
            elif index >= len(new):
                yield place, DELETE
            else:
                yield from walk(old[index], new[index], place)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, UPDATE


def _step(key: str, *, first: bool) -> str:
    if key.isidentifier() and key.isascii():
        return key if first else f".{key}"
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'["{escaped}"]'


def top_level(changes: Collection[str]) -> list[str]:
    """The first steps of places, each once."""
    return sorted({_first(path) for path in changes})


def _first(path: str) -> str:
    if path.startswith('["'):
        return path[2:].partition('"]')[0]
    return path.partition(".")[0].partition("[")[0]
