"""The engine's property maps as plain Python values, with the places of secrets beside them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format, struct_pb2

# Of the engine's protocol: sdk/go/common/resource/properties.go and sig.go.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
#: Stands for a value that is known only after other resources exist.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

Object = dict[str, Any]
#: Keys and indices that lead to a value.
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Loaded:
    """A property map.

    Attributes:
        value: plain; a secret is as readable as anything else.
        secrets: where secrets are.
    """

    value: Object
    secrets: frozenset[Path]


def load(struct: struct_pb2.Struct) -> Loaded:
    """Reads a property map of the engine."""
    secrets: set[Path] = set()

    def plain(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            if value.get(_SIGNATURE) == _SECRET:
                secrets.add(path)
                return plain(value.get("value"), path)
            return {key: plain(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item, (*path, index)) for index, item in enumerate(value)]
        # The protocol has floating point numbers only, and Kubernetes wants integers.
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return Loaded(plain(json_format.MessageToDict(struct), ()), frozenset(secrets))


def dump(value: Object, secrets: Iterable[Path] = ()) -> struct_pb2.Struct:
    """Writes a property map for the engine.

    Args:
        value: plain values.
        secrets: where secrets are; a place that the value does not have is passed over.
    """
    places = set(secrets)

    def wrapped(item: Any, path: Path) -> Any:
        if isinstance(item, dict):
            item = {key: wrapped(inner, (*path, key)) for key, inner in item.items()}
        elif isinstance(item, list):
            item = [wrapped(inner, (*path, index)) for index, inner in enumerate(item)]
        return {_SIGNATURE: _SECRET, "value": item} if path in places else item

    struct = struct_pb2.Struct()
    # YAML files have dates and other types that JSON has not.
    json_format.ParseDict(json.loads(json.dumps(wrapped(value, ()), default=str)), struct)
    return struct


def widened(secrets: Iterable[Path]) -> frozenset[Path]:
    """The same places up to the first list on the way: a server may put other items into a list."""
    found: set[Path] = set()
    for path in secrets:
        index = next((at for at, part in enumerate(path) if isinstance(part, int)), len(path))
        found.add(path[:index])
    return frozenset(found)


def at(value: Any, path: Path) -> Any:
    """The value at a place; None if there is no such place."""
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def has_unknown(value: Any) -> bool:
    """Whether a value, or one inside it, is not known yet."""
    if isinstance(value, dict):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return bool(value == UNKNOWN)
