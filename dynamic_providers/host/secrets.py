"""Secrets on their way through a provider.

Providers work with plain values. What was secret in the properties that the engine sent, and everything that
is built from it, goes back to the engine as secret, so that no state holds it in plaintext.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import struct_pb2

from dynamic_providers.host import sdk

MIN_TEXT = 6
"""Shorter secret texts are not searched for in other values: `true` or `8000` would hide half of a state."""

Path = tuple[str, ...]
_ITEM = "[]"


@dataclass
class Secrets:
    """What is secret in one operation.

    Args:
        paths: Where secret values are. A list is one place: a short secret in it makes all of it secret.
        texts: Secret strings, and the forms they take in a URL, in JSON and in base64.
    """

    paths: set[Path] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    def add_text(self, text: str) -> None:
        """Treat every value that contains this text as secret; too short a text is left out."""
        if len(text) < MIN_TEXT:
            return
        self.texts.update(
            (
                text,
                urllib.parse.quote(text, safe=""),
                json.dumps(text)[1:-1],
                base64.b64encode(text.encode()).decode().rstrip("="),
            )
        )

    def add_texts_of(self, value: Any) -> None:
        """Add every string inside a value."""
        if isinstance(value, str):
            self.add_text(value)
        elif isinstance(value, Mapping):
            for item in value.values():
                self.add_texts_of(item)
        elif isinstance(value, list | tuple):
            for item in value:
                self.add_texts_of(item)

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets(self.paths | other.paths, self.texts | other.texts)

    def inside(self, text: str) -> bool:
        """True when the text contains a secret one."""
        return any(secret in text for secret in self.texts)

    def redact(self, text: str) -> str:
        """The text with every secret in it replaced by `[secret]`."""
        for secret in sorted(self.texts, key=len, reverse=True):
            text = text.replace(secret, "[secret]")
        return text

    def protect(self, values: Mapping[str, Any], names: Collection[str] = ()) -> dict[str, Any]:
        """Wrap what must be secret.

        Args:
            values: Inputs or outputs of a resource.
            names: Top-level properties that the provider calls secret.

        Returns:
            A copy with secret wrappers that `sdk.to_struct` understands.
        """
        return {
            key: sdk.secret(value) if key in names and value is not None else self._wrap(value, (key,))
            for key, value in values.items()
        }

    def _wrap(self, value: Any, path: Path) -> Any:
        if value is None:
            return None
        if path in self.paths:
            return sdk.secret(value)
        if isinstance(value, str):
            return sdk.secret(value) if self.inside(value) else value
        if isinstance(value, Mapping):
            if any(isinstance(key, str) and self.inside(key) for key in value):
                return sdk.secret(dict(value))
            return {key: self._wrap(item, (*path, str(key))) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._wrap(item, (*path, _ITEM)) for item in value]
        return value


_concealed = Secrets()


def conceal(texts: Iterable[str]) -> None:
    """Tell the host of further secret texts, such as the keys inside a structured configuration value.

    From then on, in this process, every input or output that contains one is sent as secret and every message
    is printed without it.
    """
    for text in texts:
        _concealed.add_text(text)


def concealed() -> Secrets:
    """What `conceal` was told so far."""
    return _concealed


def decode(struct: struct_pb2.Struct) -> tuple[dict[str, Any], Secrets]:
    """Properties from the engine as plain Python values, and what of them is secret.

    Values are as the SDK's own host gives them: numbers are floats, unknown values `pulumi.output.Unknown`,
    properties that are null are absent.
    """
    secrets = Secrets()
    return _struct(struct, (), secrets), secrets


def _struct(struct: struct_pb2.Struct, path: Path, secrets: Secrets) -> dict[str, Any]:
    values = {key: _value(item, (*path, key), secrets) for key, item in struct.fields.items()}
    return {key: value for key, value in values.items() if value is not None}


def _value(item: struct_pb2.Value, path: Path, secrets: Secrets) -> Any:
    kind = item.WhichOneof("kind")
    if kind == "string_value":
        return sdk.unknown() if item.string_value == sdk.UNKNOWN else item.string_value
    if kind == "number_value":
        return item.number_value
    if kind == "bool_value":
        return item.bool_value
    if kind == "list_value":
        return [_value(each, (*path, _ITEM), secrets) for each in item.list_value.values]
    if kind == "struct_value":
        fields = item.struct_value.fields
        if sdk.SIGNATURE_KEY not in fields:
            return _struct(item.struct_value, path, secrets)
        if fields[sdk.SIGNATURE_KEY].string_value != sdk.SECRET_SIGNATURE:
            return sdk.special_value(item.struct_value)
        value = _value(fields["value"], path, secrets)
        if _ITEM not in path:
            secrets.paths.add(path)
        elif not (isinstance(value, str) and len(value) >= MIN_TEXT):
            # Items move, so a place says nothing: a text is found anywhere, anything else hides its list.
            secrets.paths.add(path[: path.index(_ITEM)])
        if path != (sdk.PROVIDER_KEY,):
            secrets.add_texts_of(value)
        return value
    return None
