"""What a test of nodes in the real engine has: an account of the emulator, a stack of the real program."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.engine.harness import PROJECT, REPOSITORY, STACK, Stack

TIME_SCALE = 60
STACK_ID = "testtest"
SOLD_OUT = "H100-SXM"
CANARY = "canary-4c1d77"
"""Part of every key and secret: it must show up in no state in plain text, output or process list."""


class Emulator:
    """The emulated cloud that all tests share.

    Args:
        folder: Its folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        env = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "GPUPLANE_EMULATOR_DIR": str(folder),
            "GPUPLANE_TIME_SCALE": str(TIME_SCALE),
            "GPUPLANE_EMULATED": "1",
            "PYTHONPATH": str(REPOSITORY),
        }
        with (folder / "emulator.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "emulators", "serve"], env=env, cwd=folder, stdout=log, stderr=log
            )
        end = time.monotonic() + 30
        while not (folder / "endpoints.json").exists():
            assert self._process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.05)
        endpoints = json.loads((folder / "endpoints.json").read_text())
        self.origin = endpoints["clouds"]["runpod"]["api"].removesuffix("/v2")
        keys = {account_key(n): {"account": account(n)} for n in range(200)}
        self._settings = {"keys": keys, "ready_after_s": 20.0, "capacity": {}, "prices": {}}
        self._settings |= {"list_lag_s": 0.0, "latency_s": 0.0}
        self.restore()

    def log(self) -> str:
        return (self.folder / "emulator.log").read_text(errors="replace")

    def restore(self) -> None:
        """The settings that every test starts with."""
        self.control("DELETE", "faults")
        self.set(**self._settings)

    def set(self, **settings: Any) -> None:
        self.control("PATCH", "runpod/settings", settings)

    def control(self, method: str, path: str, body: object = None) -> Any:
        return self.call(method, f"/_emu/{path}", body)

    def call(self, method: str, path: str, body: object = None, key: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.origin + path, data, method=method)
        request.add_header("content-type", "application/json")
        request.add_header("user-agent", "gpuplane-tests")
        if key:
            request.add_header("authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def ask(self, node: str, key: str) -> Any:
        """One question to a node, as a user would ask it."""
        path = node.removeprefix(self.origin) + "/v1/chat/completions"
        question = {"max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}
        return self.call("POST", path, question, key=key)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def account(number: int) -> str:
    return f"account-{number}"


def account_key(number: int) -> str:
    return f"{CANARY}-key-{number:04d}"


def upstream_key() -> str:
    return f"{CANARY}-upstream-0001"


def candidate(gpu: str, region: str = "EU-RO-1", **more: Any) -> dict[str, Any]:
    """A candidate group of the stack file."""
    return {"cloud": "runpod", "credentials": "main", "gpus": [gpu], "regions": [region], **more}


def cluster(nodes: int = 1, **more: Any) -> dict[str, Any]:
    """A cluster of the stack file."""
    return {
        "nodes": nodes,
        "candidates": [candidate("RTX4090")],
        "image": "vllm/vllm-openai:v0.11.0",
        "ports": ["8000/http"],
        "readiness": {"kind": "http", "path": "/health"},
        **more,
    }


class World:
    """One test's account and stack.

    Args:
        emulator: The shared emulator.
        number: Of the account.
        new_stack: Makes the stack.
        program: Text of the program; None for the real one.
        host: `ours` or `stock`.
        config: Keys of the configuration, over the defaults.
    """

    def __init__(
        self,
        emulator: Emulator,
        number: int,
        new_stack: Callable[..., Stack],
        program: str | None,
        host: str,
        config: Mapping[str, Any],
    ) -> None:
        self.emulator = emulator
        self.number = number
        self.key = account_key(number)
        self.config: dict[str, Any] = {
            "stackId": STACK_ID,
            "credentials": {
                "main": {"cloud": "runpod", "endpoint": "emulator", "apiKeyEnv": "TEST_RUNPOD_KEY"}
            },
            "clusters": {
                "chat": cluster(2, candidates=[candidate(SOLD_OUT, "US-CA-2"), candidate("RTX4090")]),
                "embed": cluster(1),
            },
            **config,
        }
        self.stack = new_stack(
            program or (REPOSITORY / "__main__.py").read_text(),
            host=host,
            env={
                "PYTHONPATH": str(REPOSITORY),
                "GPUPLANE_EMULATOR_DIR": str(emulator.folder),
                "GPUPLANE_TIME_SCALE": str(TIME_SCALE),
                "GPUPLANE_EMULATED": "1",
                "TEST_RUNPOD_KEY": self.key,
            },
        )
        self.stack.set_config(self.config)

    def change(self, path: str, value: Any) -> None:
        """Sets one value of the configuration: `change("clusters.chat.nodes", 3)`; None removes it."""
        self.config = deepcopy(self.config)
        *parents, last = path.split(".")
        place = self.config
        for part in parents:
            place = place[part]
        place.pop(last, None)
        if value is not None:
            place[last] = value
        self.stack.set_config({key: self.config.get(key) for key in (parents or [last])[:1]})

    def set_secret(self, path: str, value: str) -> None:
        """Sets one encrypted value inside a structure; `change` of the same structure drops it again."""
        self.stack.run(
            "config", "set", "--secret", "--path", f"gpuplane:{path}", value, "--stack", STACK
        ).expect_ok()

    def lose_state(self) -> None:
        """Removes the state altogether, as if the backend had been lost; the stack is made anew, empty."""
        stacks = self.stack.state / "state" / ".pulumi" / "stacks" / PROJECT
        for path in stacks.glob(f"{STACK}.*"):
            path.unlink()
        self.stack.run("stack", "init", STACK).expect_ok()

    def pods(self) -> list[dict[str, Any]]:
        """The account's living pods."""
        answer = self.emulator.call("GET", "/v2/pods", key=self.key)
        return [pod for pod in answer["pods"] if pod["status"] != "TERMINATED"]

    def by_node(self) -> dict[str, list[str]]:
        """Node name -> ids of its living pods."""
        found: dict[str, list[str]] = {}
        for pod in self.pods():
            found.setdefault(pod["name"].split("-", 3)[3].rpartition("-")[0], []).append(pod["id"])
        return dict(sorted(found.items()))

    def end(self, pod_id: str) -> None:
        """Ends a pod behind the program's back."""
        self.emulator.call("DELETE", f"/v2/pods/{pod_id}", key=self.key)

    def requests(self) -> list[tuple[str, str]]:
        """Method and path of the account's calls, oldest first; those of the test itself included."""
        entries = self.emulator.control("GET", "requests?last=5000")["requests"]
        mine = account(self.number)
        return [(e["method"], e["path"]) for e in entries if e["account"] == mine and e["plane"] == "api"]

    def writes(self) -> list[tuple[str, str]]:
        """Those that change something."""
        return [call for call in self.requests() if call[0] != "GET"]

    def outputs(self, name: str) -> dict[str, Any]:
        """Outputs of a resource in the state."""
        outputs: dict[str, Any] = self.stack.resources()[name]["outputs"]
        return outputs

    def files(self) -> str:
        """Everything that the stack has written: state with its history, output, event logs, intents."""
        texts = []
        for path in self.stack.root.rglob("*"):
            settings = path == self.stack.settings
            if path.is_file() and ".venv" not in path.parts and not settings:
                with contextlib.suppress(OSError):
                    texts.append(path.read_text(errors="replace"))
        return "\n".join(texts)
