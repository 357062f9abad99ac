"""Checks request bodies against small schemas and words the complaints as RunPod's validator does.

Hand-written on purpose: the emulators are themselves tested against the clouds' published descriptions, so
they must not be built from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Check = Callable[[Any, str], list[str]]


def kind_of(value: object) -> str:
    """JSON's name of a value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _wrong(value: object, at: str, wanted: str) -> list[str]:
    return [f"{at}: got {kind_of(value)}, want {wanted}"]


def text(*, least: int = 0, pattern: str = "", nullable: bool = False) -> Check:
    """A string of at least so many characters that fits a pattern."""
    compiled = re.compile(pattern) if pattern else None

    def check(value: Any, at: str) -> list[str]:
        if value is None and nullable:
            return []
        if not isinstance(value, str):
            return _wrong(value, at, "null or string" if nullable else "string")
        if len(value) < least:
            return [f"{at}: minLength: got {len(value)}, want {least}"]
        if compiled and not compiled.search(value):
            return [f"{at}: '{value}' does not match pattern '{pattern}'"]
        return []

    return check


def one_of(*values: str) -> Check:
    """One of these strings."""

    def check(value: Any, at: str) -> list[str]:
        if value in values:
            return []
        listed = ", ".join(f"'{v}'" for v in values)
        return [f"{at}: value must be one of {listed}"]

    return check


def integer(least: int | None = None, most: int | None = None) -> Check:
    """A whole number within bounds."""

    def check(value: Any, at: str) -> list[str]:
        if kind_of(value) != "integer":
            return _wrong(value, at, "integer")
        if least is not None and value < least:
            return [f"{at}: minimum: got {value}, want {least}"]
        if most is not None and value > most:
            return [f"{at}: maximum: got {value}, want {most}"]
        return []

    return check


def boolean() -> Check:
    """True or false."""

    def check(value: Any, at: str) -> list[str]:
        return [] if isinstance(value, bool) else _wrong(value, at, "boolean")

    return check


def array(item: Check, most: int | None = None) -> Check:
    """A list of such items."""

    def check(value: Any, at: str) -> list[str]:
        if not isinstance(value, list):
            return _wrong(value, at, "array")
        if most is not None and len(value) > most:
            return [f"{at}: maxItems: got {len(value)}, want {most}"]
        return [line for i, one in enumerate(value) for line in item(one, f"{at}[{i}]")]

    return check


def text_map() -> Check:
    """An object whose values are strings."""

    def check(value: Any, at: str) -> list[str]:
        if not isinstance(value, dict):
            return _wrong(value, at, "object")
        return [
            line
            for key, one in value.items()
            if not isinstance(one, str)
            for line in _wrong(one, f"{at}.{key}", "string")
        ]

    return check


@dataclass(frozen=True, slots=True)
class Shape:
    """An object with these properties and no others.

    Attributes:
        properties: The check of each property.
        required: Properties that must be there.
        least: How many properties there must be.
    """

    properties: Mapping[str, Check]
    required: tuple[str, ...] = ()
    least: int = field(default=0)

    def __call__(self, value: Any, at: str = "$") -> list[str]:
        """The complaints about a value, each with the path of what it is about."""
        if not isinstance(value, dict):
            return _wrong(value, at, "object")
        lines = [f"{at}: missing property '{name}'" for name in self.required if name not in value]
        if len(value) < self.least:
            lines.append(f"{at}: minProperties: got {len(value)}, want {self.least}")
        for name, one in value.items():
            check = self.properties.get(name)
            if check is None:
                lines.append(f"{at}: additional properties '{name}' not allowed")
            else:
                lines.extend(check(one, f"{at}.{name}"))
        return lines
