"""What pools cost: known numbers add up, unknown ones are never taken for nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.kubernetes_pools.cost import cost_block, estimate
from components.kubernetes_pools.plan import PoolPlan
from components.kubernetes_pools.price import HOURS_A_MONTH, UNKNOWN, Price, price_of
from components.kubernetes_pools.shapes import shape_named
from dynamic_providers import estimates
from stack_config.kubernetes_clusters import GpuPool
from tests.unit.components.kubernetes_pools.clusters import cluster, plans


def plan(name: str, low: int, high: int, usd: float | None, capacity: str = "on_demand") -> PoolPlan:
    shape = shape_named("eks", "p5.48xlarge")
    assert shape is not None
    pool = GpuPool.model_validate({"shape": shape.name, "min": low, "max": high, "capacity": capacity})
    price = Price(usd, "list price of us-east-1", "2026-09-06") if usd is not None else Price(None)
    return PoolPlan(name, f"p.{name}", "eks", pool, shape, price)


@pytest.mark.parametrize(
    ("cloud", "name", "capacity", "region", "usd", "source"),
    [
        ("eks", "p5.48xlarge", "on_demand", "us-east-1", 55.04, "list price of us-east-1"),
        (
            "eks",
            "p5.48xlarge",
            "on_demand",
            "eu-north-1",
            55.04,
            "list price of us-east-1, not of eu-north-1",
        ),
        ("eks", "p5.48xlarge", "reserved", "us-east-1", 55.04, "list price of us-east-1"),
        ("eks", "p5.48xlarge", "spot", "us-east-1", None, UNKNOWN),
        ("eks", "p5.48xlarge", "block", "us-east-1", None, UNKNOWN),
        ("eks", "p5en.48xlarge", "on_demand", "us-east-1", None, UNKNOWN),
        ("gke", "a3-highgpu-8g", "on_demand", "us-east1", 84.4, "list price of us-east1"),
        ("gke", "a3-highgpu-8g", "flex", "us-east1", None, UNKNOWN),
        ("aks", "Standard_ND96isr_H100_v5", "spot", "eastus", 18.169536, "list price of eastus"),
    ],
)
def test_prices(cloud, name, capacity, region, usd, source):
    shape = shape_named(cloud, name)
    assert shape is not None
    found = price_of(shape, capacity, region, None)
    assert (found.hourly_usd, found.source) == (usd, source)
    assert bool(found.as_of) == (usd is not None)
    assert price_of(shape, capacity, region, 1.5) == Price(1.5, "hourlyUsd")


def test_the_block_of_a_preview():
    found, _ = plans(
        "eks",
        cluster(
            "eks",
            pools={
                "small": {"shape": "g6.xlarge", "max": 4},
                "train": {"shape": "p5.48xlarge", "min": 1, "max": 2},
                "fixed": {"shape": "g5.xlarge", "min": 2, "max": 2, "capacity": "spot", "hourlyUsd": 0.4},
            },
        ),
    )
    lines = [" ".join(line.split()) for line in cost_block("EKS cluster train", found).splitlines()]
    assert lines[0].startswith("estimated cost of EKS cluster train (a month has 730 hours; GPU nodes alone")
    assert lines[2:] == [
        "small g6.xlarge (1 x L4) 0-4 0.00 3.22 2,350.02 list price of us-east-1, 2026-09-06",
        "train p5.48xlarge (8 x H100-SXM) 1-2 55.04 110.08 80,358.40 list price of us-east-1, 2026-09-06",
        "fixed g5.xlarge (1 x A10G) spot 2 0.80 0.80 584.00 hourlyUsd",
        "total 55.84 114.10 83,292.42",
    ]


def test_what_is_not_known_is_said():
    lines = cost_block("x", [plan("a", 0, 2, None, "spot"), plan("b", 1, 1, 10.0)]).splitlines()
    assert lines[2].split()[-4:] == [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]
    assert lines[-1].split() == ["total", UNKNOWN, UNKNOWN, UNKNOWN]


def test_a_month_is_as_long_as_that_of_nodes():
    assert HOURS_A_MONTH == estimates.HOURS_A_MONTH


def test_nothing_is_printed_of_no_pools():
    assert cost_block("x", []) == ""


POOLS = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(1, 5), st.none() | st.floats(0.01, 100).map(lambda x: round(x, 2))
    ),
    min_size=1,
    max_size=6,
)


@given(POOLS)
def test_an_estimate_adds_up_or_says_unknown(drawn):
    made = [plan(f"p{n}", min(low, high), high, usd) for n, (low, high, usd) in enumerate(drawn)]
    found = estimate(made)
    assert found["currency"] == "USD"
    assert set(found["pools"]) == {each.name for each in made}
    if any(usd is None for _, _, usd in drawn):
        assert found["min"] == found["max"] == UNKNOWN
    else:
        assert found["max"] == pytest.approx(sum(high * usd for _, high, usd in drawn))
        assert found["min"] == pytest.approx(sum(min(low, high) * usd for low, high, usd in drawn))
        assert found["asOf"] == "2026-09-06"
        assert found["source"] == "list price of us-east-1"
    for each in made:
        part = found["pools"][each.name]
        assert (part["max"] == UNKNOWN) == (each.price.hourly_usd is None)
        assert part["max"] != 0


@given(POOLS, st.floats(0.01, 3000))
def test_a_budget_holds_exactly_when_it_can_be_checked(drawn, cap):
    pools = {
        f"p{n}": {"shape": "p5e.48xlarge", "max": high, **({} if usd is None else {"hourlyUsd": usd})}
        for n, (_, high, usd) in enumerate(drawn)
    }
    _, problems = plans("eks", cluster("eks", pools=pools, budgetHourlyUsd=cap))
    if any(usd is None for _, _, usd in drawn):
        assert len(problems) == 1
        assert "can't be checked: the on_demand price of p5e.48xlarge is unknown" in problems[0]
    else:
        assert bool(problems) == (sum(high * usd for _, high, usd in drawn) > cap)
