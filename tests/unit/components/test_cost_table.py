"""The block that a preview prints."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.cost_table import SHOWN_GROUPS, NodeCost, cost_table, node_cost


def cost(
    node: str, usd: float | None = 0.5, *, cluster: str = "chat", what: str = "runpod L4 x1", new: bool = True
):
    return NodeCost(cluster, node, what, usd, new)


def test_one_node():
    assert cost_table([cost("chat-0")]).splitlines() == [
        "estimated cost (a month has 730 hours):",
        "NODE    CANDIDATE     USD/HOUR  USD/MONTH",
        "chat-0  runpod L4 x1      0.50     365.00",
        "total   1 node            0.50     365.00",
    ]


def test_equal_nodes_are_folded_and_clusters_are_summed():
    nodes = [cost(f"chat-{n}") for n in range(1000)]
    nodes += [cost("embed-0", 2.0, cluster="embed", what="runpod H100-SXM x1", new=False)]
    lines = cost_table(nodes).splitlines()
    assert len(lines) == 7
    first = "chat-0 … chat-999 1000 of runpod L4 x1 500.00 365,000.00 0.50 each"
    assert " ".join(lines[2].split()) == first
    assert lines[3].split()[-1] == "exists"
    assert lines[-1].split() == ["total", "1001", "nodes", "502.00", "366,460.00"]


def test_nothing_is_printed_when_nothing_is_new():
    assert cost_table([cost("chat-0", new=False)]) == ""
    assert cost_table([]) == ""


def test_a_price_that_nobody_knows_is_told():
    text = cost_table([cost("chat-0", None), cost("chat-1")])
    assert "unknown" in text
    assert text.splitlines()[-1] == "the price of 1 node(s) is not known and not in the totals"
    assert "0.50" in text.splitlines()[-2]


PRICES = st.none() | st.floats(0.01, 50).map(lambda usd: round(usd, 2))


@given(st.lists(st.tuples(PRICES, st.booleans()), max_size=200))
def test_it_never_gets_long_and_always_adds_up(drawn: list[tuple[float | None, bool]]):
    nodes = [cost(f"chat-{n}", usd, new=new) for n, (usd, new) in enumerate(drawn)]
    lines = cost_table(nodes).splitlines()
    assert len(lines) <= SHOWN_GROUPS + 5
    if lines:
        total = sum(usd or 0.0 for usd, _ in drawn)
        assert f"{total:,.2f}" in next(line for line in lines if line.startswith("total"))


def candidate(**more: Any) -> dict[str, Any]:
    return {"cloud": "runpod", "region": "", "gpu": "L4", "gpuCount": 2.0, "capacity": "on_demand", **more}


def test_reading_outputs():
    new = node_cost(
        "chat", "chat-0", {"candidate": candidate(), "hourlyUsd": object(), "estimatedHourlyUsd": 0.3}
    )
    assert new == NodeCost("chat", "chat-0", "runpod L4 x2", 0.3, True)
    lives = node_cost(
        "chat", "chat-0", {"candidate": candidate(), "hourlyUsd": 0.4, "estimatedHourlyUsd": None}
    )
    assert lives == NodeCost("chat", "chat-0", "runpod L4 x2", 0.4, False)
    unknown = node_cost(
        "chat", "chat-0", {"candidate": object(), "hourlyUsd": None, "estimatedHourlyUsd": True}
    )
    assert unknown == NodeCost("chat", "chat-0", "not known yet", None, True)
    spot = node_cost("c", "n", {"candidate": candidate(capacity="spot", region="X")})
    assert spot.candidate == "runpod X L4 x2 spot"
