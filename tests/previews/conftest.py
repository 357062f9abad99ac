"""Fixtures: one PostgreSQL for tests that leave it alone; those that stop it start their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine.harness import Stack, engine_bin
from tests.engine.nodes.world import Emulator
from tests.previews.backend_world import BackendWorld
from tests.previews.postgres import StateServer, state_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[StateServer]:
    """A PostgreSQL that nobody stops; each test makes a database of its own in it."""
    with state_server() as server:
        yield server


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulated cloud of all tests here."""
    running = Emulator(tmp_path_factory.mktemp("emulator"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def new_backend_world(
    emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[StateServer, int], BackendWorld]]:
    """Makes worlds, each with an account and a stack of its own: the server and the number of nodes."""
    if engine_bin() is None:
        pytest.fail("these tests need an engine: run `make engine`")
    root = tmp_path_factory.mktemp("backends")
    template = Stack(root / "template", "")
    numbers = itertools.count(1)
    made: list[BackendWorld] = []

    def make(server: StateServer, nodes: int) -> BackendWorld:
        number = next(numbers)

        def new_stack(program: str, **options: Any) -> Stack:
            return Stack(root / f"stack{number}", program, template=template.root, **options)

        made.append(BackendWorld(server, emulator, number, new_stack, nodes))
        return made[-1]

    yield make
    for world in made:
        world.close()
