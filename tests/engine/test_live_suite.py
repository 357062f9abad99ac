"""The tests with real accounts, tried against emulated clouds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.harness import REPOSITORY, wait_until

KEYS = {
    "RUNPOD_API_KEY": "emulator-key",
    "LAMBDA_API_KEY": "emulator-key",
    "PAPERSPACE_API_KEY": "emulator-paperspace-key",
}


class Live:
    """Emulators, and the suite with its own folder."""

    def __init__(self, folder: Path) -> None:
        self.records = folder / "live"
        self.emulators = folder / "emulators"
        # Without keys the suite skips, as it should; on CI a skip would be a failure.
        dropped = {*KEYS, "CI"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GPUPLANE_") and k not in dropped}
        self.env = {
            **kept,
            "GPUPLANE_TIME_SCALE": "60",
            "GPUPLANE_EMULATED": "1",
            "GPUPLANE_LIVE_EMULATORS": str(self.emulators / "endpoints.json"),
            "GPUPLANE_LIVE_DIR": str(self.records),
        }
        self.emulate("start")
        clouds = json.loads((self.emulators / "endpoints.json").read_text())["clouds"]
        self.origin = clouds["runpod"]["api"].removesuffix("/v2")

    def emulate(self, command: str) -> None:
        arguments = ["-m", "emulators", command, "--folder", str(self.emulators)]
        subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, env=self.env, check=True)

    def start(self, *arguments: str, keys: bool = True) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests/live", *arguments],
            cwd=REPOSITORY,
            env={**self.env, **(KEYS if keys else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int, keys: bool = True) -> str:
        process = self.start(*arguments, keys=keys)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == code, output
        return output

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.origin}/_emu/state", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def ended(self) -> list[int]:
        """How many nodes have ended on each of the clouds that the suite knows."""
        state = self.state()
        return [len(state[cloud]["ended"]) for cloud in ("runpod", "lambda", "paperspace")]

    def left(self) -> list[Any]:
        """Whatever the clouds still have of anybody."""
        state = self.state()
        own = state["lambda"]["accounts"]["default"]
        counts = state["paperspace"]["accounts"]["default"]["objects"].values()
        return [
            *(cloud["alive"] for cloud in state.values() if cloud["alive"]),
            *(own[kind] for kind in ("ssh_keys", "firewall_rulesets", "file_systems") if own[kind]),
            *(count for count in counts if count),
        ]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    made = Live(tmp_path)
    yield made
    made.emulate("stop")


def test_without_keys_or_a_limit_nothing_is_sent(live: Live) -> None:
    skipped = [line for line in live.run(code=0, keys=False).splitlines() if "SKIPPED" in line]
    assert len(skipped) == 1
    assert "set one of RUNPOD_API_KEY, LAMBDA_API_KEY, PAPERSPACE_API_KEY" in skipped[0]
    assert "say how much with --max-usd" in live.run(code=0)
    assert "nothing free for 0.10 USD/h" in live.run("--max-usd", "0.1", code=1)
    assert live.left() == []
    assert live.ended() == [0, 0, 0]


def test_a_node_on_each_cloud_is_made_read_ended_and_written_down(live: Live) -> None:
    assert "3 passed" in live.run("--max-usd", "2", code=0)
    assert live.left() == []
    assert live.ended() == [1, 1, 1]
    records = sorted(live.records.glob("*.json"))
    assert [path.name.split("-")[0] for path in records] == ["lambda", "paperspace", "runpod"]
    for path in records:
        text = path.read_text()
        assert not [key for key in KEYS.values() if f'"{key}"' in text or f"Bearer {key}" in text]
        record = json.loads(text)
        assert record["hourlyUsd"] <= 0.8
        assert record["findings"]["states"]
        assert record["findings"]["deleteAnswers"]


def test_a_run_that_is_told_to_end_ends_its_node_first(live: Live) -> None:
    running = live.start("--max-usd", "2", "-k", "runpod")
    wait_until(lambda: live.state()["runpod"]["alive"] == 1, 60, "a node boots")
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode != 0
    assert live.left() == []
