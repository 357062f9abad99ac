"""What every case has for itself: an account of the shared emulator, a proxy in front of it, and folders."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.crash.cutting_proxy import CuttingProxy
from tests.crash.forked_host import ROOT

TIME_SCALE = 100
"""Emulated seconds per real second: the settle time of 60 s passes in 0.6 s."""
LATE_S = 0.2
"""Real seconds that a late call takes to reach the cloud: well inside the settle time."""
SETTLE_REAL_S = 60 / TIME_SCALE
ACCOUNTS = 1000
CANARY = "canary-7f3d91"
"""Part of every account key and of every secret: it must show up in no state, output or log."""

CLOUDS = ("runpod", "lambda", "paperspace", "vast")


def account_key(number: int) -> str:
    """The API key of an account."""
    return f"{CANARY}-{number:04d}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node that lives, as its cloud's own API shows it.

    Attributes:
        cloud: Name of the cloud.
        id: Its id.
        name: Its marker.
        ready: Whether it has started.
        row: All that the API shows.
    """

    cloud: str
    id: str
    name: str
    ready: bool
    row: Mapping[str, Any]


_NODES: Mapping[
    str, tuple[str, str, Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], bool]]
] = {
    "runpod": ("/v2/pods", "pods", lambda r: r["status"] != "TERMINATED", lambda r: r["runtime"] is not None),
    "lambda": (
        "/api/v1/instances",
        "data",
        lambda r: r["status"] in ("booting", "active", "unhealthy"),
        lambda r: r["status"] == "active",
    ),
    "paperspace": (
        "/paperspace/v1/machines",
        "items",
        lambda r: not r["dtDeleted"],
        lambda r: r["state"] == "ready",
    ),
    "vast": (
        "/vast/api/v1/instances/?limit=1000",
        "instances",
        lambda _r: True,
        lambda r: r["actual_status"] == "running",
    ),
}
"""Where a cloud lists nodes, in which field, which of them live, which have started."""

_BELONGINGS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "runpod": (("cache", "/v2/network-volumes", "networkVolumes"),),
    "lambda": (
        ("key", "/api/v1/ssh-keys", "data"),
        ("ruleset", "/api/v1/firewall-rulesets", "data"),
        ("cache", "/api/v1/file-systems", "data"),
    ),
    "paperspace": (
        ("script", "/paperspace/v1/startup-scripts", "items"),
        ("snapshot", "/paperspace/v1/snapshots", "items"),
    ),
    "vast": (),
}
"""What else of ours a cloud may hold: kind, where it is listed, in which field."""


class Emulator:
    """The emulated clouds that all cases share, each with an account of its own.

    Args:
        folder: Their folder.
        settings: By name of the cloud.
        time_scale: Emulated seconds per real second.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Mapping[str, Any]], time_scale: float = TIME_SCALE
    ) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        env = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "GPUPLANE_EMULATOR_DIR": str(folder),
            "GPUPLANE_TIME_SCALE": str(time_scale),
            "GPUPLANE_EMULATED": "1",
            "PYTHONPATH": str(ROOT),
        }
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "emulator.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "emulators", "serve"], env=env, cwd=folder, stdout=log, stderr=log
            )
        end = time.monotonic() + 30
        while not (folder / "endpoints.json").exists():
            assert self._process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.05)
        self.endpoints: dict[str, Any] = json.loads((folder / "endpoints.json").read_text())
        parts = urlsplit(self.endpoints["clouds"]["runpod"]["api"])
        self.origin = f"{parts.scheme}://{parts.netloc}"
        keys = {account_key(n): {"account": f"account-{n}"} for n in range(ACCOUNTS)}
        for cloud in CLOUDS:
            self.control("PATCH", f"{cloud}/settings", {"keys": keys, **settings.get(cloud, {})})

    def log(self) -> str:
        """What it has written."""
        return (self.folder / "emulator.log").read_text(errors="replace")[-2000:]

    def next_account(self) -> str:
        """A key that no other case has."""
        with self._lock:
            return account_key(next(self._numbers))

    def control(self, method: str, path: str, body: object = None) -> Any:
        """One call to the emulator's own control endpoints."""
        return self._request(method, f"/_emu/{path}", body, {})

    def counts(self) -> dict[str, int]:
        """Answered calls so far, by method and route."""
        counts: dict[str, int] = {}
        for row in self.control("GET", "counters")["routes"]:
            name = f"{row['method']} {row['route']}"
            counts[name] = counts.get(name, 0) + row["count"]
        return counts

    def nodes(self, key: str, clouds: Sequence[str] = ("runpod",)) -> list[Node]:
        """Nodes of an account that live, as the clouds' own APIs show them."""
        found = []
        for cloud in clouds:
            path, field_, lives, ready = _NODES[cloud]
            rows = self._request("GET", path, None, _as(key))[field_]
            found += [
                Node(cloud, str(row["id"]), row.get("name") or row.get("label") or "", ready(row), row)
                for row in rows
                if lives(row)
            ]
        return found

    def belongings(self, key: str, clouds: Sequence[str]) -> list[tuple[str, str]]:
        """What else an account holds: (`cloud kind`, name)."""
        found = []
        for cloud in clouds:
            for kind, path, field_ in _BELONGINGS[cloud]:
                rows = self._request("GET", path, None, _as(key))[field_]
                found += [(f"{cloud} {kind}", str(row["name"])) for row in rows]
        return found

    def launch(self, key: str, body: Mapping[str, Any]) -> str:
        """Makes a RunPod pod as a client would; gives its id."""
        return str(self._request("POST", "/v2/pods", body, _as(key))["id"])

    def end(self, key: str, node: Node) -> None:
        """Ends a node as a client would."""
        if node.cloud == "lambda":
            body = {"instance_ids": [node.id]}
            self._request("POST", "/api/v1/instance-operations/terminate", body, _as(key))
        elif node.cloud == "vast":
            self._request("DELETE", f"/vast/api/v0/instances/{node.id}/", None, _as(key))
        else:
            self._request("DELETE", f"{_NODES[node.cloud][0]}/{node.id}", None, _as(key))

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _request(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.origin + path, data, dict(headers), method=method)
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None


def _as(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "user-agent": "gpuplane-crash-tests"}


@dataclass(slots=True)
class World:
    """One case's own cloud account, proxy and folders."""

    emulator: Emulator
    folder: Path
    key: str
    proxy: CuttingProxy
    state_dir: Path
    clouds: Sequence[str] = ("runpod",)
    _faults: list[str] = field(default_factory=list)

    @classmethod
    def make(
        cls,
        emulator: Emulator,
        folder: Path,
        shares: World | None = None,
        clouds: Sequence[str] = ("runpod",),
    ) -> World:
        """A new world in a new folder.

        Args:
            emulator: The clouds.
            folder: Made here.
            clouds: Those that this world is about.
            shares: Take account and intents from this one: another process of the same user and machine.
        """
        folder.mkdir(parents=True)
        key = shares.key if shares else emulator.next_account()
        state_dir = shares.state_dir if shares else folder / "kept" / "intents"
        clouds = shares.clouds if shares else clouds
        world = cls(emulator, folder, key, CuttingProxy(emulator.origin, LATE_S), state_dir, clouds)
        world.emulator_dir.mkdir()
        text = json.dumps(emulator.endpoints).replace(emulator.origin, world.proxy.url)
        (world.emulator_dir / "endpoints.json").write_text(text)
        return world

    @property
    def emulator_dir(self) -> Path:
        """Folder whose `endpoints.json` points at the proxy."""
        return self.folder / "endpoints"

    @property
    def variables(self) -> dict[str, str]:
        """Environment of the processes of this world."""
        return {
            "GPUPLANE_EMULATOR_DIR": str(self.emulator_dir),
            "GPUPLANE_STATE_DIR": str(self.state_dir),
            "GPUPLANE_TIME_SCALE": str(TIME_SCALE),
            "GPUPLANE_EMULATED": "1",
            "GPUPLANE_CRASH_KEY": self.key,
        }

    def nodes(self, stack_id: str = "") -> list[Node]:
        """Nodes that live in this world's account; of one stack, if one is given."""
        prefix = f"gp-p-{stack_id}-" if stack_id else ""
        found = self.emulator.nodes(self.key, self.clouds)
        return [node for node in found if node.name.startswith(prefix)]

    def belongings(self, stack_id: str = "") -> list[tuple[str, str]]:
        """What else of the stack the account holds: (`cloud kind`, name)."""
        found = self.emulator.belongings(self.key, self.clouds)
        return [(kind, name) for kind, name in found if f"gp-p-{stack_id}" in name]

    def wait_ready(self, stack_id: str) -> None:
        """Waits until no node of the stack is starting any more, at most two seconds."""
        end = time.monotonic() + 2
        while time.monotonic() < end and not all(node.ready for node in self.nodes(stack_id)):
            time.sleep(0.02)

    def fault(self, **fault: Any) -> None:
        """Sets a fault for this account alone."""
        answer = self.emulator.control(
            "POST", "faults", {"account": f"account-{int(self.key[-4:])}", **fault}
        )
        self._faults.append(answer["id"])

    def clear_faults(self) -> None:
        """Takes them back."""
        while self._faults:
            self.emulator.control("DELETE", f"faults/{self._faults.pop()}")

    def close(self, *, keep: bool, stack_id: str = "") -> None:
        """Ends the proxy and the nodes; the folder stays when the case failed."""
        self.proxy.close()
        self.clear_faults()
        for node in self.nodes(stack_id):
            self.emulator.end(self.key, node)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def slugs(nodes: Sequence[Node]) -> list[str]:
    """Which node each is, sorted: the middle of its marker."""
    return sorted("-".join(node.name.split("-")[3:-1]) for node in nodes)


def stray(nodes: Sequence[Node], belongings: Sequence[tuple[str, str]]) -> list[str]:
    """What a stack holds besides its nodes and should not, in words.

    A Paperspace machine has exactly one script, and a place one cache. Keys and rulesets cost nothing: a late
    call may make a second one, and the end of the stack has to find both.
    """
    problems = []
    machines = sorted(node.name for node in nodes if node.cloud == "paperspace")
    scripts = sorted(name for kind, name in belongings if kind == "paperspace script")
    if len(scripts) != len(machines) or not all(map(str.startswith, scripts, machines)):
        problems.append(f"scripts {scripts} for the machines {machines}")
    others = [(kind, name) for kind, name in belongings if kind != "paperspace script"]
    twice = sorted({one for one in others if others.count(one) > 1 and one[0].endswith("cache")})
    if twice or (others and not nodes):
        problems.append(f"left over: {twice or others}")
    return problems


def leaks(folder: Path) -> list[str]:
    """Files below a folder that hold the canary in plain text."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and CANARY.encode() in path.read_bytes():
            found.append(str(path.relative_to(folder)))
    return found
