"""Nodes that no state has, and nodes that have expired: which are found, which are ended, what refuses."""

from __future__ import annotations

import io
import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from cli.state import CLUSTER_TYPE, nodes_in
from gpu_clouds.clock import Clock
from gpu_clouds.errors import AuthError, TransientError
from gpu_clouds.intents import IntentLog
from gpu_clouds.models import Candidate, InstanceState
from tests.unit.cli.clouded import STACK_ID, Cloud, Clouded, clouded, resource
from tests.unit.cli.conftest import Project
from tests.unit.dynamic_providers.memory_cloud import QuickClock

CANDIDATE = Candidate("runpod", "main", "EU-RO-1", "RTX4090")
PAST = "2026-01-01T00:00:00Z"


@pytest.fixture
def stack(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clouded:
    return clouded(project, tmp_path, monkeypatch)


def plant(cloud: Cloud, node: str, stack_id: str = STACK_ID, owner: str = "p") -> str:
    return cloud.plant(f"gp-{owner}-{stack_id}-{node}-0a1b2c3d", CANDIDATE).id


def listed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    assert run(["orphans", "--stack", "prod", "--json", *arguments]) == code
    nodes: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["nodes"]
    return nodes


def test_a_cluster_of_the_state_is_known_by_its_name(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its id has its server in it, whose address may change; as a node it would be an orphan then."""
    cloud = stack.clouds["main"]
    plant(cloud, "train")
    lost = plant(cloud, "lost")
    name = f"gp-p-{STACK_ID}-train-0a1b2c3d"
    outputs = {"node": "train", "clusterName": name, "place": "slurm/hall1", "gpus": {"H100": 8}, "nodes": 2}
    cluster = {
        "urn": f"urn:pulumi:prod::gpuplane::{CLUSTER_TYPE}::train",
        "type": CLUSTER_TYPE,
        "id": name,
        "outputs": {**outputs, "hourlyUsd": 40.0, "endpoints": {"80": "http://x"}},
    }
    stack.state(cluster)
    assert [node["id"] for node in listed(capsys)] == [lost]
    (node,) = nodes_in({"deployment": {"resources": [cluster]}})
    assert (node.name, node.candidate, node.hourly_usd) == (
        "train",
        "skypilot slurm/hall1 H100 x8 on 2 nodes",
        40.0,
    )


def test_exactly_the_nodes_that_the_state_has_not(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = stack.clouds["main"]
    known, twice = plant(cloud, "chat-0"), plant(cloud, "chat-0")
    lost, stray = plant(cloud, "chat-1"), plant(cloud, "old-0")
    plant(cloud, "chat-0", stack_id="zzzz9999")
    plant(cloud, "chat-0", owner="o")
    cloud.plant("somebody-elses", CANDIDATE)
    cloud.boots_to = InstanceState.DELETING
    plant(cloud, "old-1")
    stack.clouds["other"].nodes = {key: node for key, node in cloud.nodes.items() if key == stray}
    stack.state(resource("chat-0", known))
    assert [(node["id"], node["reason"]) for node in listed(capsys)] == [
        (twice, "the state has another node of this name"),
        (lost, "declared, but not in the state: an up takes it over if it still fits"),
        (stray, "not declared"),
    ]
    assert cloud.calls == ["list"]


def test_a_node_that_is_to_be_deleted_is_known(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    old = plant(stack.clouds["main"], "chat-0")
    stack.state(resource("chat-0", old, delete=True))
    assert listed(capsys) == []
    assert run(["orphans", "--stack", "prod"]) == 0
    assert capsys.readouterr().out == f"stack prod ({STACK_ID}) has no orphan\n"


def test_the_clouds_are_listed_before_the_state_is_read(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    class Late(Cloud):
        def list(self, name_prefix: str) -> Any:
            assert ["stack", "export"] not in stack.project.calls()
            return super().list(name_prefix)

    stack.clouds["main"] = Late("main")
    assert listed(capsys) == []
    assert ["stack", "export"] in stack.project.calls()


def test_ending(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = stack.clouds["main"]
    known, stray = plant(cloud, "chat-0"), plant(cloud, "old-0")
    stack.state(resource("chat-0", known))
    (node,) = listed(capsys, "--end", "--yes")
    assert (node["id"], node["cameOf"]) == (stray, "ended")
    assert list(cloud.nodes) == [known]


def test_it_asks_first(
    stack: Clouded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = stack.clouds["main"]
    plant(cloud, "old-0")
    questions: list[str] = []

    def answer(text: str, **options: Any) -> bool:
        questions.append(text)
        assert options == {"abort": True, "err": True}
        # Meanwhile somebody has brought up another one: nobody has agreed to its end.
        plant(cloud, "old-1")
        return True

    monkeypatch.setattr("typer.confirm", answer)
    assert run(["orphans", "--stack", "prod", "--end"]) == 0
    assert questions == ["End 1 node(s)?"]
    assert [node.name for node in cloud.nodes.values()] == [f"gp-p-{STACK_ID}-old-1-0a1b2c3d"]


@pytest.mark.parametrize("typed", ["", "\n", "n\n"])
def test_no_yes_ends_nothing(
    stack: Clouded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    plant(stack.clouds["main"], "old-0")
    assert run(["orphans", "--stack", "prod", "--end"]) == 1
    assert len(stack.clouds["main"].nodes) == 1


def test_what_can_not_be_ended_is_a_failure_that_names_it(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    stray = plant(stack.clouds["main"], "old-0")
    stack.clouds["main"].errors["delete"] = AuthError("the key is bad")
    (node,) = listed(capsys, "--end", "--yes", code=1)
    assert stray in node["cameOf"]
    assert "the key is bad" in node["cameOf"]


def test_an_account_that_can_not_be_listed_is_a_failure(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.clouds["other"].errors["list"] = TransientError("no answer")
    assert run(["orphans", "--stack", "prod"]) == 1
    assert "other could not be listed, so nodes may be there: no answer" in capsys.readouterr().err


def refused(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> str:
    plant(stack.clouds["main"], "chat-0")
    assert run(["orphans", "--stack", "prod", "--end", "--yes"]) == 2
    assert stack.clouds["main"].nodes
    assert "delete" not in stack.clouds["main"].calls
    return capsys.readouterr().err


def test_a_running_engine_refuses(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    since = datetime.now(UTC).isoformat()
    stack.project.lock(pid=os.getpid(), hostname=socket.gethostname(), timestamp=since)
    assert f"is locked by process {os.getpid()}" in refused(stack, capsys)


def test_unfinished_operations_refuse(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    stack.state(pending=2)
    assert "2 unfinished operation(s) (creating chat-0, …)" in refused(stack, capsys)


def test_a_launch_without_an_answer_refuses(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    clock: Clock = QuickClock()
    IntentLog(STACK_ID, None, clock).open(f"gp-p-{STACK_ID}-chat-0-0a1b2c3d", "runpod")
    assert "may still take effect: look again in 60 s" in refused(stack, capsys)


def test_expired_nodes_are_those_of_the_state(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = stack.clouds["main"]
    gone_by, later, never, stray = (plant(cloud, name) for name in ("old-0", "old-1", "old-2", "old-3"))
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    stack.state(
        resource("old-0", gone_by, expiresAt=PAST),
        resource("old-1", later, expiresAt=future),
        resource("old-2", never),
        resource("old-9", "pod99", expiresAt=PAST),  # ended already
    )
    (node,) = listed(capsys, "--expired")
    assert (node["id"], node["reason"], node["expiresAt"]) == (
        gone_by,
        "expired",
        "2026-01-01T00:00:00+00:00",
    )
    assert [node["id"] for node in listed(capsys)] == [stray]
    (node,) = listed(capsys, "--expired", "--end", "--yes")
    assert node["cameOf"] == "ended"
    assert sorted(cloud.nodes) == sorted([later, never, stray])


@pytest.mark.parametrize(("file_says", "found"), [("", 0), ("2099-01-01T00:00:00Z", 0), (PAST, 1)])
def test_a_later_time_in_the_stack_file_counts(
    stack: Clouded, capsys: pytest.CaptureFixture[str], file_says: str, found: int
) -> None:
    if file_says:
        stack.config["clusters"]["chat"]["expiresAt"] = file_says
    stack.state(resource("chat-0", plant(stack.clouds["main"], "chat-0"), expiresAt=PAST))
    assert len(listed(capsys, "--expired")) == found


def test_the_table(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    plant(stack.clouds["main"], "old-0")
    assert run(["orphans", "--stack", "prod"]) == 0
    shown = capsys.readouterr().out
    assert (
        "old-0  pod1  runpod EU-RO-1 (main)  RTX4090 x1  READY  2026-01-01 00:00    0.5000  not declared"
        in shown
    )
    assert "1 orphan(s), 0.5000 USD per hour; `gpuplane orphans --end` ends them" in shown
