"""SkyPilotApiServer on this machine: the real server, through the real engine."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from components.sky_pilot_api_server_local import queue_port
from local_services.processes import identify
from tests.engine.harness import REPOSITORY, STACK, Result, Stack, wait_until

SLOW_S = 900.0
KEY = "canary-lambda-5521"

PROGRAM = """
import pulumi
from components.sky_pilot_api_server import SkyPilotApiServer, SkyPilotApiServerArgs, SkyPilotAuth

config = pulumi.Config("gpuplane")
server = SkyPilotApiServer("sky", SkyPilotApiServerArgs(
    port=config.require_int("port"),
    allowed_clouds=("slurm",),
    config=config.get_object("skyConfig") or {},
    auth=SkyPilotAuth(kind="service_accounts"),
    files={
        ".lambda_cloud/lambda_keys": "api_key = canary-lambda-5521",
        # Else the server fetches its catalog from the network.
        ".sky/catalogs/v8/common/accelerators.csv": "AcceleratorName,Clouds\\n",
    },
    metrics_port=config.require_int("metrics"),
    start_timeout_s=600,
    keep_home=False,
))
for name in ("endpoint", "user", "password"):
    pulumi.export(name, getattr(server, name))
"""


class Server:
    """A stack with one server."""

    def __init__(self, root: Path) -> None:
        self.state = root / "gpuplane-state"
        self.port, self.metrics = free_ports()
        self.home = self.state / "services" / "testtest" / "sky" / "home"
        env = {"PYTHONPATH": str(REPOSITORY), "GPUPLANE_STATE_DIR": str(self.state)}
        self.stack = Stack(root / "stack", PROGRAM, env=env)
        self.stack.set_config({"port": self.port, "metrics": self.metrics, "stackId": "testtest"})

    def op(self, operation: str) -> str:
        """Runs an operation; what it did with the service."""
        result: Result = self.stack.start_operation(operation).wait(SLOW_S).expect_ok()
        return result.ops()["sky"]

    def password(self) -> str:
        shown = self.stack.run("stack", "output", "password", "--show-secrets", "--stack", STACK)
        return shown.expect_ok().output.strip()

    def ask(self, path: str, body: object = None, password: str | None = None) -> Any:
        """One request as it would come through a proxy; without the header the server asks nobody."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        request.add_header("content-type", "application/json")
        request.add_header("x-forwarded-for", "203.0.113.7")
        if password is not None:
            word = base64.b64encode(f"admin:{password}".encode()).decode()
            request.add_header("authorization", f"Basic {word}")
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                # A busy machine: the server gives up on its own database.
                if error.code != 503 or time.monotonic() > until:
                    raise
                error.close()
                time.sleep(1.0)

    def processes(self) -> list[psutil.Process]:
        """Every living process of the server: those of its session, and those that name its folders."""
        found = []
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
                home = process.environ().get("HOME", "")
                if str(self.state) in (words + home) and identify(process.pid) and process.pid != os.getpid():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def pid(self) -> int:
        return int(self.stack.resources()["sky"]["outputs"]["pid"])

    def config(self) -> dict[str, Any]:
        # The server empties the file before it writes it.
        read: dict[str, Any] | None = yaml.safe_load((self.home / ".sky" / "config.yaml").read_text())
        return read or {}


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    left = made.processes()
    for process in left:
        process.kill()
    assert not left


def test_a_real_server_from_preview_to_destroy(server):
    preview = server.stack.preview().expect_ok()
    assert preview.ops()["sky"] == "create"
    assert server.processes() == []

    begin = time.monotonic()
    assert server.op("up") == "create"
    print(f"up, with the server: {time.monotonic() - begin:.1f} s")
    health = server.ask("/api/health")
    assert health["status"] == "healthy"
    assert health["version"] == "0.14.1"
    assert health["service_account_token_enabled"] is True
    assert listens(queue_port(server.port))
    assert listens(server.metrics)
    assert server.op("up") == "same"

    password = server.password()
    assert password not in server.stack.state_text()
    assert KEY not in server.stack.state_text()
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.ask("/users")
    assert refused.value.code == 401
    refused.value.close()
    assert [user["name"] for user in server.ask("/users", password=password)].count("admin") == 1
    assert server.config()["allowed_clouds"] == ["slurm"]
    assert (server.home / ".lambda_cloud" / "lambda_keys").stat().st_mode & 0o777 == 0o600

    server.ask(
        "/workspaces/create",
        {"workspace_name": "team-a", "config": {}, "env_vars": {"SKYPILOT_USER_ID": "abcd1234"}},
        password,
    )
    wait_until(lambda: "team-a" in server.config().get("workspaces", {}), 120, "the workspace is written")

    # Its first process alone is killed: its workers, which hold the port of the queue, end with it.
    before = server.pid()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: not server.processes(), 60, "its supervisor ends the workers")
    assert not listens(queue_port(server.port))
    server.op("refresh")
    assert server.stack.resources()["sky"]["outputs"]["state"] == "gone"

    # A workspace made through the API outlives that, and a changed configuration.
    server.stack.set_config({"skyConfig": {"jobs": {"bucket": "s3://none"}}})
    begin = time.monotonic()
    assert server.op("up") == "update"
    print(f"up again: {time.monotonic() - begin:.1f} s")
    assert server.pid() != before
    assert "team-a" in server.config()["workspaces"]
    assert server.config()["jobs"] == {"bucket": "s3://none"}
    assert server.password() == password
    assert server.ask("/users", password=password)

    begin = time.monotonic()
    assert server.op("destroy") == "delete"
    print(f"destroy: {time.monotonic() - begin:.1f} s")
    assert server.processes() == []
    assert not any(listens(port) for port in (server.port, server.metrics, queue_port(server.port)))
    assert not (server.state / "services").exists()
