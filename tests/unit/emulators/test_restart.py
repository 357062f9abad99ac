"""What a restart keeps, and the commands that start and stop real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulators.__main__ import main
from emulators.clock import EmulatedClock, SettingError, parse_rfc3339, rfc3339, time_scale
from emulators.folder import Folder
from emulators.processes import is_running, start_time
from tests.unit.emulators.driver import EIGHT_OCLOCK, H100, Driver, pod_body


def test_whatever_was_answered_survives_a_crash(tmp_path: Path) -> None:
    driver = Driver(tmp_path, ready_after_s=30, capacity={f"{H100}|US-GA-2": 4})
    driver.fault("error", count=3, path="/never")
    pods = [driver.create(f"n{i}") for i in range(5)]
    big = driver.create("big", gpu=H100, count=3, dataCenterIds=["US-GA-2"])
    driver.call("DELETE", f"/v2/pods/{pods[0]['id']}")
    driver.call("POST", f"/v2/pods/{pods[1]['id']}/action", {"action": "stop"})
    before = driver.pods()
    driver.crash()
    with Driver(tmp_path, start=EIGHT_OCLOCK + 10) as driver:
        assert driver.pods() == before
        assert driver.control("GET", "runpod/settings")["ready_after_s"] == 30
        assert driver.control("GET", "faults")["faults"][0]["count"] == 3
        assert [row["name"] for row in driver.control("GET", "state")["runpod"]["ended"]] == ["n0"]
        full = driver.call("POST", "/v2/pods", pod_body(gpu=H100, count=2, dataCenterIds=["US-GA-2"]))
        assert full.status == 400
        driver.advance(21)
        ready = {pod["name"] for pod in driver.pods() if pod["runtime"]}
        assert ready == {"n2", "n3", "n4", "big"}
        assert driver.create()["id"] not in {pod["id"] for pod in [*pods, big]}


def test_a_pod_that_was_ready_is_ready_again_and_one_that_lingered_ends(tmp_path: Path) -> None:
    driver = Driver(tmp_path, ready_after_s=10, exit_after_s=100, terminated_listed_s=50)
    driver.create("a")
    gone = driver.create("b")["id"]
    driver.advance(20)
    driver.call("DELETE", f"/v2/pods/{gone}")
    driver.crash()
    with Driver(tmp_path, start=EIGHT_OCLOCK + 60) as driver:
        assert {pod["name"]: pod["status"] for pod in driver.pods()} == {"a": "RUNNING", "b": "TERMINATED"}
        driver.advance(60)
        assert {pod["name"]: pod["status"] for pod in driver.pods()} == {"a": "EXITED"}


def test_a_reset_forgets_pods_and_faults_and_keeps_settings(tmp_path: Path) -> None:
    with Driver(tmp_path, ready_after_s=7) as driver:
        driver.create()
        driver.fault("error")
        driver.control("POST", "reset")
        assert driver.pods() == []
        state = driver.control("GET", "runpod/state")
        assert (state["alive"], state["ended"]) == (0, [])
        assert driver.control("GET", "faults") == {"faults": []}
        assert driver.control("GET", "runpod/settings")["ready_after_s"] == 7


@pytest.mark.parametrize(
    ("environment", "scale"),
    [
        ({}, 1.0),
        ({"GPUPLANE_TIME_SCALE": "20", "GPUPLANE_EMULATED": "1"}, 20.0),
        ({"GPUPLANE_TIME_SCALE": ""}, 1),
    ],
)
def test_the_time_scale_comes_from_the_environment(environment: dict[str, str], scale: float) -> None:
    assert time_scale(environment) == scale


@pytest.mark.parametrize("text", ["20", "0", "-1", "fast", "nan"])
def test_a_time_scale_without_the_marker_or_without_sense_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="GPUPLANE_TIME_SCALE"):
        time_scale({"GPUPLANE_TIME_SCALE": text})


def test_time_goes_on_over_a_restart_even_with_another_scale() -> None:
    real = [1000.0]
    clock = EmulatedClock(20, start=5000.0, real_time=lambda: real[0])
    real[0] += 10
    saved = clock.snapshot()
    assert saved["start"] == 5200
    again = EmulatedClock(1, start=saved["start"], real_start=saved["real_start"], real_time=lambda: real[0])
    real[0] += 10
    assert again.now() == 5210


def test_time_stamps_come_back() -> None:
    assert parse_rfc3339(rfc3339(EIGHT_OCLOCK)) == EIGHT_OCLOCK
    with pytest.raises(ValueError, match="time zone"):
        parse_rfc3339("2026-11-21T08:00:00")


@pytest.mark.parametrize(
    "changes",
    [
        {"modus": "observed"},
        {"mode": "strict"},
        {"ready_after_s": -1},
        {"ready_after_s": None},
        {"ready_after_s": True},
        {"pagination": 1},
        {"rate_limit": {"second": 1}},
        {"capacity": {"NVIDIA L4": 1}},
        {"prices": {"NVIDIA L4": {"spot": 1}}},
        {"keys": {"k": {"account": "a", "auth": "some"}}},
        {"keys": {"k": {}}},
    ],
)
def test_wrong_settings_are_refused_and_change_nothing(changes: dict[str, Any]) -> None:
    with Driver() as driver:
        before = driver.control("GET", "runpod/settings")
        reply = driver.call("PATCH", "/_emu/runpod/settings", changes, key=None)
        assert reply.status == 400
        assert reply.json()["error"]
        assert driver.control("GET", "runpod/settings") == before


# -- real processes


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "emulators", *arguments, "--folder", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "GPUPLANE_TIME_SCALE": "", **environment},
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "emulators"
    run(tmp_path / "emulators", "stop")


def api(endpoints: dict[str, Any], method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        endpoints["clouds"]["runpod"]["api"] + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": "Bearer emulator-key", "User-Agent": "test/1"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read() or b"null")


def set_fault(control: str, kind: str) -> None:
    fault = json.dumps({"kind": kind, "count": 1, "method": "POST"}).encode()
    urllib.request.urlopen(urllib.request.Request(control, fault), timeout=20).close()


def port_of(endpoints: dict[str, Any]) -> int:
    return int(endpoints["clouds"]["runpod"]["api"].split(":")[2].split("/")[0])


def test_start_is_idempotent_survives_kill_and_stop_leaves_nothing(folder: Path) -> None:
    started = run(
        folder,
        "start",
        "--set",
        "runpod.ready_after_s=0.2",
        "--set",
        "runpod.mode=observed",
        GPUPLANE_TIME_SCALE="20",
        GPUPLANE_EMULATED="1",
    )
    assert started.returncode == 0, started.stderr
    first = Folder(folder).endpoints()
    assert first is not None
    assert first["time_scale"] == 20
    api(first, "POST", "/pods", pod_body())

    again = run(folder, "start", GPUPLANE_TIME_SCALE="20", GPUPLANE_EMULATED="1")
    assert again.returncode == 0
    assert Folder(folder).endpoints() == first
    other = run(folder, "start")
    assert other.returncode == 1
    assert "stop them first" in other.stderr
    assert "run already" in run(folder, "serve").stderr

    os.kill(first["pid"], signal.SIGKILL)
    while is_running(first["pid"], first["started"]):
        time.sleep(0.01)
    assert run(folder, "status").returncode == 3
    assert run(folder, "start", GPUPLANE_TIME_SCALE="20", GPUPLANE_EMULATED="1").returncode == 0
    second = Folder(folder).endpoints()
    assert second is not None
    assert second["clouds"] == first["clouds"]
    (pod,) = api(second, "GET", "/pods")["pods"]
    ssh = pod["ssh"]["direct"]
    assert ssh["host"] == "127.0.0.1"
    with socket.create_connection((ssh["host"], ssh["port"]), timeout=10) as connection:
        assert connection.recv(8).startswith(b"SSH-2.0")

    control = second["clouds"]["runpod"]["api"].removesuffix("/v2") + "/_emu/faults"
    set_fault(control, "cut_after")
    with pytest.raises(ConnectionError):
        api(second, "POST", "/pods", pod_body("cut"))
    set_fault(control, "hang_after")
    with socket.create_connection(("127.0.0.1", port_of(second)), timeout=10) as hanging:
        body = json.dumps(pod_body("hung"))
        hanging.sendall(
            "POST /v2/pods HTTP/1.1\r\nHost: x\r\nUser-Agent: test/1\r\n"
            "Authorization: Bearer emulator-key\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        while len(pods := api(second, "GET", "/pods")["pods"]) < 3:
            time.sleep(0.01)
        assert {pod["name"] for pod in pods} == {"node", "cut", "hung"}
        stopped = run(folder, "stop")
    assert (stopped.returncode, stopped.stdout) == (0, "emulators stopped\n")
    assert not is_running(second["pid"], second["started"])
    assert not Folder(folder).endpoints_file.exists()
    for closed in (port_of(second), ssh["port"]):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", closed), timeout=5).close()
    assert "Traceback" not in Folder(folder).log_file.read_text()
    assert "no emulators were running" in run(folder, "stop").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "runpod.ready_after_s"], "write cloud.setting=value"),
        (["--set", "runpod.redy=1"], "no setting 'redy'"),
        (["--set", "moonpod.mode=observed"], "no cloud 'moonpod'"),
    ],
)
def test_a_wrong_setting_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    for command in ("start", "serve"):
        assert main([command, "--folder", str(tmp_path / "emulators"), *arguments]) == 1
        error = capsys.readouterr().err
        assert says in error
        assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "emulators").exists()


def test_a_pid_is_taken_for_the_process_only_with_its_start_time() -> None:
    mine = start_time(os.getpid())
    assert is_running(os.getpid(), mine)
    assert not is_running(os.getpid(), f"{mine}0")
    assert not is_running(0, mine)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert start_time(child.pid) == ""
