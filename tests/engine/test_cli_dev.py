"""The command line in the real engine: a newcomer's way through the dev stack, a killed engine, a plan."""

from __future__ import annotations

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
import pytest

from cli.project import DEV_STACK, engine_environment
from tests.engine.harness import REPOSITORY, wait_until

ROOMS = ("cli", "components", "dynamic_providers", "emulators", "engine", "gpu_clouds", "stack_config")
FILES = ("__main__.py", "Pulumi.yaml", "Pulumi.dev.yaml")
RTX4090 = "NVIDIA GeForce RTX 4090"
KEYS = ("emulator-key", "chat-upstream-key", "embed-upstream-key")


class Checkout:
    """A copy of the project with its own state, as a fresh clone has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for room in ROOMS:
            shutil.copytree(REPOSITORY / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copyfile(REPOSITORY / name, root / name)
        (root / ".venv").symlink_to(sys.prefix)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("GPUPLANE_", "PULUMI_"))}
        self.before = self.files()

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

    def living(self) -> list[str]:
        pods = self.emulator("GET", "runpod/state")["pods"]
        return sorted(
            pod["name"].split("-", 3)[3].rpartition("-")[0] for pod in pods if pod["phase"] != "TERMINATED"
        )

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
    made.start("emulators", "stop").communicate(timeout=30)


def writes(checkout: Checkout) -> list[str]:
    requests = checkout.emulator("GET", "requests?last=10000")["requests"]
    return [f"{r['method']} {r['path']}" for r in requests if r["method"] != "GET" and "/v2/" in r["path"]]


def test_the_dev_stack_from_preview_over_a_kill_to_the_last_node(checkout: Checkout) -> None:
    shown = checkout.gpuplane("dev", "preview")
    assert re.search(r"total +3 nodes +1\.32 +963\.60", shown)
    assert "4 to create" in shown or "7 to create" in shown
    assert writes(checkout) == []
    assert checkout.living() == []

    # The engine is killed while its nodes boot.
    checkout.emulator("PATCH", "runpod/settings", {"ready_after_s": 600})
    killed = checkout.start("cli.main", "dev", "up")
    wait_until(lambda: len(checkout.living()) == 3, 60, "three nodes boot")
    pid = checkout.lock_pid()
    assert pid is not None
    assert "is locked by process" in checkout.gpuplane("recover", "--stack", DEV_STACK, code=2)
    os.kill(pid, signal.SIGKILL)
    output, _ = killed.communicate(timeout=60)
    assert killed.returncode == 128 + signal.SIGKILL, output

    said = checkout.gpuplane("recover", "--stack", DEV_STACK)
    assert f"recovered: removed the lock of process {pid}" in said
    assert re.search(r"recovered: cleared 3 unfinished operation\(s\): .*creating chat-0", said)
    assert checkout.gpuplane("recover", "--stack", DEV_STACK, "--quiet") == ""

    # The next up adopts what the killed one has launched.
    checkout.emulator("PATCH", "runpod/settings", {"ready_after_s": 1})
    before = checkout.emulator("GET", "runpod/state")["pods"]
    checkout.emulator("POST", "clock/advance", {"seconds": 900})
    up = checkout.gpuplane("dev", "up")
    assert checkout.living() == ["chat-0", "chat-1", "embed-0"]
    assert {pod["id"] for pod in checkout.emulator("GET", "runpod/state")["pods"]} == {
        pod["id"] for pod in before
    }

    # One request to a node, as it was printed.
    command = up[up.index("curl ") :]
    assert not any(key in command for key in KEYS)
    answer = subprocess.run(
        ["sh", "-c", command], cwd=checkout.root, env=checkout.env, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout)["choices"][0]["message"]["role"] == "assistant"

    cost = json.loads(checkout.gpuplane("cost", "--stack", DEV_STACK, "--json"))
    assert [node["candidate"] for node in cost["nodes"]] == ["runpod EU-RO-1 RTX4090 x1"] * 3
    assert cost["totalHourlyUsd"] == 1.32

    again = checkout.gpuplane("dev", "up")
    assert re.search(r"Resources:\n    \d+ unchanged\n\n", again)
    assert checkout.gpuplane("key", "chat", "--stack", DEV_STACK) == "chat-upstream-key\n"

    last = checkout.gpuplane("dev", "down")
    assert "dev stack: no node, no resource, no process left" in last
    assert not (checkout.root / ".gpuplane" / "emulators" / "endpoints.json").exists()
    assert checkout.files() == checkout.before
    assert "no node, no resource" in checkout.gpuplane("dev", "down")


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
    assert "plan: the prices of 3 node(s) hold within 10 %" in done
    assert checkout.living() == ["chat-0", "chat-1", "embed-0"]
    assert json.loads(checkout.gpuplane("cost", "--stack", DEV_STACK, "--json"))["totalHourlyUsd"] == 1.38


def test_a_wrong_stack_file_is_one_message_in_the_engine_too(checkout: Checkout) -> None:
    file = checkout.root / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("nodeClass: large", "nodeClass: lage"))
    output = checkout.gpuplane("dev", "preview", code=1)
    assert (
        'Pulumi.dev.yaml: gpuplane:clusters.chat.nodeClass: no node class "lage"; did you mean "large"?'
        in output
    )
    assert writes(checkout) == []
