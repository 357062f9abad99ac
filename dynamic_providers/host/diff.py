"""From a provider's answer to the engine's diff message.

The engine always gets yes or no and a list of properties. Left to compare by itself it would also show
`__provider`, the pickled provider, which changes when a module moves and means nothing to a user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pulumi.dynamic import DiffResult
from pulumi.runtime.proto import provider_pb2

from dynamic_providers.host import sdk
from dynamic_providers.host.results import DetailedDiff, Kind, root_of

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_PROTO_KIND = {
    Kind.ADD: provider_pb2.PropertyDiff.ADD,
    Kind.DELETE: provider_pb2.PropertyDiff.DELETE,
    Kind.UPDATE: provider_pb2.PropertyDiff.UPDATE,
    Kind.ADD_REPLACE: provider_pb2.PropertyDiff.ADD_REPLACE,
    Kind.DELETE_REPLACE: provider_pb2.PropertyDiff.DELETE_REPLACE,
    Kind.UPDATE_REPLACE: provider_pb2.PropertyDiff.UPDATE_REPLACE,
}
_REPLACING = {
    Kind.ADD: Kind.ADD_REPLACE,
    Kind.DELETE: Kind.DELETE_REPLACE,
    Kind.UPDATE: Kind.UPDATE_REPLACE,
}


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Kind]:
    """Which properties differ between two sets of inputs.

    Args:
        old: Inputs in the state.
        new: Inputs now; a value that is not known yet counts as changed.

    Returns:
        Property path to kind; properties that begin with `__` are the SDK's and are left out.
    """
    found: dict[str, Kind] = {}
    for key in sorted({*old, *new}):
        if not key.startswith("__"):
            _compare(old.get(key), new.get(key), _join("", key), found)
    return found


def _compare(old: Any, new: Any, path: str, found: dict[str, Kind]) -> None:
    if old is None and new is None:
        return
    if old is None:
        found[path] = Kind.ADD
    elif new is None:
        found[path] = Kind.DELETE
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            _compare(old.get(key), new.get(key), _join(path, key), found)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            _compare(
                old[index] if index < len(old) else None,
                new[index] if index < len(new) else None,
                f"{path}[{index}]",
                found,
            )
    elif isinstance(new, sdk.Unknown) or isinstance(old, sdk.Unknown) or old != new:
        found[path] = Kind.UPDATE


def _join(path: str, key: str) -> str:
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'{path}["{escaped}"]'


def response(
    result: DiffResult, old_inputs: Mapping[str, Any], new_inputs: Mapping[str, Any]
) -> provider_pb2.DiffResponse:
    """The engine's message.

    Args:
        result: The provider's answer. Without `changes` the inputs are compared here.
        old_inputs: Inputs in the state.
        new_inputs: Checked inputs of this run.
    """
    replaces = list(result.replaces or [])
    if isinstance(result, DetailedDiff):
        detailed = result.detailed
    else:
        detailed = {
            path: _REPLACING[kind] if root_of(path) in replaces else kind
            for path, kind in compare(old_inputs, new_inputs).items()
        }
    changes = bool(detailed) if result.changes is None else result.changes
    changes = changes or bool(replaces)
    if not changes:
        detailed = {}
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE,
        replaces=replaces,
        stables=list(result.stables or []),
        deleteBeforeReplace=bool(result.delete_before_replace),
        diffs=sorted({root_of(path) for path in detailed}),
        detailedDiff={
            path: provider_pb2.PropertyDiff(kind=_PROTO_KIND[kind], inputDiff=True)
            for path, kind in detailed.items()
        },
        hasDetailedDiff=True,
    )
