"""What the state tells of nodes, and how their cost is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.cost_table import as_data, as_table
from cli.main import run
from cli.state import NODE_TYPE, Node, candidate_text, nodes_in
from tests.unit.cli.conftest import Project


def resource(name: str, hourly: object = 0.69, **more: Any) -> dict[str, Any]:
    candidate = {"cloud": "runpod", "credentials": "main", "region": "EU-RO-1", "gpu": "RTX4090"}
    outputs = {"node": name, "candidate": candidate, "hourlyUsd": hourly, "env": {"secret": "canary"}}
    return {
        "urn": f"urn:pulumi:prod::gpuplane::gpuplane:GpuCluster${NODE_TYPE}::{name}",
        "type": NODE_TYPE,
        "id": f"id-{name}",
        "outputs": outputs,
        **more,
    }


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 3,
        "deployment": {"resources": [{"urn": "u", "type": "pulumi:pulumi:Stack"}, *resources]},
    }


TABLE = """\
NODE    CANDIDATE                    USD/HOUR  USD/MONTH
chat-2  runpod EU-RO-1 RTX4090 x1      0.6900     503.70
chat-2  runpod EU-RO-1 RTX4090 x1      0.6900     503.70  ending
chat-3  unknown                       unknown    unknown  not ready
chat-10 runpod EU-RO-1 RTX4090 x1     10.0000   7,300.00
total                                 11.3800   8,307.40
the price of 1 node(s) is unknown and not in the total"""


def test_the_table() -> None:
    nodes = nodes_in(
        state(
            resource("chat-10", 10),
            resource("chat-3", None, initErrors=["not ready"]) | {"outputs": {"node": "chat-3"}},
            resource("chat-2", delete=True),
            resource("chat-2"),
        )
    )
    assert [line.split() for line in as_table("prod", nodes).splitlines()] == [
        line.split() for line in TABLE.splitlines()
    ]


def test_columns_are_aligned() -> None:
    lines = as_table("prod", nodes_in(state(resource("a-0"), resource("long-name-1", 1234.5)))).splitlines()
    assert len({line.rindex(".") for line in lines[1:]}) == 1


def test_no_node_costs_nothing() -> None:
    assert as_table("prod", nodes_in({"version": 3})) == "stack prod has no node and costs nothing"
    assert as_data("prod", [])["totalHourlyUsd"] == 0


@given(st.lists(st.none() | st.integers(0, 10_000).map(lambda cents: cents / 100), max_size=20))
def test_the_total_is_the_sum_of_what_is_known(prices: list[float | None]) -> None:
    nodes = [Node(f"n-{i}", "id", "c", price) for i, price in enumerate(prices)]
    data = as_data("prod", nodes)
    assert round(data["totalHourlyUsd"] * 100) == sum(round(p * 100) for p in prices if p is not None)
    assert data["unpriced"] == prices.count(None)
    assert data["totalMonthlyUsd"] == pytest.approx(data["totalHourlyUsd"] * 730, abs=0.01)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"cloud": "runpod", "region": "", "gpu": "L4", "gpuCount": 2.0}, "runpod L4 x2"),
        ({"cloud": "runpod", "region": "EU", "gpu": "L4", "capacity": "spot"}, "runpod EU L4 x1 spot"),
        ("runpod EU L4 x1", "runpod EU L4 x1"),
        (None, "unknown"),
        ({"4dabf18193072939515e22adb298388d": "x"}, "x1"),
    ],
)
def test_a_candidate_in_words(value: object, text: str) -> None:
    assert candidate_text(value) == text


def test_the_command(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.answers({"stack export": (0, json.dumps(state(resource("chat-0"), resource("chat-1"))), "")})
    assert run(["cost", "--stack", "prod", "--json"]) == 0
    shown = capsys.readouterr().out
    data = json.loads(shown)
    assert data["nodes"][1] == {
        "name": "chat-1",
        "id": "id-chat-1",
        "candidate": "runpod EU-RO-1 RTX4090 x1",
        "hourlyUsd": 0.69,
        "monthlyUsd": 503.7,
        "note": "",
    }
    assert (data["totalHourlyUsd"], data["totalMonthlyUsd"], data["unpriced"]) == (1.38, 1007.4, 0)
    assert run(["cost", "--stack", "prod"]) == 0
    assert "total" in capsys.readouterr().out
    assert "canary" not in shown
    assert project.calls() == [["stack", "export"]] * 2


def test_the_selected_stack_is_taken_where_none_is_named(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.answers({"stack --show-name": (0, "prod\n", ""), "stack export": (0, json.dumps(state()), "")})
    assert run(["cost"]) == 0
    assert capsys.readouterr().out == "stack prod has no node and costs nothing\n"


def test_no_stack_at_all_says_what_to_do(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.answers({"stack --show-name": (255, "", "error: no stack selected")})
    assert run(["cost"]) == 1
    assert capsys.readouterr().err == (
        "gpuplane: no stack is selected: give --stack NAME, or run `pulumi stack select NAME`\n"
    )
