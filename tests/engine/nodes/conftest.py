"""One emulator for all tests here; every test has an account of its own, and a stack of the real program."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import NewStack
from tests.engine.nodes.world import Emulator, World

NewWorld = Callable[..., World]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    running = Emulator(tmp_path_factory.mktemp("emulator"))
    yield running
    running.close()


@pytest.fixture
def new_world(emulator: Emulator, new_stack: NewStack) -> Iterator[NewWorld]:
    """Makes worlds; keyword arguments are configuration keys, `program` replaces the real program."""

    def make(program: str | None = None, host: str = "ours", **config: Any) -> World:
        return World(emulator, next(_numbers), new_stack, program, host, config)

    yield make
    emulator.restore()


@pytest.fixture
def world(new_world: NewWorld) -> World:
    """A world with the real program and two clusters, of which one has to fail over."""
    return new_world()


@pytest.fixture
def here() -> Path:
    return Path(__file__).resolve().parent
