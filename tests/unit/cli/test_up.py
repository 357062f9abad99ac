"""`gpuplane up`: recovery first, then the engine; a plan only while its prices hold."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.main import run
from dynamic_providers import node_check
from dynamic_providers.clouds import Shared
from gpu_clouds.models import Availability, Candidate, Offer
from tests.unit.cli.conftest import Project
from tests.unit.cli.test_plan import entry, written
from tests.unit.stack_config.examples import example

CLEAN = json.dumps({"version": 3, "deployment": {}})


def configuration() -> str:
    return json.dumps(
        {
            f"gpuplane:{key}": {"objectValue" if isinstance(value, dict) else "value": value, "secret": True}
            for key, value in example().items()
        }
    )


@pytest.fixture(autouse=True)
def kept_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command puts into the environment is taken back."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.fixture
def price(monkeypatch: pytest.MonkeyPatch) -> dict[str, float | None]:
    """Today's price; tests change it."""
    now: dict[str, float | None] = {"usd": 0.69}

    def offers(candidates: Sequence[Candidate], _shared: Shared) -> dict[Candidate, Offer]:
        at = datetime(2027, 1, 1, tzinfo=UTC)
        return {c: Offer(c, now["usd"], Availability.HIGH, "test", at) for c in candidates}

    monkeypatch.setattr(node_check, "offers_for", offers)
    return now


def test_further_arguments_go_to_the_engine(project: Project) -> None:
    project.answers({"stack export": (0, CLEAN, "")})
    assert run(["up", "--stack", "prod", "--yes", "--parallel", "8"]) == 0
    assert project.calls() == [["stack", "export"], ["up", "--yes", "--parallel", "8"]]
    assert project.raw_calls()[-1]["experimental"] == ""


def test_the_engines_failure_is_passed_on(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.answers({"stack export": (0, CLEAN, ""), "up": (255, "", "")})
    assert run(["up", "--stack", "prod"]) == 255
    assert capsys.readouterr().err == ""


def test_a_plan_whose_prices_hold_is_carried_out(
    project: Project, tmp_path: Path, price: dict[str, float | None], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = written(tmp_path, entry("chat-0", "create"))
    price["usd"] = 0.75
    project.answers({"stack export": (0, CLEAN, ""), "config": (0, configuration(), "")})
    assert run(["up", "--stack", "prod", "--plan", str(plan), "--yes"]) == 0
    assert project.calls()[-1] == ["up", "--plan", str(plan), "--yes"]
    assert project.raw_calls()[-1]["experimental"] == "1"
    assert capsys.readouterr().out == "plan: the prices of 1 node(s) hold within 10 %\n"


def test_a_plan_whose_price_has_moved_never_reaches_the_engine(
    project: Project, tmp_path: Path, price: dict[str, float | None], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = written(tmp_path, entry("chat-0", "create"), entry("chat-1", "create", estimate=0.8))
    price["usd"] = 0.8
    project.answers({"config": (0, configuration(), "")})
    assert run(["up", "--stack", "prod", "--plan", str(plan)]) == 2
    assert capsys.readouterr().err == (
        "gpuplane: plan plan.json is refused: dearer by more than 10 %; "
        "make a new plan if the price is accepted\n"
        "  chat-0: price moved from 0.69 to 0.8 USD per hour since the plan (runpod EU-RO-1 RTX4090 x1)\n"
    )
    assert project.calls() == [["config", "--show-secrets", "--json"]]


def test_a_node_without_a_price_is_told(
    project: Project, tmp_path: Path, price: dict[str, float | None], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = written(tmp_path, entry("chat-0", "create"))
    price["usd"] = None
    project.answers({"stack export": (0, CLEAN, ""), "config": (0, configuration(), "")})
    assert run(["up", "--stack", "prod", "--plan", str(plan)]) == 0
    assert "no price to compare for chat-0; maxHourlyUsd still holds" in capsys.readouterr().out


def test_a_plan_without_nodes_asks_no_cloud(project: Project, tmp_path: Path) -> None:
    plan = written(tmp_path, entry("chat-0", "same"))
    project.answers({"stack export": (0, CLEAN, "")})
    assert run(["up", "--stack", "prod", "--plan", str(plan)]) == 0
    assert [call[0] for call in project.calls()] == ["stack", "up"]


def test_a_wrong_configuration_is_told_before_anything(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = written(tmp_path, entry("chat-0", "create"))
    project.answers({"config": (0, "{}", "")})
    assert run(["up", "--stack", "prod", "--plan", str(plan)]) == 1
    assert capsys.readouterr().err == (
        "gpuplane: Pulumi.prod.yaml: gpuplane:stackId: is missing; "
        "run `gpuplane init`, which writes one into this file\n"
    )
