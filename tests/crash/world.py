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
from collections.abc import Mapping, Sequence
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
ACCOUNTS = 3000
CANARY = "canary-7f3d91"
"""Part of every account key and of every secret: it must show up in no state, output or log."""

Pod = dict[str, Any]


def account_key(number: int) -> str:
    """The API key of an account."""
    return f"{CANARY}-{number:04d}"


class Emulator:
    """The emulated cloud that all cases share, each with an account of its own.

    Args:
        folder: Its folder.
        settings: Of the emulated RunPod.
        time_scale: Emulated seconds per real second.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], time_scale: float = TIME_SCALE) -> None:
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
        self.control("PATCH", "runpod/settings", {"keys": keys, **settings})

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

    def pods(self, key: str) -> list[Pod]:
        """Pods of an account that live, as its own API shows them."""
        answer = self._request("GET", "/v2/pods", None, _as(key))
        return [pod for pod in answer["pods"] if pod["status"] != "TERMINATED"]

    def launch(self, key: str, body: Mapping[str, Any]) -> Pod:
        """Makes a pod as a client would."""
        pod: Pod = self._request("POST", "/v2/pods", body, _as(key))
        return pod

    def end(self, key: str, pod_id: str) -> None:
        """Ends a pod as a client would."""
        self._request("DELETE", f"/v2/pods/{pod_id}", None, _as(key))

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
    _faults: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, emulator: Emulator, folder: Path, shares: World | None = None) -> World:
        """A new world in a new folder.

        Args:
            emulator: The cloud.
            folder: Made here.
            shares: Take account and intents from this one: another process of the same user and machine.
        """
        folder.mkdir(parents=True)
        key = shares.key if shares else emulator.next_account()
        state_dir = shares.state_dir if shares else folder / "kept" / "intents"
        world = cls(emulator, folder, key, CuttingProxy(emulator.origin, LATE_S), state_dir)
        runpod = {
            name: url.replace(emulator.origin, world.proxy.url)
            for name, url in emulator.endpoints["clouds"]["runpod"].items()
        }
        world.emulator_dir.mkdir()
        endpoints = {**emulator.endpoints, "clouds": {"runpod": runpod}}
        (world.emulator_dir / "endpoints.json").write_text(json.dumps(endpoints))
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

    def pods(self, stack_id: str = "") -> list[Pod]:
        """Pods that live in this world's account; of one stack, if one is given."""
        prefix = f"gp-p-{stack_id}-" if stack_id else ""
        return [pod for pod in self.emulator.pods(self.key) if pod["name"].startswith(prefix)]

    def wait_ready(self, stack_id: str) -> None:
        """Waits until no pod of the stack is starting any more, at most two seconds."""
        end = time.monotonic() + 2
        while time.monotonic() < end and any(pod["runtime"] is None for pod in self.pods(stack_id)):
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
        """Ends the proxy and the pods; the folder stays when the case failed."""
        self.proxy.close()
        self.clear_faults()
        for pod in self.pods(stack_id):
            self.emulator.end(self.key, pod["id"])
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def slugs(pods: Sequence[Pod]) -> list[str]:
    """Which node each pod is, sorted: the middle of its marker."""
    return sorted("-".join(pod["name"].split("-")[3:-1]) for pod in pods)


def leaks(folder: Path) -> list[str]:
    """Files below a folder that hold the canary in plain text."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and CANARY.encode() in path.read_bytes():
            found.append(str(path.relative_to(folder)))
    return found
