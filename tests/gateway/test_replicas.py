"""Two gateways on one PostgreSQL and one Redis are one gateway to their tenants."""

from __future__ import annotations

import hashlib
import time

import httpx
import pytest

from tests.gateway.load import Load
from tests.gateway.process import until
from tests.gateway.services import replicated, services
from tests.gateway.world import MODEL, Key

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
PER_MINUTE = 120
IN_FLIGHT = 6


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    limited = {"name": "limited", "limits": {"requestsPerMinute": PER_MINUTE}}
    narrow = {"name": "narrow", "limits": {"inFlight": IN_FLIGHT}}
    seed = {"tenants": [{"name": "team"}, limited, narrow]}
    with (
        services() as (postgres, redis),
        replicated(tmp_path_factory.mktemp("replicas"), postgres, redis, 2, seed) as made,
    ):
        made.keys += [Key("limited"), Key("narrow")]
        made.node("a", "-tokens", "1000")
        made.node("b", "-tokens", "1000")
        yield made.start()


def test_a_tenant_has_its_limit_once(world):
    key = next(key for key in world.keys if key.tenant == "limited")
    begun = time.monotonic()
    flags = ("-requests", "400", "-connections", "10")
    with (
        Load(world.gateways[0].url, key.secret, *flags) as first,
        Load(world.gateways[1].url, key.secret, *flags) as second,
    ):
        results = [first.result(), second.result()]
    again = PER_MINUTE / 60 * (time.monotonic() - begun)
    assert all(result["statuses"].keys() <= {"200", "429"} for result in results), results
    served = sum(result["statuses"].get("200", 0) for result in results)
    # Never more than the limit and what is in flight; leases that stay unused may hold a part of it back.
    assert PER_MINUTE * 0.5 <= served <= PER_MINUTE + again + 20


def test_requests_at_the_same_time_are_counted_together(world):
    key = next(key for key in world.keys if key.tenant == "narrow")
    flags = ("-mode", "sse", "-tokens", "40", "-pace-ms", "50", "-requests", "12", "-connections", "12")
    with (
        Load(world.gateways[0].url, key.secret, *flags) as first,
        Load(world.gateways[1].url, key.secret, *flags) as second,
    ):
        most = 0
        while first.running or second.running:
            most = max(most, sum(node.report()["inFlight"] for node in world.nodes))
            time.sleep(0.05)
        results = [first.result(), second.result()]
    assert all(result["statuses"].keys() <= {"200", "429"} for result in results), results
    assert 1 <= most <= IN_FLIGHT + 2  # and a probe of each gateway


def test_a_key_is_known_and_revoked_everywhere_within_two_seconds(world):
    key = Key("team")

    def status(number: int) -> int:
        url = f"{world.gateways[number].url}/v1/chat/completions"
        return httpx.post(url, json=BODY, headers=key.headers, timeout=30.0).status_code

    declared = key.declared()
    name = declared.pop("id")
    assert declared["sha256"] == hashlib.sha256(key.secret.encode()).hexdigest()
    assert world.gateways[0].admin("PUT", f"/keys/{name}", declared).is_success
    assert status(0) == 200
    until(lambda: status(1) == 200, "the other replica knows the key", 10.0)
    assert world.gateways[0].admin("PUT", f"/keys/{name}", {**declared, "revoked": True}).is_success
    revoked = time.monotonic()
    assert status(0) == 401
    until(lambda: status(1) == 401, "the other replica refuses the key", 10.0)
    assert time.monotonic() - revoked < 2.5


def test_both_write_one_ledger(world):
    before = len(world.gateway.ledger())
    for gateway in world.gateways:
        url = f"{gateway.url}/v1/chat/completions"
        assert httpx.post(url, json=BODY, headers=world.headers, timeout=30.0).status_code == 200
    rows = world.gateways[1].settled_ledger(before + 2)
    assert len({row["requestId"] for row in rows}) == len(rows)
