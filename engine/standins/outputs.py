"""The outputs of an object: its inputs, and what a cloud would add."""

from __future__ import annotations

import enum
import typing
from collections import abc
from collections.abc import Mapping
from typing import Any

from engine.standins import sdk_types
from engine.standins.naming import Filling
from engine.standins.tables import Kind
from engine.standins.values import UNKNOWN, Values

MARK = "__standIn"
"""In the outputs of everything that a stand-in made; what lacks it is somebody else's and left alone."""

_MADE_BY = "no cloud has made this"

_IDENTITIES = "userAssignedIdentities"
"""Azure takes them as a list of ids and answers with an object: id -> what it knows of it."""


def preview(inputs: Values, computed: Mapping[str, Any], kind: Kind) -> Values:
    """What is known before an object exists: its inputs; what the cloud decides is unknown.

    Args:
        inputs: with secrets wrapped.
        computed: name -> type, of the outputs that are no inputs.
        kind: its type.
    """
    unknown = {name: UNKNOWN for name in (*computed, *kind.outputs) if name != "id" and name not in inputs}
    return {
        **_completed(inputs, {key: _unknown(value) for key, value in kind.outputs.items()}),
        **unknown,
        **_mark(),
    }


def created(inputs: Values, computed: Mapping[str, Any], kind: Kind, filling: Filling) -> Values:
    """The outputs of a new object: from its type's table, else plausible by their types."""
    made = {
        name: _plausible(about, name)
        for name, about in computed.items()
        if name != "id" and name not in kind.outputs
    }
    table = {name: filling.fill(template) for name, template in kind.outputs.items()}
    known = {name: value for name, value in made.items() if value is not None}
    return {**known, **table, **_completed(inputs, table), **_mark()}


def updated(inputs: Values, olds: Values, old_inputs: Values, kind: Kind, *, in_preview: bool) -> Values:
    """The outputs of a changed object: what was an input before and is none any more goes.

    Args:
        inputs: the new ones.
        olds: the outputs so far.
        old_inputs: the inputs so far.
        kind: its type.
        in_preview: what every update changes is unknown.
    """
    kept = {name: value for name, value in olds.items() if name not in old_inputs}
    table = {name: _part(olds.get(name), template) for name, template in kind.outputs.items()}
    changing = {
        name: UNKNOWN if in_preview else _next(kept.get(name)) for name in kind.changing if name in kept
    }
    return {**kept, **_completed(inputs, table), **changing, **_mark()}


def _completed(inputs: Values, table: Mapping[str, Any]) -> Values:
    """Inputs; objects among them with what the cloud adds inside (`vpcConfig.clusterSecurityGroupId`)."""
    found = {name: _answered(value) for name, value in inputs.items()}
    for name, added in table.items():
        given = found.get(name)
        if isinstance(given, Mapping) and isinstance(added, Mapping):
            found[name] = {**added, **given}
    return found


def _answered(value: Any) -> Any:
    """An input as the cloud gives it back."""
    if not isinstance(value, Mapping) or not isinstance(value.get(_IDENTITIES), list):
        return value
    ids = value[_IDENTITIES]
    return {**value, _IDENTITIES: UNKNOWN if UNKNOWN in ids else {each: {} for each in ids}}


def _unknown(template: Any) -> Any:
    return dict.fromkeys(template, UNKNOWN) if isinstance(template, Mapping) else UNKNOWN


def _part(value: Any, template: Any) -> Any:
    if isinstance(template, Mapping) and isinstance(value, Mapping):
        return {key: value[key] for key in template if key in value}
    return None


def _mark() -> Values:
    return {MARK: _MADE_BY}


def _next(value: Any) -> Any:
    return value + 1 if isinstance(value, int) else value


def _plausible(kind: Any, name: str, outer: tuple[Any, ...] = ()) -> Any:
    """A value of a type; none for a type inside itself: Azure's types refer to each other in circles."""
    options = sdk_types.members(kind)
    option = options[0] if options else str
    origin = typing.get_origin(option)
    if option in outer:
        return None
    if sdk_types.is_output_object(option):
        inner = sdk_types.output_properties(option)
        within = (*outer, option)
        found = {key: _plausible(each, key, within) for key, each in inner.items() if not _optional(each)}
        return {key: value for key, value in found.items() if value is not None}
    if isinstance(origin, type) and issubclass(origin, abc.Mapping):
        return {}
    if isinstance(origin, type) and issubclass(origin, abc.Sequence):
        return []
    if isinstance(option, type) and issubclass(option, enum.Enum):
        return next(iter(option)).value
    if option is bool:
        return False
    if option in (int, float):
        return 0
    return f"stand-in-{name}" if option is str else None


def _optional(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Union and type(None) in typing.get_args(kind)
