"""Rules that several clouds share, and small tools to write rules with. All pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from engine.standins.checking import Finding
from engine.standins.values import UNKNOWN, Values, at

# Kubernetes' own syntax: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
_LABEL_NAME = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)")
_LABEL_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def one(values: Mapping[str, Any], path: str) -> Any:
    """The known value at a path without lists; None when it isn't given or isn't known."""
    return next((value for _, value in at(values, path)), None)


def given(values: Mapping[str, Any], path: str) -> bool:
    """Whether there is a value at a path without lists, known or not; an empty list or text is none."""
    name, _, rest = path.partition(".")
    value = values.get(name)
    if not rest or value is UNKNOWN:
        return value is not None and value not in ([], "", {})
    return isinstance(value, Mapping) and given(value, rest)


def objects(values: Mapping[str, Any], pattern: str) -> Iterator[tuple[str, Values]]:
    """The known objects at a place: (path, object)."""
    for path, value in at(values, pattern):
        if isinstance(value, dict):
            yield path, value


def under(path: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings of a part, with the paths of the whole."""
    for each in findings:
        yield Finding(f"{path}.{each.path}" if each.path else path, each.text)


def matching(values: Mapping[str, Any], pattern: str, expression: str, rule: str) -> Iterator[Finding]:
    """Values at a place that a regular expression doesn't match as a whole."""
    for path, value in at(values, pattern):
        if isinstance(value, str) and not re.fullmatch(expression, value):
            yield Finding(path, f"{value!r}: {rule} ({expression})")


def between(values: Mapping[str, Any], pattern: str, least: float, most: float) -> Iterator[Finding]:
    """Numbers at a place that are outside a range."""
    for path, value in at(values, pattern):
        if isinstance(value, int | float) and not least <= value <= most:
            yield Finding(path, f"{value} is not between {least:g} and {most:g}")


def exclusive(values: Mapping[str, Any], *paths: str, because: str) -> Iterator[Finding]:
    """Properties of which at most one may be given; the later ones are what is wrong."""
    there = [path for path in paths if given(values, path)]
    for path in there[1:]:
        yield Finding(path, f"can't be given together with {there[0]}: {because}")


def ordered(values: Mapping[str, Any], least: str, most: str) -> Iterator[Finding]:
    """Two numbers, of which the first must not be above the second."""
    low, high = one(values, least), one(values, most)
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        yield Finding(least, f"{low:g} is above {most}, which is {high:g}")


def label(path: str, key: str, value: Any) -> Iterator[Finding]:
    """The syntax of a Kubernetes label."""
    prefix, slash, name = key.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (slash and not _LABEL_PREFIX.fullmatch(prefix)):
        yield Finding(path, f"{key!r} is no name of a Kubernetes label: [prefix/]name, at most 63 characters")
    if isinstance(value, str) and value and not _LABEL_NAME.fullmatch(value):
        yield Finding(path, f"{value!r} is no value of a Kubernetes label: at most 63 letters, digits, - _ .")


def labels(values: Mapping[str, Any], pattern: str) -> Iterator[Finding]:
    """The labels in maps at a place."""
    for path, found in objects(values, pattern):
        for key, value in found.items():
            yield from label(f"{path}.{key}", key, value)


def network(values: Mapping[str, Any], pattern: str, shortest: int, longest: int) -> Iterator[Finding]:
    """IPv4 ranges at a place: right syntax, no host bits, prefix within bounds."""
    for path, value in at(values, pattern):
        try:
            found = ipaddress.IPv4Network(value)
        except ValueError as error:
            yield Finding(path, f"{value!r} is no IPv4 range: {error}")
            continue
        if not shortest <= found.prefixlen <= longest:
            yield Finding(path, f"{value!r}: its prefix must be between /{shortest} and /{longest}")
