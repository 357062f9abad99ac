"""Looks for a stack's secrets in what a job is about to publish: a report, a saved plan."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cli.pulumi_cli import Pulumi
from cli.stacks import stack_file

_SHORTEST = 8
"""Shorter values are not searched for: they would hit ordinary words."""
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
"""How the engine marks a secret in a state (sdk/go/common/resource/sig)."""
_MASK = "(secret)"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Values that nobody may read.

    Attributes:
        values: As they are, longest first.
    """

    values: tuple[str, ...] = field(repr=False)

    def masked(self, text: str) -> str:
        """A text without them."""
        for form in self._forms():
            text = text.replace(form, _MASK)
        return text

    def are_in(self, text: str) -> bool:
        """Whether one of them stands in a text."""
        return any(form in text for form in self._forms())

    def _forms(self) -> Iterator[str]:
        for value in self.values:
            yield value
            escaped = json.dumps(value)[1:-1]
            if escaped != value:
                yield escaped


def secrets_of(pulumi: Pulumi) -> Secrets:
    """All secrets of a stack: those of its configuration, and the texts among those of its state.

    Args:
        pulumi: The stack; its passphrase or key must be at hand.
    """
    found = {pulumi.environment.get("PULUMI_CONFIG_PASSPHRASE", "")}
    entries = json.loads(pulumi.capture("config", "--show-secrets", "--json"))
    file = _stack_file(pulumi)
    for key, entry in entries.items():
        if "objectValue" in entry:
            found.update(_secure(entry["objectValue"], file.get(key.partition(":")[2])))
        elif entry.get("secret"):
            found.add(str(entry.get("value", "")))
    state = json.loads(pulumi.capture("stack", "export", "--show-secrets"))
    found.update(_marked(state.get("deployment") or {}))
    long = {text.strip() for text in found if len(text.strip()) >= _SHORTEST}
    return Secrets(tuple(sorted(long, key=len, reverse=True)))


def _stack_file(pulumi: Pulumi) -> Mapping[str, object]:
    from stack_config import read_stack_file

    file = stack_file(pulumi.root, pulumi.stack)
    return read_stack_file(file) if file.is_file() else {}


def _secure(value: object, written: object) -> Iterator[str]:
    """The texts whose place in the stack file has a secure value."""
    from stack_config.stack_file import Opaque

    if isinstance(written, Opaque):
        if isinstance(value, str):
            yield value
    elif isinstance(value, Mapping) and isinstance(written, Mapping):
        for key, inner in value.items():
            yield from _secure(inner, written.get(key))
    elif isinstance(value, list) and isinstance(written, list):
        for inner, there in zip(value, written, strict=False):
            yield from _secure(inner, there)


def _marked(value: object) -> Iterator[str]:
    """The secret texts of a state; secret objects hold ordinary words too, and are left out."""
    if isinstance(value, Mapping):
        if value.get(_SIGNATURE) == _SECRET:
            plain = json.loads(value.get("plaintext") or "null")
            if isinstance(plain, str):
                yield plain
            return
        for inner in value.values():
            yield from _marked(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _marked(inner)
