"""A stack whose clouds are pretended: a stand-in in front, and a file of objects that a test may change."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.standins import placing
from engine.standins.servicer import STATE_VARIABLE
from tests.engine.harness import Stack


class World:
    """The objects of one package that are pretended to be there."""

    def __init__(self, folder: Path, package: str) -> None:
        self.file = folder / f"{package}.json"

    def read(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Type -> id -> properties."""
        found: dict[str, dict[str, dict[str, Any]]] = json.loads(self.file.read_text())
        return found

    def one(self, token: str) -> dict[str, Any]:
        """The only object of a type."""
        (found,) = self.read()[token].values()
        return found

    def change(self, token: str, **properties: Any) -> None:
        """Change the only object of a type behind the engine's back."""
        objects = self.read()
        (found,) = objects[token].values()
        found.update(properties)
        self.file.write_text(json.dumps(objects))

    def remove(self, token: str) -> None:
        """Remove the objects of a type behind the engine's back."""
        objects = self.read()
        del objects[token]
        self.file.write_text(json.dumps(objects))


def pretended(stack: Stack, packages: Iterable[str], folder: Path | None) -> Stack:
    """The stack with stand-ins, and with a folder for pretended objects or without."""
    stack.env["PATH"] = placing.in_front(packages, stack.env["PATH"])
    if folder is not None:
        stack.env[STATE_VARIABLE] = str(folder)
    return stack
