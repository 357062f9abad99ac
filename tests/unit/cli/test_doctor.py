"""What the doctor says of a machine and of a stack."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.checks import FAIL, OK, WARN, Check, as_text
from cli.checks_machine import host_check, intents_check, limit_check, packages_check
from cli.checks_stack import clock_check, skew_check
from cli.main import run
from gpu_clouds.errors import AuthError, TransientError
from gpu_clouds.models import AccountStatus
from tests.unit.cli.clouded import STACK_ID, Clouded, clouded, resource
from tests.unit.cli.conftest import Project

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def stack(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clouded:
    made = clouded(project, tmp_path, monkeypatch)
    monkeypatch.setattr("cli.checks_machine.machine_checks", lambda _root: iter(()))
    monkeypatch.setattr("cli.checks_stack.clock_check", lambda name, _endpoint: Check(name, OK, "same"))
    return made


def told(capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Check]:
    assert run(["doctor", "--stack", "prod", "--json"]) == code
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert data["ok"] == (code == 0)
    return {row["name"]: Check(**row) for row in data["checks"]}


def test_all_is_well(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    stack.clouds["main"].status = AccountStatus(balance_usd=12.5, machine_limit=8, machines_in_use=2)
    stack.state(resource("chat-0", "pod1"))
    found = told(capsys)
    assert {check.level for check in found.values()} == {OK}
    assert found["stack"].text == f"prod ({STACK_ID}): 1 cluster(s), 2 node(s), 2 credential set(s)"
    assert found["state"].text == "1 node(s), no lock, nothing unfinished"
    assert found["credentials main"].text == "runpod, 2 of 8 machine(s) in use, balance 12.50 USD"
    assert [cloud.calls for cloud in stack.clouds.values()] == [["account"], ["account"]]


def test_text_is_one_line_each(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    stack.clouds["main"].errors["account"] = AuthError("the key is bad")
    assert run(["doctor", "--stack", "prod"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "fail  credentials main          auth: the key is bad" in lines
    assert all(line[:6] in ("ok    ", "warn  ", "fail  ") for line in lines)
    assert as_text(Check("x", WARN, "seen", "do this")).endswith("seen; do this")


@pytest.mark.parametrize(
    ("status", "level", "step"),
    [
        (AccountStatus(balance_usd=0), FAIL, "add credit"),
        (AccountStatus(machine_limit=2, machines_in_use=2), WARN, "end some machines"),
        (AccountStatus(machine_limit=2, machines_in_use=1), OK, ""),
        (AccountStatus(), OK, ""),
    ],
)
def test_what_an_account_tells(
    stack: Clouded, capsys: pytest.CaptureFixture[str], status: AccountStatus, level: str, step: str
) -> None:
    stack.clouds["main"].status = status
    check = told(capsys, code=int(level == FAIL))["credentials main"]
    assert check.level == level
    assert check.next.startswith(step)


def test_a_cloud_that_does_not_answer_is_a_warning(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.clouds["other"].errors["account"] = TransientError("no answer")
    assert told(capsys)["credentials other"].level == WARN


def test_an_emulator_that_does_not_run_is_a_warning(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.config["credentials"]["other"]["endpoint"] = "emulator"
    stack.state()
    check = told(capsys)["credentials other"]
    assert (check.level, check.text.endswith("is not running: start it with `make up`")) == (WARN, True)
    assert stack.clouds["other"].calls == []


def test_a_killed_engine_is_told_with_the_next_step(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    since = datetime.now(UTC).isoformat()
    stack.project.lock(pid=ended.pid, hostname=socket.gethostname(), timestamp=since)
    stack.state(pending=2)
    check = told(capsys)["state"]
    assert check.text == "1 lock(s) and 2 unfinished operation(s) of a killed engine"
    assert check.next == "`gpuplane recover --stack prod`"
    stack.project.lock(pid=os.getpid(), hostname=socket.gethostname(), timestamp=since)
    assert f"locked by process {os.getpid()}" in told(capsys)["state"].text


def test_a_node_that_is_not_ready_is_told(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    stack.state(resource("chat-0", "pod1", initErrors=["x"]), resource("chat-1", "pod2"))
    assert told(capsys)["state"].text == "2 node(s), not ready or ending: chat-0"


def test_a_wrong_stack_file_fails(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    stack.config["clusters"]["chat"]["imagee"] = "x"
    stack.state()
    found = told(capsys, code=1)
    assert list(found) == ["stack"]
    assert "Pulumi.prod.yaml" in found["stack"].text


@pytest.mark.parametrize(
    ("stack_name", "code", "step"),
    [("prod", 1, "`pulumi stack select --create prod`"), ("dev", 0, "`make up` makes it")],
)
def test_a_stack_that_is_not_there(
    stack: Clouded, capsys: pytest.CaptureFixture[str], stack_name: str, code: int, step: str
) -> None:
    stack.project.answers({"config": (255, "", f"error: no stack named '{stack_name}' found")})
    assert run(["doctor", "--stack", stack_name, "--json"]) == code
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert check["next"] == step


@given(st.floats(-100_000, 100_000), st.floats(0, 15))
def test_a_clock_is_wrong_exactly_beyond_what_the_header_can_tell(skew: float, took: float) -> None:
    theirs = NOW + timedelta(seconds=skew)
    date = format_datetime(theirs.replace(microsecond=0), usegmt=True)
    check = skew_check(
        "clock", "cloud", date, NOW - timedelta(seconds=took / 2), NOW + timedelta(seconds=took / 2)
    )
    if abs(skew) <= 5:
        assert check.level == OK
    if abs(skew) > 5 + 1 + took:
        assert check.level != OK
        assert ("behind" if skew > 0 else "ahead of") in check.text
    assert (check.level == FAIL) <= (abs(skew) > 300)
    assert (abs(skew) > 300 + 1 + took) <= (check.level == FAIL)


def test_no_date_is_a_warning() -> None:
    assert skew_check("clock", "cloud", "", NOW, NOW).level == WARN


def test_a_clock_is_asked_without_a_key() -> None:
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(401)  # sends the date too
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        check = clock_check("clock", f"http://127.0.0.1:{server.server_port}/v2")
        thread.join()
        free = server.server_port
    assert check.level == OK
    assert "authorization" not in seen[0]
    assert clock_check("clock", f"http://127.0.0.1:{free}/v2").text.endswith("does not answer (ConnectError)")


@pytest.mark.parametrize(
    ("limit", "level"), [(None, OK), (0, FAIL), (255, FAIL), (256, WARN), (1023, WARN), (1024, OK)]
)
def test_limits(limit: int | None, level: str) -> None:
    check = limit_check("limit: open files", limit, (256, 1024), "raise it")
    assert (check.level, check.next) == (level, "" if level == OK else "raise it")


def test_packages(tmp_path: Path) -> None:
    pins = tmp_path / "dev.txt"
    pins.write_text(
        "Some_Thing[extra]==1.2 \\\n    --hash=sha256:0\n"
        "only-there==3 ; sys_platform == 'win32' \\\n    --hash=sha256:1\n"
    )
    assert packages_check(pins, {"some-thing": "1.2"}).level == OK
    assert packages_check(pins, {}).text == "Some_Thing is missing"
    assert packages_check(pins, {"some-thing": "1.3"}).text == "Some_Thing is 1.3, pinned is 1.2"
    assert packages_check(tmp_path / "no.txt", {}).level == WARN


def test_the_provider_host(tmp_path: Path) -> None:
    assert host_check(tmp_path).level == WARN
    (tmp_path / "Pulumi.yaml").write_text(
        "plugins: {providers: [{name: pulumi-python, path: ./dynamic_providers/host}]}\n"
    )
    assert host_check(tmp_path).level == FAIL
    program = tmp_path / "dynamic_providers" / "host" / "pulumi-resource-pulumi-python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert host_check(tmp_path).level == OK


def test_the_folder_of_intents(tmp_path: Path) -> None:
    assert intents_check(tmp_path / "new" / "folder").level == OK
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    assert intents_check(tmp_path / "file" / "below").level == FAIL
