"""Locks of dead and living engines, and what recovery does about them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.errors import REFUSED, CliError
from cli.locks import backend_folder, is_dead, parse_lock, process_started, read_locks
from cli.main import run
from cli.recovery import recover, recover_if_possible
from tests.unit.cli.conftest import Project

HOST = socket.gethostname()
PENDING = {
    "version": 3,
    "deployment": {
        "resources": [{"urn": "urn:pulumi:prod::gpuplane::pulumi:pulumi:Stack::gpuplane-prod"}],
        "pending_operations": [
            {"type": "creating", "resource": {"urn": f"urn:pulumi:prod::gpuplane::t:m:GpuNode::chat-{i}"}}
            for i in range(10)
        ],
    },
}
CLEAN = {"version": 3, "deployment": {"resources": []}}


def now(offset_s: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).isoformat().replace("+00:00", "Z")


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_a_process_that_has_ended_is_dead(project: Project) -> None:
    lock = parse_lock(project.lock(pid=dead_pid(), hostname=HOST, timestamp=now()))
    assert is_dead(lock)


def test_a_zombie_is_dead(project: Project) -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert process_started(process.pid) is None
        assert is_dead(parse_lock(project.lock(pid=process.pid, hostname=HOST, timestamp=now())))
    finally:
        process.wait()


def test_a_living_process_is_not_dead_unless_it_began_after_the_lock(project: Project) -> None:
    mine = {"pid": os.getpid(), "hostname": HOST}
    assert not is_dead(parse_lock(project.lock(**mine, timestamp=now())))
    # The number of a dead engine, taken again by another process.
    assert is_dead(parse_lock(project.lock(**mine, timestamp=now(-86400 * 365))))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"pid": 0, "hostname": HOST},
        {"pid": True, "hostname": HOST},
        {"pid": "7", "hostname": HOST},
        {"pid": 999_999_999, "hostname": "another"},
        {"pid": os.getpid(), "hostname": HOST, "timestamp": "yesterday"},
    ],
)
def test_a_lock_that_can_not_be_judged_is_somebodys(project: Project, content: dict[str, object]) -> None:
    assert not is_dead(parse_lock(project.lock(**content)))


@pytest.mark.parametrize("text", ["", "[1]", "{", "7", "null"])
def test_a_broken_lock_file_is_somebodys(project: Project, text: str) -> None:
    file = project.lock()
    file.write_text(text)
    assert not is_dead(parse_lock(file))


def test_locks_are_those_of_the_stack_oldest_first(project: Project) -> None:
    project.lock(pid=2, hostname="b", timestamp="2027-01-02T00:00:00Z")
    project.lock(pid=1, hostname="a", timestamp="2027-01-01T00:00:00Z")
    assert [lock.pid for lock in read_locks(project.backend, "organization/gpuplane/prod")] == [1, 2]
    assert read_locks(project.backend, "other") == []


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///var/state", Path("/var/state")),
        ("file:///with%20space", Path("/with space")),
        ("file://~", Path.home()),
        ("file://~/state", Path.home() / "state"),
        ("s3://bucket", None),
        ("https://api.pulumi.com", None),
    ],
)
def test_folder_of_the_backend(url: str, folder: Path | None) -> None:
    assert backend_folder(url) == folder


def test_recover_removes_a_dead_lock_and_clears_what_was_pending(project: Project) -> None:
    pid = dead_pid()
    project.lock(pid=pid, hostname=HOST, username="me", timestamp=now())
    project.answers({"stack export": (0, json.dumps(PENDING), "")})
    lines = recover(project.pulumi).lines()
    assert lines[0].startswith(f"recovered: removed the lock of process {pid} of me@{HOST}, since 2")
    assert lines[1] == (
        "recovered: cleared 10 unfinished operation(s): "
        + ", ".join(f"creating chat-{i}" for i in range(8))
        + " and 2 more; the next up adopts what they made, a destroy ends it"
    )
    assert project.calls() == [["cancel", "--yes"], ["stack", "export"], ["stack", "import"]]
    imported = json.loads(str(project.raw_calls()[-1]["stdin"]))
    assert "pending_operations" not in imported["deployment"]
    assert imported["deployment"]["resources"] == PENDING["deployment"]["resources"]  # type: ignore[index]


def test_recover_removes_what_a_killed_engine_left_half_written(project: Project) -> None:
    lock = project.lock(pid=dead_pid(), hostname=HOST, username="me", timestamp=now())
    backend, stack = lock.parents[5], project.pulumi.stack
    stacks = backend / ".pulumi" / "stacks" / lock.parents[1].name
    stacks.mkdir(parents=True)
    torn, other = (stacks / f"{name}.json.attrs" for name in (stack, "another"))
    torn.touch()
    other.touch()
    kept = stacks / f"{stack}.json.bak.attrs"
    kept.write_text("{}")
    project.answers({"stack export": (0, json.dumps(CLEAN), "")})
    lines = recover(project.pulumi).lines()
    assert lines[1:] == ["recovered: removed 1 half-written file(s) beside the state"]
    assert not torn.exists() and other.exists() and kept.exists()


def test_recover_without_anything_to_do_changes_nothing(project: Project) -> None:
    project.answers({"stack export": (0, json.dumps(CLEAN), "")})
    assert recover(project.pulumi).lines() == []
    assert project.calls() == [["stack", "export"]]


@pytest.mark.parametrize(
    "content", [{"pid": os.getpid(), "hostname": HOST}, {"pid": 5, "hostname": "elsewhere"}]
)
def test_recover_refuses_a_lock_of_somebody_who_may_work(
    project: Project, content: dict[str, object]
) -> None:
    project.lock(pid=dead_pid(), hostname=HOST, timestamp=now())
    project.lock(**content, timestamp=now())
    with pytest.raises(CliError, match="stack prod is locked by process") as caught:
        recover(project.pulumi)
    assert caught.value.code == REFUSED
    assert project.calls() == []


def test_force_removes_any_lock(project: Project) -> None:
    project.lock(pid=5, hostname="elsewhere", timestamp=now())
    project.answers({"stack export": (0, json.dumps(CLEAN), "")})
    assert len(recover(project.pulumi, force=True).lines()) == 1
    assert project.calls()[0] == ["cancel", "--yes"]


def test_pulumi_cloud_is_refused_by_recover_and_left_alone_by_up(project: Project) -> None:
    url = "https://api.pulumi.com"
    pulumi = type(project.pulumi)(
        project.root, {**project.pulumi.environment, "PULUMI_BACKEND_URL": url}, "prod"
    )
    with pytest.raises(CliError, match="https:// does not show who holds a lock"):
        recover(pulumi)
    assert recover_if_possible(pulumi) == []
    assert project.calls() == []


def test_the_backend_that_the_person_is_logged_in_to_is_asked(project: Project) -> None:
    environment = {k: v for k, v in project.pulumi.environment.items() if k != "PULUMI_BACKEND_URL"}
    project.answers(
        {
            "whoami": (0, json.dumps({"user": "me", "url": project.backend.as_uri()}), ""),
            "stack export": (0, json.dumps(CLEAN), ""),
        }
    )
    assert recover_if_possible(type(project.pulumi)(project.root, environment, "prod")) == []
    assert project.calls() == [["whoami", "--verbose", "--json"], ["stack", "export"]]


def test_the_command_says_what_it_did(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.answers({"stack export": (0, json.dumps(CLEAN), "")})
    assert run(["recover", "--stack", "prod"]) == 0
    assert (
        capsys.readouterr().out == "nothing to recover: stack prod has no lock and no unfinished operation\n"
    )
    assert run(["recover", "--stack", "prod", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_an_error_of_the_engine_is_one_line(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.answers({"stack export": (255, "", "warning: x\nerror: no stack named 'prod' found\n")})
    assert run(["recover", "--stack", "prod"]) == 1
    assert capsys.readouterr().err == "gpuplane: `pulumi stack` failed: no stack named 'prod' found\n"


def test_the_command_in_json(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.answers({"stack export": (0, json.dumps(PENDING), "")})
    project.lock(pid=dead_pid(), hostname=HOST, timestamp=now())
    assert run(["recover", "--stack", "prod", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["stack"] == "prod"
    assert len(data["locks"]) == 1
    assert data["operations"] == [f"creating chat-{i}" for i in range(10)]
