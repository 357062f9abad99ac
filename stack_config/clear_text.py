"""Keys that stand in clear text where they have to be secure values.

The engine keeps a stack's whole configuration in its state, and in the history of its runs, refused ones too.
What is a secure value stays encrypted there; anything else is open to whoever can read the backend.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterator, Mapping

from stack_config.errors import Problem
from stack_config.stack_file import NAMESPACE, Opaque

SECURE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "credentials": (("apiKey",),),
    "clusters": (("apiKey",), ("readiness", "sshKey")),
    "skypilotServers": (("password",), ("databaseUrl",), ("oauth2ClientSecret",), ("accounts", "*", "*")),
    "postgresServices": (("url",),),
    "redisServices": (("url",),),
    "modelServers": (("apiKey",), ("hfToken",)),
}
"""Top-level key -> where in each of its entries a secure value has to be; `*` is any key."""

SECURE_ITSELF: Mapping[str, tuple[tuple[str, ...], ...]] = {"controlPlane": (("databaseUrl",), ("redisUrl",))}
"""The same for top-level keys that are one thing and not many."""


def clear_text(
    values: Mapping[str, object], file: Mapping[str, object] | None, secret_keys: Collection[str]
) -> list[Problem]:
    """Every key that is not a secure value, for a message that says how to make it one.

    The engine tells a program only which top-level keys have a secure value somewhere inside; which of
    several it is, the stack file tells. A value of a command line takes the place of a whole top-level key,
    and has none inside.

    Args:
        values: Key without its namespace -> value, as the engine gave it to the program.
        file: What `read_stack_file` reads; None where there is no such file.
        secret_keys: Top-level keys, without their namespace, that have a secure value inside.
    """
    found = []
    for top, places in (*SECURE.items(), *SECURE_ITSELF.items()):
        # Without any secure value inside, what the engine gave is all in clear text, wherever it came from.
        source = (file or {}) if top in secret_keys else values
        given = _object(source.get(top))
        entries = {"": given} if top in SECURE_ITSELF else given
        for path in _plain(entries, places):
            key = f"{NAMESPACE}:{top}.{'.'.join(step for step in path if step)}"
            found.append(
                Problem(
                    key,
                    "is in clear text, and the engine would keep it so",
                    next_step=f"make it a secure value: pulumi config set --secret --path {shlex.quote(key)}",
                )
            )
    return found


def _plain(entries: Mapping[str, object], places: tuple[tuple[str, ...], ...]) -> Iterator[tuple[str, ...]]:
    for name, entry in entries.items():
        for place in places:
            for path, value in _at(entry, place):
                if isinstance(value, str) and value and not isinstance(value, Opaque):
                    yield (name, *path)


def _at(value: object, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    """(path, value) of everything at a place."""
    if not place:
        yield (), value
        return
    found = _object(value)
    for step in found if place[0] == "*" else place[:1]:
        for path, each in _at(found.get(step), place[1:]):
            yield (step, *path), each


def _object(value: object) -> Mapping[str, object]:
    """The value as an object; structures may be written as JSON text; anything else has nothing in it."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}
