"""A stack of the real program with two emulated nodes and a gateway in front of them."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil

from tests.engine.harness import STACK, Result
from tests.engine.nodes.conftest import NewWorld
from tests.engine.nodes.world import World, candidate, cluster

MODEL = "org/tiny"
SECRETS = "pulumi-python:dynamic/local:GeneratedSecret"
SERVICE = "gateway"


class Site:
    """One test's stack.

    Args:
        new_world: Makes the stack.
        plane: Further keys of `controlPlane`.
        clusters: Instead of one cluster `chat` of two nodes.
    """

    def __init__(self, new_world: NewWorld, plane: dict[str, Any] | None = None, **clusters: Any) -> None:
        self.port = free_port()
        section = {"target": "local", "port": self.port, "models": {"best": {"targets": [{"model": MODEL}]}}}
        chat = cluster(2, args=f"--model {MODEL}", candidates=[candidate("RTX4090")])
        self.world: World = new_world(
            clusters=clusters or {"chat": chat}, controlPlane={**section, **(plane or {})}
        )
        self.stack = self.world.stack

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def secrets(self) -> dict[str, str]:
        """Name -> every secret that the stack has made, in the clear."""
        found = {}
        for name, outputs in self.made(SECRETS).items():
            value = outputs["value"]
            # A secret is an object of the engine's with its text as JSON.
            found[name] = json.loads(value["plaintext"]) if isinstance(value, dict) else value
        return found

    def made(self, kind: str) -> dict[str, dict[str, Any]]:
        """Name -> outputs of the resources of a type, with secrets in the clear."""
        resources = json.loads(self._shown("stack", "export"))["deployment"].get("resources") or []
        return {
            each["urn"].rpartition("::")[2]: each["outputs"] for each in resources if each["type"] == kind
        }

    def key(self, name: str = "default") -> str:
        """An API key, as the outputs have it."""
        key: str = json.loads(self._shown("stack", "output", "--json"))["controlPlane"]["apiKeys"][name]
        return key

    def _shown(self, *command: str) -> str:
        """What a command shows with secrets in the clear; written to no file, unlike `stack.run`."""
        return subprocess.run(
            ["pulumi", *command, "--show-secrets", "--stack", STACK],
            executable=shutil.which("pulumi", path=self.stack.env["PATH"]),
            cwd=self.stack.project,
            env=self.stack.env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def table(self) -> dict[str, dict[str, Any]]:
        """The gateway's table of nodes, by name."""
        token = self.secrets()["gateway-admin-token"]
        return {each["name"]: each for each in self.ask("GET", "/admin/v1/nodes", key=token)["data"]}

    def ask(self, method: str, path: str, body: object = None, key: str = "") -> Any:
        """One request to the gateway; its answer as JSON.

        Raises:
            urllib.error.HTTPError: It is refused.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("content-type", "application/json")
        if key:
            request.add_header("authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def chat(self, key: str, model: str = "best", **more: Any) -> str:
        """The text of one answer."""
        answer = self.ask("POST", "/v1/chat/completions", question(model, **more), key)
        text: str = answer["choices"][0]["message"]["content"]
        return text

    def status(self, key: str, model: str = "best") -> int:
        """The status of one request."""
        try:
            self.chat(key, model, max_tokens=2)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        return 200

    def outputs(self) -> dict[str, Any]:
        """Outputs of the service in the state."""
        return self.world.outputs(SERVICE)

    def processes(self) -> list[psutil.Process]:
        """Every living process of the gateway of this stack."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.stack.root) in " ".join(process.environ().values()) and (
                    "control_plane.gateway" in process.cmdline()
                ):
                    found.append(process)
        return found


def question(model: str, **more: Any) -> dict[str, Any]:
    """Body of a request."""
    return {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}], **more}


def texts(lines: Iterator[bytes]) -> Iterator[str]:
    """The pieces of text of a stream of events; fails on an error event."""
    for line in lines:
        data = line.decode().strip().removeprefix("data: ")
        if data and data != "[DONE]":
            event = json.loads(data)
            assert "error" not in event, event
            for choice in event["choices"]:
                yield choice["delta"].get("content") or ""


def ended(result: Result) -> list[tuple[str, str]]:
    """(operation, name) of everything that was done, in the order in which it was done."""
    events = [event["resOutputsEvent"]["metadata"] for event in result.events if "resOutputsEvent" in event]
    return [(step["op"], step["urn"].rpartition("::")[2]) for step in events]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port
