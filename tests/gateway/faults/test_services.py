"""PostgreSQL and Redis are killed and started again under load: served on, and written down once."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from tests.gateway.load import Load
from tests.gateway.process import until
from tests.gateway.services import replicated, services
from tests.gateway.test_streams_survive import differences

SECONDS = 24


@pytest.fixture(params=["postgres", "redis", "both"])
def lost(request):
    return request.param


def test_restarts_in_mid_load(tmp_path, lost):
    with services() as (postgres, redis), replicated(tmp_path, postgres, redis, 2, {}) as world:
        world.node("a")
        world.node("b")
        world.start()
        flags = ("-rate", "60", "-duration", f"{SECONDS}s")
        with (
            Load(world.gateways[0].url, world.key.secret, *flags) as first,
            Load(world.gateways[1].url, world.key.secret, "-mode", "sse", *flags) as second,
        ):
            time.sleep(SECONDS / 6)
            if lost in ("postgres", "both"):
                postgres.kill()
            if lost in ("redis", "both"):
                redis.kill()
            said = "gateway_store_lost" if lost != "redis" else "gateway_redis_lost"
            until(lambda: world.gateway.metrics()[said] == 1.0, f"{said} is 1", 20.0)
            time.sleep(SECONDS / 6)
            if lost in ("postgres", "both"):
                postgres.start()
            if lost in ("redis", "both"):
                redis.start()
            results: list[dict[str, Any]] = [first.result(), second.result()]
        assert [result["wrong"] for result in results] == [{}, {}]
        total = 2 * 60 * SECONDS
        assert sum(result["requests"] for result in results) == total
        until(lambda: world.gateway.metrics()[said] == 0.0, f"{said} is 0 again", 60.0)
        rows = world.gateway.settled_ledger(total)
        assert max(Counter(row["requestId"] for row in rows).values()) == 1
        assert len(rows) == total
        assert {row["result"] for row in rows} == {"ok"}
        assert differences(world, rows) == {}
        assert not [gateway for gateway in world.gateways if "Traceback" in gateway.output()]
