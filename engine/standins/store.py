"""The objects that a stand-in pretends to have made: one JSON file for each package.

The file may be changed by hand between two runs; this is how tests make drift. Values of secrets are not in
it.

    {"aws:eks/cluster:Cluster": {"gpu": {"name": "gpu", "version": "1.34", …}}}
"""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from engine.standins.values import Secret, Values, plain

HIDDEN = "[secret]"
_Answer = TypeVar("_Answer")
Objects = dict[str, dict[str, Values]]


class Taken(Exception):
    """There is such an object already. The message is one line."""


class Store:
    """Objects by type token and id.

    Args:
        file: where they are kept; made when it is needed. Several processes may share it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def get(self, token: str, identifier: str) -> Values | None:
        """One object, or None."""
        return self._change(lambda objects: (objects.get(token, {}).get(identifier), False))

    def all(self, token: str) -> dict[str, Values]:
        """Id -> object, of one type."""
        return self._change(lambda objects: (objects.get(token, {}), False))

    def add(
        self, token: str, identifier: str, values: Mapping[str, Any], same: Callable[[Values], bool]
    ) -> None:
        """Keeps a new object.

        Args:
            token: its type.
            identifier: its id.
            values: its properties.
            same: whether another object of this type has what must be unique.

        Raises:
            Taken: the id, or what must be unique, is another object's.
        """

        def add(objects: Objects) -> tuple[None, bool]:
            others = objects.setdefault(token, {})
            if identifier in others or any(same(other) for other in others.values()):
                raise Taken(f"{token} {identifier!r} already exists")
            others[identifier] = hide(values)
            return None, True

        self._change(add)

    def put(self, token: str, identifier: str, values: Mapping[str, Any]) -> None:
        """Writes an object anew."""

        def put(objects: Objects) -> tuple[None, bool]:
            objects.setdefault(token, {})[identifier] = hide(values)
            return None, True

        self._change(put)

    def remove(self, token: str, identifier: str) -> None:
        """Forgets an object; one that isn't there is no error."""
        self._change(lambda objects: (objects.get(token, {}).pop(identifier, None), True))

    def _change(self, body: Callable[[Objects], tuple[_Answer, bool]]) -> _Answer:
        with self._lock, self._locked():
            objects = self._read()
            answer, changed = body(objects)
            if changed:
                half = self._file.with_name(f".{self._file.name}")
                half.write_text(
                    json.dumps({token: found for token, found in objects.items() if found}, indent=1)
                )
                half.replace(self._file)
            return answer

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_name(f".{self._file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> Objects:
        try:
            objects: Objects = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        return objects


def hide(value: Any) -> Any:
    """The value as it may be written to a file."""
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: hide(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hide(item) for item in value]
    return plain(value)


def unhide(value: Any, known: Any) -> Any:
    """A value from the file, with secrets from where they are known: the engine's state.

    Where a secret isn't known (`pulumi import`), it is left out.
    """
    if value == HIDDEN:
        return known if isinstance(known, Secret) else None
    if isinstance(value, Mapping):
        others = known if isinstance(known, Mapping) else {}
        found = {key: unhide(item, others.get(key)) for key, item in value.items()}
        return {key: item for key, item in found.items() if item is not None}
    if isinstance(value, list):
        items = known if isinstance(known, list) else []
        found_items = [
            unhide(item, items[index] if index < len(items) else None) for index, item in enumerate(value)
        ]
        return [item for item in found_items if item is not None]
    return value
