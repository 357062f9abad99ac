"""Fixtures: one PostgreSQL for tests that leave it alone; those that stop it start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.previews.postgres import StateServer, state_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[StateServer]:
    """A PostgreSQL that nobody stops; each test makes a database of its own in it."""
    with state_server() as server:
        yield server
