"""The client against the emulator: a whole life of a pod over real sockets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gpu_clouds import errors
from gpu_clouds.clock import SystemClock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.models import Candidate, InstanceSpec, InstanceState, InstanceTemplate
from gpu_clouds.registry import connect

SCALE = 50.0
KEY = "emulator-key"


@dataclass
class Emulator:
    urls: dict[str, Any]
    state: Path

    def connect(self, key: str = KEY) -> GpuCloud:
        credentials = CredentialSet("main", "runpod", key, self.urls["api"], self.urls["proxy"])
        return connect(credentials, clock=SystemClock(SCALE), state_dir=self.state)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("emulators")
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "emulators"]
    environment = os.environ | {
        "GPUPLANE_TIME_SCALE": str(SCALE),
        "GPUPLANE_EMULATED": "1",
        "GPUPLANE_EMULATOR_DIR": str(folder),
        "PYTHONPATH": str(root),
    }
    subprocess.run([*command, "start", "--port", "0"], check=True, env=environment, cwd=root, timeout=60)
    try:
        endpoints = json.loads((folder / "endpoints.json").read_text())
        yield Emulator(endpoints["clouds"]["runpod"], folder / "client")
    finally:
        subprocess.run([*command, "stop"], check=True, env=environment, cwd=root, timeout=60)


CANDIDATE = Candidate("runpod", "main", "eu-central", "H100-SXM", 2)


def spec(name: str, image: str = "vllm/vllm-openai:v0.11.0") -> InstanceSpec:
    template = InstanceTemplate(
        image=image, ports=("22/tcp", "8000/http"), env={"VLLM_API_KEY": "upstream" + "Key1"}
    )
    return InstanceSpec(name, CANDIDATE, template)


def until(cloud: GpuCloud, instance_id: str, state: InstanceState) -> None:
    deadline = time.monotonic() + 30
    while cloud.get(instance_id).state is not state:
        assert time.monotonic() < deadline, f"never {state}: {cloud.get(instance_id)}"
        time.sleep(0.05)


def test_the_life_of_a_pod(emulator: Emulator) -> None:
    cloud = emulator.connect()
    name = "gp-p-abcdefgh-life-1a2b3c4d"
    (offer,) = cloud.offers([CANDIDATE])
    made = cloud.create(spec(name))
    assert made.hourly_usd == offer.hourly_usd
    assert made.gpu == "H100-SXM"
    assert made.gpu_count == 2
    until(cloud, made.id, InstanceState.READY)
    ready = cloud.get(made.id)
    assert [(way.port, way.protocol) for way in ready.endpoints] == [(22, "tcp"), (8000, "http")]
    assert ready.endpoints[1].url == emulator.urls["proxy"].format(id=made.id, port=8000)
    assert [found.id for found in cloud.list("gp-p-abcdefgh-life-")] == [made.id]
    assert cloud.update(made.id, spec(name, "vllm/vllm-openai:v0.12.0")).image == "vllm/vllm-openai:v0.12.0"
    line = next(iter(cloud.logs(made.id, tail=1)))
    assert line.cursor
    assert line.text
    cloud.stop(made.id)
    assert cloud.get(made.id).state is InstanceState.STOPPED
    cloud.start(made.id)
    cloud.delete(made.id)
    cloud.delete(made.id)
    assert cloud.get(made.id).state is InstanceState.GONE
    assert cloud.list("gp-p-abcdefgh-life-") == []
    cloud.close()


def test_a_bad_key_is_named(emulator: Emulator) -> None:
    cloud = emulator.connect("not-a-key-of-it")
    with pytest.raises(errors.AuthError, match="credential set 'main'"):
        cloud.account()
    cloud.close()
