"""Locks in a backend that is no folder: read out of the engine's refusal; they go when their owner has."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli import engine_runs
from cli.errors import REFUSED, CliError
from cli.locks import Lock, process_started
from cli.main import run
from cli.pulumi_cli import Pulumi
from cli.recovery import recover, recover_if_possible, what_is_left
from cli.remote_locks import Unanswered, ask_locks
from tests.unit.cli.conftest import Project

HOST = socket.gethostname()
URL = "postgres://me@db:5432/state"
ASK = "stack rename prod"
FREE = (255, "", "error: a stack named prod already exists\n")
DOWN = (
    255,
    "",
    "error: unable to open bucket postgres://me:canary-9b2e64@db:5432/state: failed to ping PostgreSQL: "
    "dial tcp 10.0.0.1:5432: connect: connection refused\n",
)
CLEAN = (0, json.dumps({"version": 3, "deployment": {"resources": []}}), "")


def refused(*owners: str) -> tuple[int, str, str]:
    """What the engine says where each of these, `user@host pid time`, has a lock."""
    lines = [
        f"error: the stack is currently locked by {len(owners)} lock(s). Either wait for the other "
        "process(es) to end or delete the lock file with `pulumi cancel`."
    ]
    for number, owner in enumerate(owners):
        who, pid, since = owner.split()
        place = f"postgres://****:****@db:5432/state/.pulumi/locks/organization/gpuplane/prod/{number}.json"
        lines.append(f"  {place}?sslmode=disable: created by {who} (pid {pid}) at {since}")
    return 255, "", "\n".join(lines) + "\n"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.fixture
def remote(project: Project) -> Pulumi:
    """The project's engine on a PostgreSQL."""
    return replace(project.pulumi, environment={**project.pulumi.environment, "PULUMI_BACKEND_URL": URL})


@contextmanager
def engine(root: Path, stack: str = "prod") -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs and that is noted as an engine of this checkout."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        engine_runs.note(root, stack, process.pid)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_locks_are_read_out_of_the_refusal(project: Project, remote: Pulumi) -> None:
    project.answers({ASK: refused("b@two 8 2027-01-02T00:00:00Z", "a@b@one 7 2027-01-01T00:00:00Z")})
    first, second = ask_locks(remote, URL)
    assert (first.user, first.host, first.pid, first.since) == ("a@b", "one", 7, "2027-01-01T00:00:00Z")
    assert str(second) == "process 8 of b@two, since 2027-01-02T00:00:00Z"
    assert second.file.name == "0.json"


def test_a_refusal_that_can_not_be_read_is_somebodys_lock(project: Project, remote: Pulumi) -> None:
    project.answers({ASK: (255, "", "error: the stack is currently locked by 1 lock(s).\n  other words\n")})
    (lock,) = ask_locks(remote, URL)
    assert not engine_runs.ended_here(remote.root, "prod", lock)
    with pytest.raises(CliError, match="stack prod is locked by process 0 of an unknown machine"):
        recover(remote)


def test_a_free_stack_has_none(project: Project, remote: Pulumi) -> None:
    project.answers({ASK: FREE})
    assert ask_locks(remote, URL) == []


def test_a_backend_that_is_down_is_one_line_without_password(project: Project, remote: Pulumi) -> None:
    project.answers({ASK: DOWN})
    with pytest.raises(Unanswered) as caught:
        ask_locks(remote, URL)
    assert caught.value.message == (
        f"the backend {URL} does not answer: dial tcp 10.0.0.1:5432: connect: connection refused"
    )


def test_a_stack_that_does_not_exist_is_told(project: Project, remote: Pulumi) -> None:
    project.answers({ASK: (255, "", "error: no stack named 'prod' found\n")})
    with pytest.raises(CliError, match=r"^no stack named 'prod' found$"):
        recover(remote)


def test_a_lock_of_an_engine_that_runs_stays(project: Project, remote: Pulumi) -> None:
    with engine(remote.root) as running:
        project.answers({ASK: refused(f"me@{HOST} {running.pid} {now()}"), "stack export": CLEAN})
        with pytest.raises(CliError, match=f"is locked by process {running.pid} of me@") as caught:
            recover_if_possible(remote)
    assert caught.value.code == REFUSED
    assert project.calls() == [ASK.split()]


def test_a_lock_of_an_ended_engine_of_this_checkout_goes(project: Project, remote: Pulumi) -> None:
    with engine(remote.root) as ended:
        pass
    project.answers({ASK: refused(f"me@{HOST} {ended.pid} {now()}"), "stack export": CLEAN})
    assert recover_if_possible(remote)[0].startswith(f"recovered: removed the lock of process {ended.pid}")
    assert project.calls() == [ASK.split(), ["cancel", "--yes"], ["stack", "export"]]
    # The note goes with the lock: a later lock with the same number is not this engine's.
    assert not list((remote.root / ".gpuplane" / "engines").glob("*.json"))
    with pytest.raises(CliError, match="no such process is seen here, but it was not started from this"):
        recover(remote)


def test_one_lock_of_a_living_engine_keeps_all(project: Project, remote: Pulumi) -> None:
    with engine(remote.root) as ended:
        pass
    mine = f"me@{HOST} {ended.pid} {now()}"
    project.answers({ASK: refused(mine, f"you@elsewhere 7 {now()}")})
    with pytest.raises(CliError, match="process 7 of you@elsewhere"):
        recover(remote)
    assert project.calls() == [ASK.split()]


def test_force_removes_any(project: Project, remote: Pulumi) -> None:
    project.answers({ASK: refused(f"you@elsewhere 7 {now()}"), "stack export": CLEAN})
    assert len(recover(remote, force=True).locks) == 1
    assert ["cancel", "--yes"] in project.calls()


Change = Callable[[dict[str, object], Lock], tuple[dict[str, object], Lock]]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda note, lock: ({**note, "boot": "another"}, lock), id="the machine was started again"
        ),
        pytest.param(lambda note, lock: ({**note, "processes": "pid:[1]"}, lock), id="another container"),
        pytest.param(lambda note, lock: ({**note, "host": "another"}, lock), id="noted on another machine"),
        pytest.param(lambda note, lock: (note, replace(lock, host="another")), id="taken on another machine"),
        pytest.param(lambda note, lock: (note, replace(lock, pid=lock.pid + 1)), id="another process"),
        pytest.param(lambda note, lock: (note, replace(lock, since="2027-01-01T00:00:00Z")), id="much later"),
        pytest.param(
            lambda note, lock: (note, replace(lock, since="2020-01-01T00:00:00Z")), id="before its start"
        ),
        pytest.param(lambda note, lock: (note, replace(lock, since="")), id="at an unknown time"),
        pytest.param(lambda note, lock: ({}, lock), id="a note that tells nothing"),
    ],
)
def test_what_does_not_surely_belong_together_is_somebodys(tmp_path: Path, change: Change) -> None:
    with engine(tmp_path) as ended:
        pass
    lock = Lock(file=Path("x"), pid=ended.pid, host=HOST, since=now())
    assert engine_runs.ended_here(tmp_path, "organization/gpuplane/prod", lock)
    assert not engine_runs.ended_here(tmp_path, "other", lock)
    (file,) = (tmp_path / ".gpuplane" / "engines").glob("prod-*.json")
    changed, other = change(json.loads(file.read_text()), lock)
    file.write_text(json.dumps(changed))
    assert not engine_runs.ended_here(tmp_path, "prod", other)


def test_a_note_of_a_running_engine_is_kept(tmp_path: Path) -> None:
    with engine(tmp_path) as running:
        engine_runs.forget(tmp_path, "prod")
        assert (tmp_path / ".gpuplane" / "engines" / f"prod-{running.pid}.json").exists()
    engine_runs.forget(tmp_path, "prod")
    assert not list((tmp_path / ".gpuplane" / "engines").glob("*.json"))


def test_a_process_that_is_gone_is_not_noted(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    assert process_started(gone.pid) is None
    engine_runs.note(tmp_path, "prod", gone.pid)
    assert not (tmp_path / ".gpuplane").exists()


def test_a_folder_that_can_not_be_written_stops_no_engine(tmp_path: Path) -> None:
    (tmp_path / ".gpuplane").write_text("a file")
    engine_runs.note(tmp_path, "prod", os.getpid())
    assert (tmp_path / ".gpuplane").read_text() == "a file"


def test_a_failed_up_says_what_to_do_about_a_backend_that_is_down(
    project: Project, remote: Pulumi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.stacks.engine_environment", lambda *_: dict(remote.environment))
    project.answers({ASK: DOWN})
    assert run(["up", "--stack", "prod", "--yes"]) == 1
    assert capsys.readouterr().err == (
        f"gpuplane: the backend {URL} does not answer: dial tcp 10.0.0.1:5432: connect: connection refused\n"
    )
    assert project.calls() == [ASK.split()]
    assert what_is_left(remote) == (
        f"the backend {URL} does not answer: dial tcp 10.0.0.1:5432: connect: connection refused. What was "
        "made in the clouds is kept there, and costs; once the backend answers, run `gpuplane up` again: it "
        "takes all of it over"
    )


def test_a_failed_up_on_a_backend_that_answers_adds_nothing(
    project: Project, remote: Pulumi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.stacks.engine_environment", lambda *_: dict(remote.environment))
    project.answers({ASK: FREE, "stack export": CLEAN, "up": (255, "", "")})
    assert run(["up", "--stack", "prod", "--yes"]) == 255
    assert capsys.readouterr().err == ""
    assert what_is_left(project.pulumi) == ""


def test_a_lock_that_an_engine_left_is_told(project: Project, remote: Pulumi) -> None:
    with engine(remote.root) as ended:
        pass
    project.answers({ASK: refused(f"me@{HOST} {ended.pid} {now()}")})
    assert what_is_left(remote).startswith("the engine has left its lock")
