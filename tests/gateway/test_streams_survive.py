"""Streams live on while nodes die: nothing lost, nothing doubled; the ledger has what the nodes counted."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from tests.gateway.load import Load, load
from tests.gateway.process import until
from tests.gateway.world import World

STREAMS = ("-mode", "sse", "-connections", "200", "-requests", "200", "-tokens", "100", "-pace-ms", "40")
#: Stalls are noticed soon here; a killed node is asked again soon.
QUICK = {"GATEWAY_STALL_S": "3", "GATEWAY_FIRST_BYTE_S": "3", "GATEWAY_PROBE_S": "1"}


@pytest.fixture
def world(tmp_path):
    with World(tmp_path, QUICK) as made:
        for name in ("a", "b", "c"):
            made.node(name, "-tokens", "1000")
        yield made.start()


def engine_tokens(rows: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """What the ledger says that the nodes counted: (request id, prompt or completion) -> tokens."""
    found: Counter[tuple[str, str]] = Counter()
    for row in rows:
        found[row["requestId"], "prompt"] = row["enginePrompt"]
        found[row["requestId"], "completion"] = row["engineCompletion"]
    return found


def differences(world: World, rows: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    """Where nodes and ledger disagree: what the nodes counted more."""
    counted, written = world.counted(), engine_tokens(rows)
    return {each: counted[each] - written[each] for each in written if counted[each] != written[each]}


def test_two_nodes_in_a_row_are_killed_under_200_streams(world):
    with Load(world.gateway.url, world.key.secret, *STREAMS) as running:
        until(lambda: all(node.report()["inFlight"] > 20 for node in world.nodes), "streams run", 30.0)
        world.nodes[0].kill()
        time.sleep(0.5)
        world.nodes[1].kill()
        time.sleep(0.5)
        world.nodes[0].start()
        result = running.result()
    assert result["wrong"] == {}
    assert (result["requests"], result["tokens"]) == (200, 200 * 100)
    rows = world.gateway.settled_ledger(200)
    assert Counter(row["result"] for row in rows).keys() == {"ok", "resumed"}
    assert sum(row["completion"] for row in rows) == 200 * 100
    assert len({row["requestId"] for row in rows}) == len(rows) == 200
    # A killed node may have counted a token that it had no more time to send: one for each stream and death.
    off = differences(world, rows)
    hops = {row["requestId"]: row["hops"] for row in rows}
    assert all(
        kind == "completion" and 0 <= more <= hops[request] for (request, kind), more in off.items()
    ), off


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "die"},
        {"kind": "die", "reset": True},
        {"kind": "half"},
        {"kind": "garbage"},
        {"kind": "stall"},
    ],
    ids=["closes", "resets", "half an event", "garbage", "stalls"],
)
@pytest.mark.parametrize("after", [0, 1, 17])
def test_what_else_nodes_do_wrong(shared_faulty, fault, after):
    world = shared_faulty
    before = len(world.gateway.ledger())
    for node in world.nodes[:2]:
        # Before the first byte it is a retry, of which there may be few; later the stream is continued.
        node.faults({**fault, "after": after, "times": 3 if after else 1})
    flags = ("-mode", "sse", "-connections", "12", "-requests", "24", "-tokens", "40", "-pace-ms", "5")
    result = load(world.gateway.url, world.key.secret, *flags)
    for node in world.nodes:
        node.faults()
    assert result["wrong"] == {}
    assert result["tokens"] == 24 * 40
    rows = world.gateway.settled_ledger(before + 24)[before:]
    assert {row["result"] for row in rows} <= {"ok", "resumed"}
    assert sum(row["completion"] for row in rows) == 24 * 40
    if not fault.get("reset"):
        # After a reset, tokens on their way are lost to the gateway, though the node has counted them.
        assert differences(world, rows) == {}


@pytest.fixture(scope="module")
def shared_faulty(tmp_path_factory):
    with World(tmp_path_factory.mktemp("faulty"), {**QUICK, "GATEWAY_STALL_S": "1"}) as world:
        for name in ("a", "b", "c", "d"):
            world.node(name, "-tokens", "1000")
        yield world.start()


def test_the_dead_node_comes_back(world):
    world.nodes[0].kill()
    flags = ("-connections", "16", "-requests", "200")
    assert load(world.gateway.url, world.key.secret, *flags)["wrong"] == {}
    world.nodes[0].start()

    def serves_again() -> bool:
        load(world.gateway.url, world.key.secret, *flags)
        return bool(world.nodes[0].report()["total"]["completion"] > 100)

    until(serves_again, "the node gets requests again", 90.0)
