"""Which inputs an object has now, for a refresh: what the program gave, with the values of today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.standins.sdk_types import Property
from engine.standins.tables import Kind
from engine.standins.values import Secret, Values, plain


def inputs_now(values: Values, inputs: Values, declared: Mapping[str, Property], kind: Kind) -> Values:
    """The inputs that would make the object as it is now.

    Args:
        values: its properties today.
        inputs: those of the last run; empty for an import, which takes every property that is an input.
        declared: the input properties of its type.
        kind: its type. What its table fills in says nothing about what a program gave; another input that
            appeared was added by somebody.
    """
    if not inputs:
        return {name: value for name, value in values.items() if name in declared}
    added = {
        name: value
        for name, value in values.items()
        if name in declared and name not in inputs and name not in kind.outputs
    }
    return {**{name: _like(values.get(name), old) for name, old in inputs.items() if name in values}, **added}


def _like(now: Any, old: Any) -> Any:
    """Today's value with the parts that the old one had; the cloud may have filled in more."""
    if plain(now) == plain(old):
        return old
    if isinstance(old, Secret):
        return now
    if isinstance(now, Mapping) and isinstance(old, Mapping):
        return {key: _like(now[key], item) for key, item in old.items() if key in now}
    if isinstance(now, Mapping) and isinstance(old, list):
        # Azure takes ids as a list and answers with an object: id -> what it knows of it.
        return old if set(plain(old)) == set(now) else list(now)
    if isinstance(now, list) and isinstance(old, list) and len(now) == len(old):
        return [_like(item, other) for item, other in zip(now, old, strict=True)]
    return now
