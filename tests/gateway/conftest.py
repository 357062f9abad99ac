"""Fixtures: one world for tests that only ask, and new ones for those that break something."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.world import World


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two nodes, one gateway with usual settings; nobody kills anything here."""
    with World(tmp_path_factory.mktemp("shared")) as world:
        world.node("a", "-tokens", "1000")
        world.node("b", "-tokens", "1000")
        yield world.start()
