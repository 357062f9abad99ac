"""What the engine hands to a policy, as plain values.

Reading a value that a preview does not know yet raises an error in the SDK's own objects, and the whole
policy is then skipped. Here it becomes `UNKNOWN`, which no rule takes for a text or a number: what is not
known breaks no rule yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pulumi_policy import PolicyResource
from pulumi_policy.proxy import UnknownValueError


class _Unknown:
    """A value that is not known yet."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A resource.

    Attributes:
        type: Its type token.
        name: Its name.
        urn: Its URN.
        props: Its properties, plain.
        parent: URN of the component that made it; empty for none.
        hidden: Paths of the properties that are marked as secrets.
    """

    type: str
    name: str
    urn: str
    props: Mapping[str, Any] = field(repr=False)
    parent: str = ""
    hidden: frozenset[Path] = frozenset()

    @property
    def kind(self) -> str:
        """The last part of its type: `GpuNode`."""
        return self.type.rpartition(":")[2]


def seen(resource: PolicyResource) -> Seen:
    """A resource of a stack policy."""
    parent = "" if resource.parent is None else resource.parent.urn
    return Seen(resource.resource_type, resource.name, resource.urn, plain(resource.props), parent)


def plain(value: Any) -> Any:
    """A value without the SDK's wrapping: dictionaries, lists and scalars."""
    if isinstance(value, Mapping):
        return {str(key): _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_item(value, index) for index in range(len(value))]
    return value


def _item(holder: Any, key: Any) -> Any:
    try:
        return plain(holder[key])
    except UnknownValueError:
        return UNKNOWN


def number(value: Any) -> float | None:
    """A number; None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(value: Any) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def items(value: Any) -> list[Any]:
    """A list; empty for anything else."""
    return value if isinstance(value, list) else []


def inside(value: Any, *keys: str) -> Any:
    """What is below these keys; None where there is nothing, UNKNOWN where that is not known."""
    for key in keys:
        if value is UNKNOWN:
            return UNKNOWN
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
