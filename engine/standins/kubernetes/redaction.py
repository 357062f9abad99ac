"""Keeps secrets out of messages: the API server quotes the value that it refuses."""

import base64
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from engine.standins.kubernetes.values import Path, at

#: Shorter texts are in too many words to be taken out of them.
_SHORTEST = 4
SHOWN = "[secret]"


class Redactor:
    """Knows the secrets of a run. May be used from many threads."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def learn(self, value: Any, places: Iterable[Path]) -> None:
        """Takes note of secrets.

        Args:
            value: an object.
            places: where its secrets are.
        """
        found = {text for path in places for text in _texts(at(value, path)) if len(text) >= _SHORTEST}
        encoded = {base64.b64encode(text.encode()).decode() for text in found}
        decoded = {plain for text in found if len(plain := _decoded(text)) >= _SHORTEST}
        with self._lock:
            self._known |= found | encoded | decoded

    def clean(self, message: str) -> str:
        """A message without them."""
        with self._lock:
            known = sorted(self._known, key=len, reverse=True)
        for text in known:
            message = message.replace(text, SHOWN)
        return message


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
        # A file of many lines may be quoted in part.
        yield from (line.strip() for line in value.splitlines() if "\n" in value)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""
