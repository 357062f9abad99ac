"""LocalService in the real engine, with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local_services.processes import identify
from tests.engine.conftest import NewStack
from tests.engine.harness import REPOSITORY, Result, Stack, wait_until

CANARY = "canary-90bb1e"
TOKEN = "pulumi-python:dynamic/local:LocalService"

SERVER = """
import http.server, os, pathlib, subprocess, sys, time
port, folder, slow = int(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
if "--dies" in sys.argv:
    sys.exit("it can't be read: " + os.environ["WORD"])
# A worker that leaves the session, whose parent ends, and that has no environment of ours.
worker = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
subprocess.run([sys.executable, "-c", "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
    + repr(worker) + ", sys.argv[1]], start_new_session=True, env={})", str(folder)])
(folder / f"pid-{os.getpid()}").touch()
class Handler(http.server.BaseHTTPRequestHandler):
    healthy = True
    def do_GET(self):
        if self.path == "/sick":
            Handler.healthy = False
        self.send_response(200 if Handler.healthy or self.path != "/health" else 500)
        self.end_headers()
        self.wfile.write(os.environ["WORD"].encode())
    def log_message(self, *words):
        pass
time.sleep(slow)
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

PROGRAM = """
import json, os, pathlib
import pulumi
from dynamic_providers.leak_guard import LeakGuard
from dynamic_providers.local_service import LocalService

config = pulumi.Config("gpuplane")
folder = config.require("folder")
if config.get("guard"):
    LeakGuard("leak-guard", stack_id="testtest", credentials=[], nodes=[])
service = LocalService("web", {
    "command": ["{python}", folder + "/server.py", str(config.require_int("port")), folder,
                config.get("slow") or "0", *(config.get_object("options") or [])],
    "env": {"WORD": config.get("word") or "canary-90bb1e"},
    "healthUrl": f"http://127.0.0.1:{config.require_int('port')}/health",
    "healthTimeoutS": 60, "stopGraceS": 0.5,
    **(config.get_object("more") or {}),
})
for name in ("pid", "startedAt", "url", "logFile", "state"):
    pulumi.export(name, getattr(service, name))
"""


class Site:
    """A stack with one service."""

    def __init__(self, root: Path, new_stack: NewStack) -> None:
        self.root = root / "site"
        self.root.mkdir()
        (self.root / "server.py").write_text(SERVER)
        self.port = free_port()
        self.state = root / "gpuplane-state"
        env = {"PYTHONPATH": str(REPOSITORY), "GPUPLANE_STATE_DIR": str(self.state)}
        self.stack: Stack = new_stack(PROGRAM, env=env)
        self.set(folder=str(self.root), port=self.port, stackId="testtest")

    def set(self, **values: Any) -> None:
        self.stack.set_config(values)

    def ask(self, path: str = "/") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def service(self) -> dict[str, Any]:
        """Its outputs in the state."""
        outputs: dict[str, Any] = self.stack.resources()["web"]["outputs"]
        return outputs

    def servers(self) -> list[int]:
        """Pids of the servers that live, of all that were ever started."""
        pids = [int(path.name.removeprefix("pid-")) for path in self.root.glob("pid-*")]
        return [pid for pid in pids if pid in {process.pid for process in self.processes()}]

    def processes(self) -> list[psutil.Process]:
        """Every living process of the service: supervisor, server and worker, whoever its parent is."""
        found = []
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                ours = str(self.root) in words or str(self.state) in words
                if ours and identify(process.pid) and process.pid != os.getpid():
                    found.append(process)
            except psutil.Error:
                continue
        return found


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def site(tmp_path: Path, new_stack: NewStack) -> Iterator[Site]:
    site = Site(tmp_path, new_stack)
    yield site
    left = site.processes()
    for process in left:
        process.kill()
    assert not left


def op(result: Result) -> str:
    return result.expect_ok().ops()["web"]


def test_up_no_change_killed_refreshed_updated_destroyed(site):
    preview = site.stack.preview().expect_ok()
    assert preview.ops()["web"] == "create"
    assert str(site.state / "services" / "testtest" / "web" / "service.log") in preview.output
    assert site.processes() == []  # a preview starts nothing
    assert not site.state.exists()

    assert op(site.stack.up()) == "create"
    first = site.service()
    assert [first["pid"]] == site.servers()
    assert (first["state"], first["url"]) == ("running", f"http://127.0.0.1:{site.port}")
    assert site.ask() == CANARY
    assert len(site.processes()) == 3  # long after the end of engine and host
    assert op(site.stack.up("--refresh")) == "same"
    assert site.servers() == [first["pid"]]

    os.kill(int(first["pid"]), signal.SIGKILL)
    wait_until(lambda: not site.processes(), 30, "its supervisor ends the worker too")
    site.stack.refresh().expect_ok()
    assert site.service()["state"] == "gone"
    assert op(site.stack.up()) == "update"
    second = site.service()
    assert [second["pid"]] == site.servers() != [first["pid"]]

    site.ask("/sick")
    refreshed = site.stack.refresh().expect_ok()
    assert "[web] is unhealthy: the next up starts it anew" in refreshed.output
    planned = site.stack.preview().expect_ok()
    assert planned.ops()["web"] == "update"
    assert site.servers() == [second["pid"]]
    assert op(site.stack.up()) == "update"
    third = site.service()
    assert [third["pid"]] == site.servers() != [second["pid"]]

    site.set(word="another-word")
    assert op(site.stack.up()) == "update"
    assert site.ask() == "another-word"
    fourth = site.service()
    assert [fourth["pid"]] == site.servers()
    site.set(more={"stopGraceS": 0.2})
    assert op(site.stack.up()) == "update"
    assert site.servers() == [fourth["pid"]]  # what only steers us restarts nothing

    old_port, site.port = site.port, free_port()
    site.set(port=site.port)
    assert op(site.stack.up()) == "update"
    assert site.ask() == "another-word"
    assert len(site.processes()) == 3
    site.set(more={"stopGraceS": 0.2, "replaceTrigger": "2"})
    assert "replace" in site.stack.up().expect_ok().ops()["web"]
    assert len(site.servers()) == 1

    assert op(site.stack.destroy()) == "delete"
    assert site.processes() == []
    assert not (site.state / "services").exists()
    for port in (old_port, site.port):
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) != 0
    # The word stands in the program's text, so it is only looked for in what the engine has kept.
    assert CANARY not in site.stack.state_text()
    assert json.dumps(site.stack.export_state()).count("another-word") == 0


def test_one_that_dies_is_one_readable_error(site):
    site.set(options=["--dies"])
    failed = site.stack.up()
    assert not failed.ok
    assert "[web] ended with status 1 before it answered at http://127.0.0.1" in failed.output
    assert "it can't be read: [" in failed.output
    assert CANARY not in failed.output
    assert "Traceback" not in failed.output
    assert "web" not in site.stack.resources()
    assert site.processes() == []
    site.set(options=None)
    assert op(site.stack.up()) == "create"
    assert len(site.servers()) == 1
    site.stack.destroy().expect_ok()


def test_an_update_that_does_not_come_up_goes_on_with_the_next_up(site):
    site.stack.up().expect_ok()
    site.set(options=["--dies"])
    assert not site.stack.up().ok
    assert site.service()["state"] == "failed"
    site.set(options=None)
    assert op(site.stack.up()) == "update"
    assert site.service()["state"] == "running"
    assert len(site.servers()) == 1
    site.stack.destroy().expect_ok()


def test_a_taken_port_is_told_in_preview_and_refused_in_up(site):
    with socket.create_server(("127.0.0.1", site.port)):
        preview = site.stack.preview().expect_ok()
        assert f"port {site.port} is held by process {os.getpid()}" in preview.output
        failed = site.stack.up()
    assert not failed.ok
    assert f"port {site.port} is held by process {os.getpid()}" in failed.output
    assert site.processes() == []


def test_a_broken_rule_is_one_line_in_the_preview(site):
    site.set(more={"cwd": "here"})
    failed = site.stack.preview()
    assert not failed.ok
    assert "cwd: must be an absolute path, not 'here'" in failed.output
    assert "Traceback" not in failed.output


@pytest.mark.parametrize("then", ["up", "destroy"])
def test_engine_killed_in_mid_start(site, then):
    """One process after the next up, none after a destroy, also right after the kill: the guard knows."""
    site.set(slow="3", guard="yes")
    running = site.stack.start_operation("up")
    wait_until(site.servers, 60, "the service starts")
    running.kill_engine()
    wait_until(lambda: not running.hosts_alive(), 20, "the host ends with its engine")
    (killed,) = site.servers()  # it survives them
    site.stack.cancel().expect_ok()
    if then == "up":
        assert op(site.stack.up()) == "create"
        assert [site.service()["pid"]] == site.servers() == [killed]
    destroyed = site.stack.destroy().expect_ok()
    assert ("ended service web, which no state knew" in destroyed.output) == (then == "destroy")
    assert site.processes() == []


def test_cancel_during_the_start_leaves_nothing(site):
    site.set(slow="120")
    running = site.stack.start_operation("up")
    wait_until(lambda: len(site.processes()) >= 3, 60, "the service starts")
    running.interrupt()
    stopped = running.wait()
    assert not stopped.ok
    assert "web" not in site.stack.resources()
    assert site.processes() == []


def test_killed_supervisor_is_drift_and_leaves_nothing(site):
    site.stack.up().expect_ok()
    record = json.loads((Path(site.service()["folder"]) / "record.json").read_text())
    os.kill(record["supervisor"]["pid"], signal.SIGKILL)
    site.stack.refresh().expect_ok()
    assert site.service()["state"] == "gone"
    assert op(site.stack.up()) == "update"
    assert len(site.processes()) == 3
    os.kill(json.loads((Path(site.service()["folder"]) / "record.json").read_text())["supervisor"]["pid"], 9)
    site.stack.destroy().expect_ok()
    assert site.processes() == []
