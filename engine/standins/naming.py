"""Names that nobody gave, ids, and the texts that templates are filled with."""

from __future__ import annotations

import base64
import hashlib
import re
import string
from collections.abc import Mapping
from typing import Any

from engine.standins.tables import Kind
from engine.standins.values import UNKNOWN, Secret, Values, plain

_SUFFIX = 7


def made_up(logical: str, seed: bytes, kind: Kind) -> str:
    """A name for an object whose program gave none: `pool-1a2b3c4`.

    Args:
        logical: the resource's name in the program.
        seed: the engine's random bytes for this resource.
        kind: its type; its name may be limited in length and characters.
    """
    suffix = hashlib.sha256(seed).hexdigest()[:_SUFFIX]
    if kind.plain_name:
        logical = re.sub(r"[^a-z0-9]", "", logical.lower())
        return f"{logical[: kind.most - _SUFFIX]}{suffix}"
    return f"{logical[: kind.most - _SUFFIX - 1]}-{suffix}"


def given_name(kind: Kind, values: Mapping[str, Any]) -> str:
    """The value of the property that holds the name; empty when there is none or it isn't known."""
    value = plain(values.get(kind.name)) if kind.name else None
    return value if isinstance(value, str) else ""


def is_same(kind: Kind, values: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two objects of one type have the same name within the same scope."""
    name = given_name(kind, values)
    return bool(name) and all(
        plain(values.get(key)) == plain(other.get(key)) for key in (kind.name, *kind.scope)
    )


class Filling:
    """What templates are filled with.

    Besides properties: `{hex8}`, `{hex17}` (any number of digits), `{digits12}`, `{uuid}`, `{certificate}`:
    made from the seed, so that all outputs of one object fit together.

    Args:
        values: the object's properties.
        settings: of the provider: region, account, project, subscription.
        seed: decides everything that is random.
    """

    def __init__(self, values: Mapping[str, Any], settings: Mapping[str, str], seed: str) -> None:
        self._values, self._settings, self._seed = values, settings, seed

    def fill(self, template: Any) -> Any:
        """A template with its fields filled in: unknown when one of them is, secret when one of them is."""
        if isinstance(template, Mapping):
            return {key: self.fill(item) for key, item in template.items()}
        if isinstance(template, list):
            return [self.fill(item) for item in template]
        if not isinstance(template, str):
            return template
        secret, parts = False, []
        for text, name, _, _ in string.Formatter().parse(template):
            parts.append(text)
            if name is None:
                continue
            value = self._field(name)
            if isinstance(value, Secret):
                secret, value = True, value.value
            if value is UNKNOWN:
                return UNKNOWN
            parts.append(str(value))
        filled = "".join(parts)
        return Secret(filled) if secret else filled

    def _field(self, name: str) -> Any:
        if name in self._values and self._values[name] is not None:
            return self._values[name]
        if name in self._settings:
            return self._settings[name]
        digest = hashlib.sha256(self._seed.encode()).hexdigest()
        if name.startswith("hex"):
            return digest[: int(name[3:])]
        if name.startswith("digits"):
            return str(int(digest, 16))[: int(name[6:])]
        if name == "uuid":
            parts = (digest[:8], digest[8:12], f"4{digest[13:16]}", f"8{digest[17:20]}", digest[20:32])
            return "-".join(parts)
        if name == "certificate":
            body = base64.b64encode(f"a stand-in's certificate {digest}".encode()).decode()
            text = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
            return base64.b64encode(text.encode()).decode()
        # A property that the program did not give and no table knows.
        return name


def identifier(kind: Kind, values: Values, settings: Mapping[str, str], seed: str) -> str:
    """The id of a new object."""
    filling = Filling(values, settings, seed)
    template = kind.id or ("{" + kind.name + "}" if given_name(kind, values) else "{hex17}")
    return str(plain(filling.fill(template)))
