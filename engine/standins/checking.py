"""Inputs against the SDK's own types: unknown and missing properties, wrong types, values outside an enum."""

from __future__ import annotations

import difflib
import enum
import typing
from collections import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.standins import sdk_types
from engine.standins.sdk_types import Property
from engine.standins.values import UNKNOWN

_MOST_LISTED = 40


@dataclass(frozen=True)
class Finding:
    """What is wrong with one property.

    Attributes:
        path: the property, with the names that the engine shows: `taints[0].effect`.
        text: the rule that it breaks, without the property.
    """

    path: str
    text: str

    @property
    def line(self) -> str:
        """One line with the property and the rule."""
        return f"{self.path}: {self.text}" if self.path else self.text


def check(values: Mapping[str, Any], properties: Mapping[str, Property], path: str = "") -> Iterator[Finding]:
    """Compares plain values with the properties of a type.

    Args:
        values: what the program gave; unknown values are taken as right.
        properties: what the type has.
        path: of the object that has these properties; empty at the top.
    """
    for name in values:
        if name not in properties and not name.startswith("__"):
            yield Finding(_join(path, name), f"there is no such property{_nearest(name, properties)}")
    for name, about in properties.items():
        if values.get(name) is not None:
            yield from _value(values[name], about.type, _join(path, name))
        elif about.required:
            yield Finding(_join(path, name), "is required and missing")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.7)
    if close:
        return f": did you mean {close[0]}?"
    return f" (there are {', '.join(sorted(known))})" if len(known) <= _MOST_LISTED else ""


def _value(value: Any, kind: Any, path: str) -> Iterator[Finding]:
    if value is None or value is UNKNOWN:
        return
    options = sdk_types.members(kind)
    enums = [each for each in options if isinstance(each, type) and issubclass(each, enum.Enum)]
    if enums and isinstance(value, str | int | float):
        allowed = [str(item.value) for each in enums for item in each]
        if str(value) not in allowed:
            yield Finding(path, f"{value!r} is not one of {_listed(allowed)}")
        return
    first: list[Finding] | None = None
    for option in options:
        found = list(_option(value, option, path))
        if not found:
            return
        first = first if first is not None else found
    yield from first or ()


def _listed(allowed: list[str]) -> str:
    shown = ", ".join(sorted(allowed)[:_MOST_LISTED])
    return shown if len(allowed) <= _MOST_LISTED else f"{shown}, … ({len(allowed)} values)"


def _option(value: Any, kind: Any, path: str) -> Iterator[Finding]:
    origin = typing.get_origin(kind)
    if sdk_types.is_object(kind):
        if isinstance(value, Mapping):
            yield from check(value, sdk_types.properties(kind), path)
        else:
            yield _wrong(path, "an object", value)
    elif isinstance(origin, type) and issubclass(origin, abc.Mapping):
        if not isinstance(value, Mapping):
            yield _wrong(path, "a map", value)
            return
        for key, item in value.items():
            yield from _value(item, typing.get_args(kind)[1], f"{path}.{key}")
    elif isinstance(origin, type) and issubclass(origin, abc.Sequence):
        if not isinstance(value, list):
            yield _wrong(path, "a list", value)
            return
        for index, item in enumerate(value):
            yield from _value(item, typing.get_args(kind)[0], f"{path}[{index}]")
    elif kind is bool:
        if not isinstance(value, bool):
            yield _wrong(path, "true or false", value)
    elif kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield _wrong(path, "a number", value)
        elif kind is int and not float(value).is_integer():
            yield _wrong(path, "a whole number", value)
    elif kind is str and not isinstance(value, str):
        yield _wrong(path, "a string", value)


def _wrong(path: str, wanted: str, value: Any) -> Finding:
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    got = kinds.get(type(value), "an object")
    shown = f" ({value!r})" if isinstance(value, bool | int | float | str) else ""
    return Finding(path, f"wants {wanted}, and this is {got}{shown}")
