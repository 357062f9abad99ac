"""The command line in the real engine: a newcomer's way through the dev stack, a killed engine, a plan."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cli.project import DEV_STACK, engine_environment
from cli.request_example import curl
from tests.engine.gateway.site import free_port
from tests.engine.harness import REPOSITORY, wait_until

ROOMS = (
    "cli",
    "components",
    "control_plane",
    "dynamic_providers",
    "emulators",
    "engine",
    "gpu_clouds",
    "local_services",
    "stack_config",
)
FILES = ("__main__.py", "Pulumi.yaml", "Pulumi.dev.yaml")
RTX4090 = "NVIDIA GeForce RTX 4090"
KEYS = (
    "emulator-key",
    "emulator-paperspace-key",
    "chat-upstream-key",
    "embed-upstream-key",
    "judge-upstream-key",
)
CLOUDS = {"runpod": "pods", "lambda": "instances", "paperspace": "machines"}
DECLARED = ["chat-0", "chat-1", "embed-0", "judge-0"]
CANDIDATES = [
    "runpod EU-RO-1 RTX4090 x1",
    "runpod EU-RO-1 RTX4090 x1",
    "lambda us-west A10 x1",
    "paperspace ny2 H100-SXM x1",
]


class Checkout:
    """A copy of the project with its own state, as a fresh clone has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for room in ROOMS:
            shutil.copytree(REPOSITORY / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copyfile(REPOSITORY / name, root / name)
        (root / ".venv").symlink_to(sys.prefix)
        self.port = free_port()
        file = root / "Pulumi.dev.yaml"
        file.write_text(file.read_text().replace("    port: 8484\n", f"    port: {self.port}\n"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("GPUPLANE_", "PULUMI_"))}
        self.before = self.files()

    def close(self) -> None:
        """Ends what a test that does not end with a `down` leaves: emulators and gateway.

        Raises:
            AssertionError: A process is left all the same.
        """
        self.start("emulators", "stop").communicate(timeout=60)
        # With its supervisor all of a service goes.
        running = list(processes_of(self.root))
        for process in running:
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(word.endswith("supervisor.py") for word in process.cmdline()):
                    process.terminate()
        psutil.wait_procs(running, timeout=60)
        assert [process.pid for process in processes_of(self.root)] == []

    def files(self) -> dict[str, bytes]:
        """Every file that git would see."""
        seen = [*self.root.glob("*"), *(path for room in ROOMS for path in (self.root / room).rglob("*"))]
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in seen
            if path.is_file() and "__pycache__" not in path.parts
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.root / ".venv" / "bin" / "python"), "-m", *arguments],
            cwd=self.root,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def gpuplane(self, *arguments: str, code: int = 0) -> str:
        process = self.start("cli.main", *arguments)
        output, _ = process.communicate(timeout=180)
        assert process.returncode == code, output
        assert "Traceback" not in output
        assert not [key for key in KEYS if key in output and arguments[0] != "key"]
        return output

    def pulumi(self, *arguments: str) -> str:
        env = {**engine_environment(self.root, DEV_STACK, self.env), "PULUMI_EXPERIMENTAL": "1"}
        done = subprocess.run(
            ["pulumi", *arguments, "--stack", DEV_STACK],
            cwd=self.root,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def emulator(self, method: str, path: str, body: object = None) -> Any:
        written = json.loads((self.root / ".gpuplane" / "emulators" / "endpoints.json").read_text())
        base = written["clouds"]["runpod"]["api"].removesuffix("/v2")
        return (
            httpx.request(method, f"{base}/_emu/{path}", json=body, trust_env=False).raise_for_status().json()
        )

    def machines(self) -> dict[str, str]:
        """Id of every machine that a cloud rents out -> its name."""
        states = self.emulator("GET", "state")
        return {
            one["id"]: one["name"]
            for cloud, kind in CLOUDS.items()
            for one in states[cloud][kind]
            if one.get("phase") != "TERMINATED"
            and one.get("status") not in ("", "terminating", "terminated")
            and one.get("deleted_at") is None
        }

    def living(self) -> list[str]:
        """Names of the nodes behind them."""
        return sorted(name.split("-", 3)[3].rpartition("-")[0] for name in self.machines().values())

    def belongings(self) -> dict[str, int]:
        """How many things there are in the accounts that nodes are reached and booted with."""
        states = self.emulator("GET", "state")
        account = states["lambda"]["accounts"]["default"]
        counts = {kind: len(account[kind]) for kind in ("ssh_keys", "firewall_rulesets", "file_systems")}
        return {**counts, **states["paperspace"]["accounts"]["default"]["objects"]}

    def lock_pid(self) -> int | None:
        """Process that holds the stack's lock."""
        locks = list((self.root / ".gpuplane" / "state").rglob(".pulumi/locks/**/*.json"))
        try:
            return int(json.loads(locks[0].read_text())["pid"]) if locks else None
        except (OSError, ValueError):
            return None


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout(tmp_path / "checkout")
    yield made
    made.close()


def processes_of(root: Path) -> Iterator[psutil.Process]:
    """Processes of a checkout: they name its folder, or work in it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(root) in process.cwd() or any(str(root) in word for word in process.cmdline()):
                yield process


def writes(checkout: Checkout) -> list[str]:
    requests = checkout.emulator("GET", "requests?last=10000")["requests"]
    return [f"{r['method']} {r['path']}" for r in requests if r["method"] != "GET" and r["plane"] == "api"]


def ask(checkout: Checkout, command: str) -> Any:
    """Runs a printed request in a shell; returns its answer."""
    return json.loads(shell(checkout, command))["choices"][0]["message"]["role"]


def shell(checkout: Checkout, command: str) -> str:
    """What a printed command prints."""
    assert not any(key in command for key in KEYS)
    done = subprocess.run(
        ["sh", "-c", command], cwd=checkout.root, env=checkout.env, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_dev_stack_from_preview_over_a_kill_to_the_last_node(checkout: Checkout) -> None:
    shown = checkout.gpuplane("dev", "preview")
    assert re.search(r"judge-0 +paperspace ny2 H100-SXM x1 +5\.95 +4,343\.50", shown)
    assert re.search(r"total +4 nodes +8\.12 +5,927\.60", shown)
    assert "17 to create" in shown
    assert writes(checkout) == []
    assert checkout.living() == []

    # The engine is killed while its nodes boot.
    slow: dict[str, dict[str, Any]] = {
        "runpod": {"ready_after_s": 600},
        "lambda": {"boot_s": 550},
        "paperspace": {"provision_s": 900},
    }
    before = {cloud: checkout.emulator("GET", f"{cloud}/settings") for cloud in slow}
    for cloud, settings in slow.items():
        checkout.emulator("PATCH", f"{cloud}/settings", settings)
    killed = checkout.start("cli.main", "dev", "up")
    wait_until(lambda: len(checkout.living()) == 4, 60, "four nodes boot")
    pid = checkout.lock_pid()
    assert pid is not None
    assert "is locked by process" in checkout.gpuplane("recover", "--stack", DEV_STACK, code=2)
    os.kill(pid, signal.SIGKILL)
    output, _ = killed.communicate(timeout=60)
    assert killed.returncode == 128 + signal.SIGKILL, output

    said = checkout.gpuplane("recover", "--stack", DEV_STACK)
    assert f"recovered: removed the lock of process {pid}" in said
    assert re.search(r"recovered: cleared [45] unfinished operation\(s\): .*creating chat-0", said)
    assert checkout.gpuplane("recover", "--stack", DEV_STACK, "--quiet") == ""

    # The next up adopts what the killed one has launched.
    for cloud, settings in slow.items():
        checkout.emulator("PATCH", f"{cloud}/settings", {name: before[cloud][name] for name in settings})
    booting = checkout.machines()
    checkout.emulator("POST", "clock/advance", {"seconds": 900})
    up = checkout.gpuplane("dev", "up")
    assert checkout.living() == DECLARED
    assert checkout.machines() == booting
    assert checkout.belongings()["ssh_keys"] == 1
    assert checkout.belongings()["firewall_rulesets"] == 1
    assert checkout.belongings()["startup-scripts"] == 1

    # The requests through the gateway, as they were printed, and the same to a node of each cloud.
    command, _, snippet = up[up.index("curl ") :].partition("\n\nThe same in Python, as a stream:\n\n")
    assert ask(checkout, command) == "assistant"
    assert len(shell(checkout, snippet).split()) > 1
    outputs = json.loads(checkout.pulumi("stack", "output", "--json"))["nodes"]
    for cluster in ("chat", "embed", "judge"):
        (url,) = outputs[cluster][f"{cluster}-0"]["endpoints"]
        assert ask(checkout, curl(url, f".venv/bin/python -m cli.main key {cluster} --stack {DEV_STACK}"))

    cost = json.loads(checkout.gpuplane("cost", "--stack", DEV_STACK, "--json"))
    assert [node["candidate"] for node in cost["nodes"]] == CANDIDATES
    assert cost["totalHourlyUsd"] == 8.12

    again = checkout.gpuplane("dev", "up")
    assert re.search(r"Resources:\n    17 unchanged\n\n", again)
    assert checkout.gpuplane("key", "chat", "--stack", DEV_STACK) == "chat-upstream-key\n"

    # The state is lost: everything is taken over, and nothing is launched.
    shutil.rmtree(checkout.root / ".gpuplane" / "state")
    assert "adopting paperspace node" in checkout.gpuplane("dev", "up")
    assert checkout.machines() == booting

    last = checkout.gpuplane("dev", "down")
    assert "dev stack: no node, no resource, no process left" in last
    assert not (checkout.root / ".gpuplane" / "emulators" / "endpoints.json").exists()
    assert checkout.files() == checkout.before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{checkout.port}/health", trust_env=False)
    assert "no node, no resource" in checkout.gpuplane("dev", "down")

    checkout.start("emulators", "start").communicate(timeout=30)
    assert checkout.machines() == {}
    assert set(checkout.belongings().values()) == {0}


def test_what_a_stack_leaves_in_a_cloud_is_named_at_its_end(checkout: Checkout) -> None:
    checkout.gpuplane("dev", "preview")
    endpoints = json.loads((checkout.root / ".gpuplane" / "emulators" / "endpoints.json").read_text())
    made = httpx.post(
        f"{endpoints['clouds']['paperspace']['api']}/startup-scripts",
        json={"name": "mine", "script": "true"},
        headers={"Authorization": "Bearer emulator-paperspace-key"},
        trust_env=False,
    )
    assert made.is_success, made.text
    refused = checkout.gpuplane("dev", "down", code=1)
    assert "1 thing(s) are left in the emulated clouds: paperspace startup-scripts x1; " in refused


def test_a_plan_is_carried_out_only_while_its_prices_hold(checkout: Checkout) -> None:
    checkout.gpuplane("dev", "preview")
    checkout.pulumi("preview", "--save-plan", "plan.json")
    checkout.emulator("PUT", "runpod/prices", {RTX4090: {"SECURE": 0.60, "COMMUNITY": 0.60}})
    # A catalogue is asked once a minute at most; this is another process.
    refused = checkout.gpuplane("up", "--stack", DEV_STACK, "--plan", "plan.json", "--yes", code=2)
    assert (
        "chat-0: price moved from 0.44 to 0.6 USD per hour since the plan (runpod EU-RO-1 RTX4090 x1)"
        in refused
    )
    assert checkout.living() == []

    checkout.emulator("PUT", "runpod/prices", {RTX4090: {"SECURE": 0.46, "COMMUNITY": 0.46}})
    done = checkout.gpuplane("up", "--stack", DEV_STACK, "--plan", "plan.json", "--yes")
    assert "plan: the prices of 4 node(s) hold within 10 %" in done
    assert checkout.living() == DECLARED
    assert json.loads(checkout.gpuplane("cost", "--stack", DEV_STACK, "--json"))["totalHourlyUsd"] == 8.16


def test_a_wrong_stack_file_is_one_message_in_the_engine_too(checkout: Checkout) -> None:
    file = checkout.root / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("nodeClass: large", "nodeClass: lage"))
    output = checkout.gpuplane("dev", "preview", code=1)
    assert (
        'Pulumi.dev.yaml: gpuplane:clusters.chat.nodeClass: no node class "lage"; did you mean "large"?'
        in output
    )
    assert writes(checkout) == []
