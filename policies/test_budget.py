"""The budget of a stack."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.budget import look
from stack_config.policies import BudgetRule
from tests.policies.made import eks, made, node, sky

PRICES = st.lists(st.integers(1, 1000), min_size=1, max_size=8)


@given(PRICES, st.integers(1, 4000))
def test_a_sum_above_the_limit_is_one_finding_on_the_dearest(prices: list[int], limit: int) -> None:
    nodes = [node(f"chat-{n}", float(price)) for n, price in enumerate(prices)]
    found = list(look(nodes, BudgetRule(hourly_usd=float(limit)), "none"))
    assert len(found) == (sum(prices) > limit)
    assert all(broken.resource.props["estimatedHourlyUsd"] == max(prices) for broken in found)


def test_nodes_clusters_and_pools_count_and_components_without_a_price_do_not() -> None:
    stack = [node(usd=1.0), sky(usd=2.0), eks(hourly=4.0), made("gpuplane:gpu:GpuCluster")]
    assert not list(look(stack, BudgetRule(hourly_usd=7.0), "none"))
    (found,) = look(stack, BudgetRule(hourly_usd=6.99), "none")
    assert found.resource.name == "pools" and "7.00 USD/hour together, above 6.99" in found.what


def test_what_lives_counts_with_its_own_price() -> None:
    living = made("pulumi-python:dynamic/gpu:GpuNode", hourlyUsd=3.0, estimatedHourlyUsd=1.0)
    assert list(look([living], BudgetRule(hourly_usd=2.0), "none"))


def test_a_month_has_730_hours() -> None:
    assert not list(look([node(usd=1.0)], BudgetRule(monthly_usd=730.0), "none"))
    (found,) = look([node(usd=1.0)], BudgetRule(monthly_usd=729.0), "none")
    assert "730.00 USD/month" in found.what


def test_a_price_that_nobody_knows_is_refused_only_where_that_is_asked() -> None:
    stack = [node(usd=1.0), eks(hourly="unknown")]
    assert not list(look(stack, BudgetRule(hourly_usd=5.0), "none"))
    (found,) = look(stack, BudgetRule(hourly_usd=5.0, refuse_unknown=True), "none")
    assert found.resource.name == "pools"
    (found,) = look(stack, BudgetRule(hourly_usd=0.5), "none")
    assert "and 1 more have no known price" in found.what


def test_without_a_limit_nothing_is_asked() -> None:
    assert not list(look([node(usd=1e6)], BudgetRule(refuse_unknown=True), "none"))
