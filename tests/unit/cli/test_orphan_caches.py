"""Weights caches that the stack file does not declare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from gpu_clouds.errors import AuthError, ConflictError, PermissionRefusedError
from gpu_clouds.models import CacheVolume
from gpu_clouds.weights_cache import cache_name
from tests.unit.cli.clouded import STACK_ID, Clouded, clouded
from tests.unit.cli.conftest import Project
from tests.unit.dynamic_providers.test_weights_cache import CachingCloud


class Volumes(CachingCloud):
    """Disks in memory."""

    def plant(self, node_class: str, cache_id: str, stack_id: str = STACK_ID) -> None:  # type: ignore[override]
        name = cache_name("p", stack_id, f"cache-{node_class}", "runpod", "EU-RO-1")
        self.volumes[cache_id] = CacheVolume(cache_id, name, "runpod", "EU-RO-1", 100)


@pytest.fixture
def stack(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clouded:
    made = clouded(project, tmp_path, monkeypatch)
    made.clouds = {"main": Volumes("main"), "other": Volumes("other")}  # type: ignore[dict-item]
    group = {"cloud": "runpod", "credentials": "main", "gpus": ["RTX4090"], "regions": ["EU-RO-1"]}
    made.config["nodeClasses"] = {"small": {"candidates": [group], "weightsCache": {"sizeGb": 100}}}
    made.state()
    return made


def disks(stack: Clouded) -> Volumes:
    found = stack.clouds["main"]
    assert isinstance(found, Volumes)
    return found


def listed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    assert run(["orphans", "--stack", "prod", "--json", *arguments]) == code
    caches: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["weightsCaches"]
    return caches


def test_those_that_are_not_declared(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    disks(stack).plant("small", "v1")
    disks(stack).plant("old", "v2")
    disks(stack).plant("old", "v3", stack_id="zzzz9999")
    assert [(c["id"], c["reason"], c["sizeGb"]) for c in listed(capsys)] == [("v2", "not declared", 100)]
    assert run(["orphans", "--stack", "prod"]) == 0
    name = cache_name("p", STACK_ID, "cache-old", "runpod", "EU-RO-1")
    line = f"weights cache v2 ({name}) in runpod EU-RO-1 (main), 100 GB: not declared"
    assert line in capsys.readouterr().out
    assert listed(capsys, "--expired") == []


def test_ending(stack: Clouded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    disks(stack).plant("small", "v1")
    disks(stack).plant("old", "v2")
    questions: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, **_: questions.append(text))
    assert [c["cameOf"] for c in listed(capsys, "--end")] == ["ended"]
    assert questions == ["End 0 node(s) and 1 weights cache(s)?"]
    assert list(disks(stack).volumes) == ["v1"]


def test_one_that_can_not_end_is_a_failure(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    disks(stack).plant("old", "v2")
    disks(stack).errors["delete_cache"] = ConflictError("network volume is in use")
    assert [c["cameOf"] for c in listed(capsys, "--end", "--yes", code=1)] == ["network volume is in use"]


def test_an_account_that_can_not_be_listed(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    disks(stack).errors["list_caches"] = AuthError("the key is bad")
    assert listed(capsys, code=1) == []
    # One that may not list disks has made none, where none is declared.
    disks(stack).errors["list_caches"] = PermissionRefusedError("access denied")
    assert listed(capsys, code=1) == []
    stack.config["nodeClasses"] = {}
    stack.state()
    assert listed(capsys) == []
