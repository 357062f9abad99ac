"""One Redis for these tests; each test finds it alive and empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.limits.redis_server import RedisServer, why_not


@pytest.fixture(scope="session")
def started() -> Iterator[RedisServer]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(started: RedisServer) -> RedisServer:
    if started.command("PING") != b"+PONG":
        started.kill()
        started.start()
    started.command("FLUSHALL")
    return started
