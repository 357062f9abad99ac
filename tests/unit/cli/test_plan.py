"""Prices in a saved plan against prices of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import CliError
from cli.plan import PlannedNode, Today, not_compared, price_moves, read_plan
from cli.state import NODE_TYPE

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
CANDIDATE = {"cloud": "runpod", "credentials": "main", "region": "EU-RO-1", "gpu": "RTX4090"}


def entry(
    name: str, *steps: str, kind: str = NODE_TYPE, estimate: object = 0.69
) -> tuple[str, dict[str, Any]]:
    outputs = {
        "node": name,
        "candidates": [CANDIDATE],
        "candidate": CANDIDATE,
        "estimatedHourlyUsd": estimate,
    }
    return f"urn:pulumi:prod::gpuplane::{kind}::{name}", {
        "goal": {"type": kind},
        "steps": list(steps),
        "state": outputs,
    }


def written(tmp_path: Path, *entries: tuple[str, dict[str, Any]]) -> Path:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"manifest": {}, "resourcePlans": dict(entries)}))
    return file


def test_only_nodes_that_will_be_rented_are_read(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        entry("chat-0", "create"),
        entry("chat-1", "delete-replaced", "replace", "create-replacement"),
        entry("chat-2", "same"),
        entry("chat-3", "update"),
        entry("chat-4", "delete"),
        entry("guard", "create", kind="pulumi-python:dynamic/gpu:LeakGuard"),
        ("urn:pulumi:prod::gpuplane::x::gone", {"goal": None, "steps": ["delete"]}),
    )
    found = read_plan(file)
    assert [node.name for node in found] == ["chat-0", "chat-1"]
    assert found[0].estimated_usd == 0.69
    assert found[0].candidate == "runpod EU-RO-1 RTX4090 x1"


def test_an_unknown_estimate_is_none(tmp_path: Path) -> None:
    (node,) = read_plan(written(tmp_path, entry("chat-0", "create", estimate=UNKNOWN)))
    assert node.estimated_usd is None
    assert not_compared([node], {"chat-0": Today("x", 1.0)}) == ["chat-0"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"resourcePlans": 3}', '{"resourcePlans": {"a": 1}}'])
def test_what_is_no_plan_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(CliError, match=r"is not a plan; make one with `pulumi preview --save-plan"):
        read_plan(file)


def test_a_missing_plan_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="can not be read: No such file"):
        read_plan(tmp_path / "plan.json")


def planned(estimate: float | None = 1.0) -> PlannedNode:
    return PlannedNode("chat-0", "runpod EU L4 x1", estimate)


def test_a_dearer_node_is_named_with_both_prices() -> None:
    assert price_moves([planned()], {"chat-0": Today("runpod EU L4 x1", 1.2)}, 10) == [
        "chat-0: price moved from 1 to 1.2 USD per hour since the plan (runpod EU L4 x1)"
    ]
    assert price_moves([planned()], {"chat-0": Today("runpod US H100 x1", 3)}, 10) == [
        "chat-0: price moved from 1 to 3 USD per hour since the plan (runpod EU L4 x1, now runpod US H100 x1)"
    ]


@given(
    st.integers(1, 10_000).map(lambda cents: cents / 100),
    st.integers(0, 300),
    st.integers(1, 30_000).map(lambda cents: cents / 100),
)
def test_it_is_refused_exactly_above_the_tolerance(before: float, tolerance: int, now: float) -> None:
    refused = bool(price_moves([planned(before)], {"chat-0": Today("c", now)}, tolerance))
    assert refused == (round(now * 100) * 100 > round(before * 100) * (100 + tolerance))


@pytest.mark.parametrize("today", [{}, {"chat-0": Today("c", None)}])
def test_what_has_no_price_today_is_not_compared_but_told(today: dict[str, Today]) -> None:
    assert price_moves([planned()], today, 10) == []
    assert not_compared([planned()], today) == ["chat-0"]
