"""The pipelines for users, their steps run as they stand in the files: real engine, state in PostgreSQL."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.harness import wait_until
from tests.engine.nodes.world import Emulator
from tests.previews.ci_server import served
from tests.previews.pipeline_world import SECRETS, STACK, World
from tests.previews.postgres import StateServer
from tests.unit.cli.ci_site import Site

WAIT_S = 240.0
_numbers = itertools.count(150)


@contextmanager
def world_of(site: Site, root: Path, postgres: StateServer, emulator: Emulator) -> Iterator[World]:
    with served(site) as url:
        world = World(root, postgres, emulator, next(_numbers), site, url)
        try:
            yield world
        finally:
            world.close()
            emulator.restore()


@pytest.fixture
def on_github(tmp_path: Path, postgres: StateServer, emulator: Emulator) -> Iterator[World]:
    with world_of(Site("github"), tmp_path, postgres, emulator) as world:
        yield world


@pytest.fixture
def on_gitlab(tmp_path: Path, postgres: StateServer, emulator: Emulator) -> Iterator[World]:
    site = Site("gitlab", me="project_7_bot", bot=False)
    with world_of(site, tmp_path, postgres, emulator) as world:
        yield world


def test_github_from_the_pull_request_to_the_drift(on_github: World) -> None:
    world = on_github

    # A pull request: one comment, which the second push updates.
    world.github("preview", "preview", head="o/r").ok()
    (first,) = world.comments()
    assert "<!-- gpuplane:preview:ci -->" in first
    assert re.search(r"commit `1f2e3d4c5b6a`, \[run\]\(https://github.com/o/r/actions/runs/77\)", first)
    assert "chat-0" in first and "chat-1" in first
    assert world.nodes() == {}
    assert (world.root / "artifacts" / "gpuplane-preview" / "plan.json").is_file()
    world.set_nodes("chat", 1)
    world.github("preview", "preview", head="o/r").ok()
    (second,) = world.comments()
    assert "chat-1" not in second
    assert world.site.writes() == [
        "POST /repos/o/r/issues/5/comments",
        "PATCH /repos/o/r/issues/comments/101",
    ]
    assert world.github("preview", "preview-of-a-fork", head="o/r").skipped

    # A merge, and the job is killed, as GitHub does ten seconds after it has asked. The last step still runs.
    def kill(process: subprocess.Popen[str]) -> None:
        wait_until(lambda: len(world.nodes()) == 2, WAIT_S, "the nodes boot")
        pid = world.lock_pid()
        assert pid is not None
        process.kill()
        os.kill(pid, signal.SIGKILL)

    world.emulator.set(ready_after_s=6000.0)
    world.github("up", "plan").ok()
    killed = world.github("up", "up", cancel=kill)
    assert killed.codes == [-signal.SIGKILL, 0], killed.output
    assert "plan: the prices of 2 node(s) hold within 10 %" in killed.output
    assert "recovered: removed the lock of process" in killed.steps[1].output
    assert world.lock_pid() is None
    booting = world.nodes()

    # The next run does what its plan says, and takes over what the killed one has made.
    world.emulator.set(ready_after_s=1.0)
    world.emulator.control("POST", "clock/advance", {"seconds": 6000.0})
    world.github("up", "plan").ok()
    up = world.github("up", "up").ok()
    assert f"stack {STACK} is not locked" in up.output
    assert "chat-0" in world.summary.read_text()
    assert world.nodes() == booting
    assert sorted(booting) == ["chat-0", "embed-0"]

    # At night: a node that is gone is one issue, and no comment.
    world.end(booting["embed-0"])
    world.github("drift", "drift").ok()
    (issue,) = world.site.issues
    assert issue["title"] == "Drift of stack ci"
    assert "embed-0" in issue["body"]
    assert len(world.comments()) == 1


def test_a_fork_gets_emulated_clouds_and_no_secret(on_github: World) -> None:
    world = on_github
    assert world.github("preview", "preview", head="stranger/r").skipped
    ran = world.github("preview", "preview-of-a-fork", head="stranger/r").ok()
    for step in ran.steps:
        assert not [key for key, value in step.env.items() if any(secret in value for secret in SECRETS)]
        assert not {"PULUMI_BACKEND_URL", "GITHUB_TOKEN", "GPUPLANE_STACK"} & set(step.env)
    assert world.site.calls == []
    summary = world.summary.read_text()
    assert "This change comes from a fork" in summary
    assert "judge-0" in summary
    assert world.nodes() == {}


def test_a_lock_of_another_machine_is_named_and_taken_away_by_hand_only(on_github: World) -> None:
    world = on_github
    world.plant_lock(77, "runner", "lost")
    said = world.github("unlock", "unlock")
    assert said.codes == [2]
    assert "stack ci is locked by runner@lost:77, since 2027-01-01" in said.output
    assert world.github("unlock", "unlock", inputs={"holder": "runner@other:77"}).codes == [2]
    assert world.lock_pid() == 77
    done = world.github("unlock", "unlock", inputs={"holder": "runner@lost:77"}).ok()
    assert "recovered: removed the lock of process 77 of runner@lost" in done.output
    assert world.lock_pid() is None


def test_gitlab_from_the_merge_request_to_the_up(on_gitlab: World) -> None:
    world = on_gitlab
    world.gitlab("gpuplane-preview", "merge_request_event").ok()
    (note,) = world.comments()
    assert "chat-0" in note
    assert world.site.writes() == ["POST /api/v4/projects/7/merge_requests/5/notes"]
    assert world.gitlab("gpuplane-up", "merge_request_event").skipped
    assert world.gitlab("gpuplane-preview", "merge_request_event", project="8").skipped

    world.gitlab("gpuplane-plan", "push").ok()
    up = world.gitlab("gpuplane-up", "push").ok()
    assert f"stack {STACK} is not locked" in up.output
    assert sorted(world.nodes()) == ["chat-0", "chat-1", "embed-0"]
