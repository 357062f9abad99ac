"""Ten times the load for a while, a drain, and limits that hold exactly."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.gateway.load import Load, load
from tests.gateway.process import until
from tests.gateway.world import MODEL, Key, World


def test_a_burst_of_ten_times_the_load_waits_and_is_served(tmp_path):
    # Each node takes 8 requests of 100 ms at a time: 160 a second are offered for 5 s, of 16 that are usual.
    with World(tmp_path, {"GATEWAY_QUEUE_S": "120", "GATEWAY_QUEUE_LENGTH": "2000"}) as world:
        for name in ("a", "b"):
            world.node(name).most = 8
        world.start()
        paced = ("-mode", "sse", "-tokens", "10", "-pace-ms", "10")
        usual = load(world.gateway.url, world.key.secret, *paced, "-rate", "16", "-duration", "3s")
        assert usual["wrong"] == {}
        burst = load(world.gateway.url, world.key.secret, *paced, "-rate", "160", "-duration", "5s")
        assert burst["wrong"] == {} and burst["statuses"] == {"200": 800}
        assert max(node.report()["peakInFlight"] for node in world.nodes) <= 8 + 1  # and one probe
        assert load(world.gateway.url, world.key.secret, *paced, "-requests", "20")["wrong"] == {}


def test_a_queue_that_is_full_says_when_to_come_again(tmp_path):
    with World(tmp_path, {"GATEWAY_QUEUE_S": "60", "GATEWAY_QUEUE_LENGTH": "10"}) as world:
        world.node("a").most = 2
        world.start()
        slow = ("-mode", "sse", "-tokens", "20", "-pace-ms", "100", "-connections", "12", "-requests", "12")
        with Load(world.gateway.url, world.key.secret, *slow) as running:
            until(lambda: world.nodes[0].report()["inFlight"] >= 2, "the node is full", 30.0)
            time.sleep(1.0)
            body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
            answer = httpx.post(
                f"{world.gateway.url}/v1/chat/completions", json=body, headers=world.headers, timeout=60.0
            )
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert running.result()["wrong"] == {}


def test_sigterm_ends_streams_whole_and_lets_nobody_in(tmp_path):
    with World(tmp_path) as world:
        world.node("a", "-tokens", "100")
        world.start()
        streams = ("-mode", "sse", "-tokens", "60", "-pace-ms", "50", "-connections", "20", "-requests", "20")
        with Load(world.gateway.url, world.key.secret, *streams) as running:
            until(lambda: world.nodes[0].report()["inFlight"] >= 20, "streams run", 30.0)
            process = world.gateway.process
            assert process is not None
            process.terminate()
            result = running.result()
        assert result["wrong"] == {} and result["tokens"] == 20 * 60
        assert process.wait(60.0) == 0
        assert "Traceback" not in world.gateway.output()
        rows = world.gateway.start().settled_ledger(20)
        assert sorted(row["completion"] for row in rows) == [60] * 20


@pytest.mark.parametrize("layer", ["key", "tenant"])
def test_no_more_than_the_limit(tmp_path, layer):
    limits = {"requestsPerMinute": 50}
    seed = {"tenants": [{"name": "team"}, {"name": "small", "limits": limits if layer == "tenant" else {}}]}
    with World(tmp_path, seed=seed) as world:
        small = Key("small", limits if layer == "key" else {})
        world.keys.append(small)
        world.node("a")
        world.start()
        result = load(world.gateway.url, small.secret, "-requests", "300", "-connections", "20")
        # A bucket that is full at the start fills again while this runs.
        again = 50 / 60 * result["seconds"]
        assert 50 <= result["statuses"]["200"] <= 50 + again + 1
        assert result["statuses"].keys() == {"200", "429"}
        assert load(world.gateway.url, world.key.secret, "-requests", "100")["wrong"] == {}
