"""The example stack for Slurm: the stack makes its server, and nothing outlives a destroy after a kill."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from components.sky_pilot_api_server_local import queue_port
from local_services.processes import identify
from tests.engine.harness import REPOSITORY, STACK, wait_until
from tests.peers.processes import free_ports, listens
from tests.peers.slurm import Slurm
from tests.peers.stacks import SLOW_S, PeerStack, machines, none_left

DOCUMENT: dict[str, Any] = yaml.safe_load((REPOSITORY / "Pulumi.slurm.yaml").read_text(encoding="utf-8"))
STACK_ID = "peerexmp"
PATIENCE_S = 900.0
KEY = "canary-lambda-5521"

# What the stack file has no key for, and what it does not export.
BEFORE = """
import functools
import pulumi
from components import sky_pilot_api_server as made

class Shown(made.SkyPilotApiServer):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        pulumi.export("password", self.password)

made.SkyPilotApiServer = Shown
made.SkyPilotApiServerArgs = functools.partial(
    made.SkyPilotApiServerArgs, metrics_port={metrics}, start_timeout_s=600
)
"""


def example(folder: Path, slurm_config: Path) -> dict[str, Any]:
    """The example's configuration, for a cluster that is not the reader's own, and with authentication."""
    config = {key.removeprefix("gpuplane:"): value for key, value in deepcopy(DOCUMENT["config"]).items()}
    # Else the server fetches its catalogue of GPUs from the network.
    catalog, keys = folder / "accelerators.csv", folder / "lambda_keys"
    catalog.write_text("AcceleratorName,Clouds\nH100,\"['AWS']\"\n")
    keys.write_text(f"api_key = {KEY}")
    lab = config["skypilotServers"]["lab"]
    lab["port"] = free_ports(1)[0]
    lab["auth"] = "service_accounts"
    lab["keepHome"] = False
    lab["homeFiles"] = {
        ".sky/catalogs/v8/common/accelerators.csv": str(catalog),
        ".lambda_cloud/lambda_keys": str(keys),
        ".slurm/config": str(slurm_config),
    }
    return config


class Example:
    """The stack, and a look at its server from outside."""

    def __init__(self, root: Path, slurm_config: Path) -> None:
        (self.metrics,) = free_ports(1)
        self.config = example(root, slurm_config)
        self.port: int = self.config["skypilotServers"]["lab"]["port"]
        self.world = PeerStack(root, STACK_ID, self.config, BEFORE.format(metrics=self.metrics))
        self.state = self.world.folder
        self.home = self.state / "services" / STACK_ID / "lab" / "home"

    def op(self, operation: str) -> str:
        """Runs an operation; what it did with the service."""
        return self.world.run(operation).expect_ok().ops()["lab"]

    def service(self) -> dict[str, Any]:
        return self.world.outputs("lab")

    def password(self) -> str:
        shown = self.world.stack.run("stack", "output", "password", "--show-secrets", "--stack", STACK)
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

    def server_config(self) -> dict[str, Any]:
        # The server empties the file before it writes it.
        read: dict[str, Any] | None = yaml.safe_load((self.home / ".sky" / "config.yaml").read_text())
        return read or {}


@pytest.fixture
def lab(slurm: Slurm, tmp_path: Path) -> Iterator[Example]:
    made = Example(tmp_path, slurm.client_config)
    yield made
    left = made.processes()
    for process in left:
        process.kill()
    slurm.cancel(*machines(slurm, STACK_ID))
    assert not left


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path):
    world = PeerStack(tmp_path, STACK_ID, example(tmp_path, tmp_path / "nowhere"))
    refused = world.run("preview")
    assert not refused.ok and "Traceback" not in refused.output
    assert "skypilotServers.lab.homeFiles" in refused.output and "No such file" in refused.output


def test_its_server_from_preview_to_a_destroy_after_a_kill(lab: Example, slurm: Slurm):
    world = lab.world
    preview = world.run("preview").expect_ok()
    assert {"lab", "lab-guard", "train", "leak-guard"} <= preview.ops().keys()
    assert "the SkyPilot server is not known yet: train will be checked" in preview.output
    assert lab.processes() == []

    # The server alone.
    train = world.config["skypilotClusters"]["train"]
    world.drop_cluster("train")
    assert lab.op("up") == "create"
    health = lab.ask("/api/health")
    assert (health["status"], health["version"]) == ("healthy", "0.14.1")
    assert health["service_account_token_enabled"] is True
    assert listens(queue_port(lab.port)) and listens(lab.metrics)
    assert lab.op("up") == "same"

    password = lab.password()
    assert password not in world.stack.state_text()
    assert KEY not in world.stack.state_text()
    with pytest.raises(urllib.error.HTTPError) as refused:
        lab.ask("/users")
    assert refused.value.code == 401
    refused.value.close()
    assert [user["name"] for user in lab.ask("/users", password=password)].count("admin") == 1
    assert lab.server_config()["allowed_clouds"] == ["slurm"]
    assert (lab.home / ".lambda_cloud" / "lambda_keys").stat().st_mode & 0o777 == 0o600
    lab.ask(
        "/workspaces/create",
        {"workspace_name": "team-a", "config": {}, "env_vars": {"SKYPILOT_USER_ID": "abcd1234"}},
        password,
    )
    wait_until(lambda: "team-a" in lab.server_config().get("workspaces", {}), 120, "the workspace is written")

    # Its first process alone is killed: its workers, which hold the port of the queue, end with it.
    before = int(lab.service()["pid"])
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: not lab.processes(), 60, "its supervisor ends the workers")
    assert not listens(queue_port(lab.port))
    lab.op("refresh")
    assert lab.service()["state"] == "gone"

    # A workspace made through the API outlives that, and a changed configuration. Then a cluster is launched
    # on it, and the program and its provider are killed.
    world.config["skypilotServers"]["lab"]["config"]["jobs"] = {"bucket": "s3://none"}
    world.stack.set_config({"skypilotServers": world.config["skypilotServers"]})
    world.set_cluster("train", **train)
    running = world.start("up")
    running.wait_for_host(PATIENCE_S)
    wait_until(lambda: machines(slurm, STACK_ID), PATIENCE_S, "the launch has a machine")
    running.kill_engine()
    running.kill_host()
    assert running.wait(SLOW_S).ops()["lab"] == "update"
    assert {"lab", "lab-guard"} <= world.stack.resources().keys() and "train" not in world.stack.resources()
    assert int(lab.service()["pid"]) != before
    assert "team-a" in lab.server_config()["workspaces"]
    assert lab.server_config()["jobs"] == {"bucket": "s3://none"}
    assert lab.ask("/users", password=password)

    world.stack.cancel().expect_ok()
    destroyed = world.run("destroy").expect_ok()
    assert "which no state knew" in destroyed.output
    assert destroyed.ops()["lab"] == "delete"
    assert none_left(slurm, STACK_ID) and lab.processes() == []
    assert not any(listens(port) for port in (lab.port, lab.metrics, queue_port(lab.port)))
    assert not (lab.state / "services").exists()
