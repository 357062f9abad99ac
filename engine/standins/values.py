"""Property values between the engine's wire format and Python.

Secrets stay wrapped, so that whatever is built from an input is as secret as the input was; unknown values
(of resources that a preview hasn't made) are the one object `UNKNOWN`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import struct_pb2
from pulumi.runtime import rpc

_SIGNATURE = rpc._special_sig_key
_SECRET = rpc._special_secret_sig
_OUTPUT_VALUE = rpc._special_output_value_sig
#: Shorter texts are not searched for in messages: they would hide half of them.
_SHORTEST = 4

Values = dict[str, Any]


class _Unknown:
    def __repr__(self) -> str:
        return "[unknown]"


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that no message and no file may show."""

    value: Any

    def __repr__(self) -> str:
        return "[secret]"


def decode(struct: struct_pb2.Struct) -> Values:
    """Properties from the engine. Those that are null are left out."""
    found = {key: _decode(item) for key, item in struct.fields.items()}
    return {key: value for key, value in found.items() if value is not None}


def _decode(item: struct_pb2.Value) -> Any:
    kind = item.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if item.string_value == rpc.UNKNOWN else item.string_value
    if kind == "number_value":
        number = item.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return item.bool_value
    if kind == "list_value":
        return [_decode(each) for each in item.list_value.values]
    if kind == "struct_value":
        fields = item.struct_value.fields
        signature = fields[_SIGNATURE].string_value if _SIGNATURE in fields else ""
        if signature == _SECRET:
            return Secret(_decode(fields["value"]))
        if signature == _OUTPUT_VALUE:
            value = _decode(fields["value"]) if "value" in fields else UNKNOWN
            return Secret(value) if "secret" in fields and fields["secret"].bool_value else value
        return decode(item.struct_value)
    return None


def encode(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Properties for the engine."""
    struct = struct_pb2.Struct()
    for key, value in values.items():
        struct.fields[key].CopyFrom(_encode(value))
    return struct


def _encode(value: Any) -> struct_pb2.Value:
    if value is UNKNOWN:
        return struct_pb2.Value(string_value=rpc.UNKNOWN)
    if isinstance(value, Secret):
        inner = struct_pb2.Struct()
        inner.fields[_SIGNATURE].string_value = _SECRET
        inner.fields["value"].CopyFrom(_encode(value.value))
        return struct_pb2.Value(struct_value=inner)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=encode(value))
    if isinstance(value, list):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_encode(item) for item in value]))
    return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)


def plain(value: Any) -> Any:
    """The value without its secret wrappers."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def redact(text: str, *values: Any) -> str:
    """The text without the secrets that are inside any of the values."""
    for secret in sorted(
        {found for value in values for found in _texts(value, False)}, key=len, reverse=True
    ):
        text = text.replace(secret, "[secret]")
    return text


def _texts(value: Any, secret: bool) -> Iterator[str]:
    if isinstance(value, Secret):
        yield from _texts(value.value, True)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item, secret)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, secret)
    elif secret and isinstance(value, str) and len(value) >= _SHORTEST:
        yield value


def at(values: Mapping[str, Any], pattern: str) -> Iterator[tuple[str, Any]]:
    """The known values at a place: (path, value).

    Args:
        values: plain values.
        pattern: `scalingConfig.minSize`; `[]` after a name stands for every item: `taints[].effect`.
    """
    name, _, rest = pattern.partition(".")
    each = name.endswith("[]")
    value = values.get(name.removesuffix("[]"))
    found = [(name, value)]
    if each:
        items = value if isinstance(value, list) else []
        found = [(f"{name[:-2]}[{index}]", item) for index, item in enumerate(items)]
    for path, item in found:
        if item is None or item is UNKNOWN:
            continue
        if not rest:
            yield path, item
        elif isinstance(item, Mapping):
            for inner, last in at(item, rest):
                yield f"{path}.{inner}", last
