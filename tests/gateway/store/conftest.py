"""One PostgreSQL for these tests; each test has a database of its own in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.gateway.store.postgres import Postgres

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with Postgres() as started:
        yield started


@pytest.fixture
def url(server: Postgres) -> str:
    return server.create(f"test-{next(_numbers)}")
