"""PostgreSQL and Redis for tests of the whole gateway: real servers, ended with the test."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.gateway.limits.redis_server import RedisServer, why_not
from tests.gateway.store.postgres import Postgres, binary
from tests.gateway.world import Gateway, World
from tests.peers.machine import allowed


def _postgres_is_here() -> bool:
    try:
        return bool(binary("initdb"))
    except FileNotFoundError:
        return False


@contextmanager
def services() -> Iterator[tuple[Postgres, RedisServer]]:
    """Both servers; where they are not installed and may be (CI), they are first."""
    if not _postgres_is_here() and allowed() and os.geteuid() == 0:
        command = ["apt-get", "-qq", "--yes", "-o", "DPkg::Lock::Timeout=300", "install", "postgresql"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=environment, check=True, capture_output=True)
    if not _postgres_is_here():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql, or CI=true as root")
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with ExitStack() as stack:
        yield stack.enter_context(Postgres()), stack.enter_context(RedisServer())


def replicated(
    root: Path, postgres: Postgres, redis: RedisServer, number: int, more: Mapping[str, object]
) -> World:
    """A world, not started, whose gateways share one database and one Redis.

    Args:
        root: Folder for everything.
        postgres: Where the database is made.
        redis: Where limits are shared.
        number: Of gateways.
        more: Parts of the seed.
    """
    env = {
        "DATABASE_URL": postgres.create(f"gateway-{secrets.token_hex(4)}"),
        "REDIS_URL": redis.url,
        "GATEWAY_SECRET_KEY": secrets.token_hex(32),
        "GATEWAY_QUEUE_S": "60",
    }
    world = World(root, env, more)
    world.gateways += [Gateway(root / f"gateway-{each}", world.seed_file, env) for each in range(1, number)]
    return world
