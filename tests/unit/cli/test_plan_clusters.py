"""SkyPilot clusters of a saved plan, against the prices that their servers tell now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from cli.main import run
from cli.plan import read_plan
from cli.state import CLUSTER_TYPE
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from tests.unit.cli.clouded import Cloud, Clouded, clouded
from tests.unit.cli.conftest import Project
from tests.unit.cli.test_plan import UNKNOWN, written
from tests.unit.cli.test_spend_use import secret
from tests.unit.dynamic_providers.memory_cloud import QuickClock
from tests.unit.skypilot.cloud.sky import ENDPOINT, Sky

TOKEN = "canary-token"


def entry(name: str, estimate: object, *steps: str, **inputs: Any) -> tuple[str, dict[str, Any]]:
    outputs = {
        "node": name,
        "guard": "abcd1234",
        "accelerators": ["H100"],
        "infra": ["slurm"],
        "token": {
            "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
            "ciphertext": "v1:x",
        },
        "run": "canary-run",
        "estimatedHourlyUsd": estimate,
        **inputs,
    }
    plan = {"goal": {"type": CLUSTER_TYPE}, "steps": list(steps) or ["create"], "state": outputs}
    return f"urn:pulumi:prod::gpuplane::{CLUSTER_TYPE}::{name}", plan


@pytest.fixture
def sky() -> Sky:
    """H100 at 2.50 USD per hour, A100 at 1.50."""
    return Sky(QuickClock())


@pytest.fixture
def stack(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sky: Sky) -> Clouded:
    made = clouded(project, tmp_path, monkeypatch)
    made.clouds["sky"] = cast("Cloud", SkyPilotCloud(sky.client(), "sky"))
    made.config["credentials"]["sky"] = {"cloud": "skypilot", "endpoint": ENDPOINT}
    made.state()
    return made


def test_what_a_plan_says_of_a_cluster(tmp_path: Path) -> None:
    several = {
        "accelerators": ["H100:8", "A100:8"],
        "infra": ["slurm/hall1", "k8s"],
        "nodes": 2,
        "spot": True,
    }
    found = read_plan(
        written(
            tmp_path,
            entry("one", 2.5, credentials="sky"),
            entry("two", 9, "delete-replaced", "create-replacement", credentials="sky", **several),
            entry("new", UNKNOWN, endpoint=UNKNOWN, token=UNKNOWN),
            entry("plain", None, accelerators=None, infra=None, credentials="sky"),
            entry("kept", 2.5, "update", credentials="sky"),
        )
    )
    assert [(node.name, node.candidate, node.estimated_usd) for node in found] == [
        ("one", "skypilot slurm H100", 2.5),
        ("two", "skypilot slurm/hall1 or k8s H100:8 or A100:8", 9),
        ("new", "skypilot slurm H100", None),
        ("plain", "skypilot CPU", None),
    ]
    assert found[1].cluster == {**several, "credentials": "sky"}
    assert "endpoint" not in found[2].cluster
    assert "canary" not in repr(found)


def test_prices_that_hold(stack: Clouded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = written(
        tmp_path,
        entry("one", 2.5, credentials="sky"),
        entry("two", 3.0, credentials="sky", accelerators=["H100", "A100"], nodes=2),
    )
    assert run(["up", "--stack", "prod", "--plan", str(plan)]) == 0
    assert capsys.readouterr().out == "plan: the prices of 2 node(s) hold within 10 %\n"
    assert stack.project.calls()[-1][:2] == ["up", "--plan"]


def test_a_price_that_has_moved(stack: Clouded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = written(
        tmp_path,
        entry("one", 2.0, credentials="sky"),
        entry("two", 3.0, credentials="sky", accelerators=["H100", "A100"], nodes=2, choose="ordered"),
    )
    assert run(["up", "--stack", "prod", "--plan", str(plan)]) == 2
    assert capsys.readouterr().err.splitlines()[1:] == [
        "  one: price moved from 2 to 2.5 USD per hour since the plan (skypilot slurm H100)",
        "  two: price moved from 3 to 5 USD per hour since the plan (skypilot slurm H100 or A100)",
    ]
    assert ["up"] not in [call[:1] for call in stack.project.calls()]


@pytest.mark.parametrize("known", [True, False])
def test_a_server_of_the_stack_is_asked_with_the_token_of_the_state(
    stack: Clouded,
    sky: Sky,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    known: bool,
) -> None:
    asked: list[Any] = []

    def connect(account: Any, **_: Any) -> SkyPilotCloud:
        asked.append(account)
        return SkyPilotCloud(sky.client(), account.name)

    monkeypatch.setattr("dynamic_providers.sky_pilot_servers.connect", connect)
    stack.config["credentials"] = {}
    stack.config["clusters"] = {}
    props = {"clusterName": "c", "endpoint": ENDPOINT, "user": "admin", "token": secret(TOKEN)}
    there = {"urn": "u", "type": CLUSTER_TYPE, "id": "c", "inputs": props, "outputs": props}
    stack.state(*([there] if known else []))
    plan = written(tmp_path, entry("one", 2.0, endpoint=ENDPOINT, user="admin"))
    assert run(["up", "--stack", "prod", "--plan", str(plan)]) == 2
    shown = capsys.readouterr()
    assert "price moved from 2 to 2.5" in shown.err
    assert "canary" not in shown.out + shown.err
    assert {(each.endpoint, each.user, each.api_key) for each in asked} == {
        (ENDPOINT, "admin", TOKEN if known else "")
    }


@pytest.mark.parametrize(
    ("inputs", "estimate"),
    [
        ({"credentials": "sky"}, UNKNOWN),
        ({"endpoint": UNKNOWN}, 2.5),
        ({"credentials": "gone"}, 2.5),
        ({"credentials": "sky", "accelerators": ["B200"]}, 2.5),
    ],
)
def test_what_can_not_be_compared_is_told(
    stack: Clouded,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    inputs: dict[str, Any],
    estimate: object,
) -> None:
    plan = written(tmp_path, entry("one", estimate, **inputs))
    assert run(["up", "--stack", "prod", "--plan", str(plan)]) == 0
    assert "plan: no price to compare for one; maxHourlyUsd still holds" in capsys.readouterr().out


def test_a_server_that_is_away_is_told(
    stack: Clouded, sky: Sky, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sky.away = True
    plan = written(tmp_path, entry("one", 2.5, credentials="sky"))
    assert run(["up", "--stack", "prod", "--plan", str(plan)]) == 0
    assert "no price to compare for one" in capsys.readouterr().out
    assert json.loads(plan.read_text())["resourcePlans"]
