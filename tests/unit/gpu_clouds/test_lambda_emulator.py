"""The client against the emulator as its own process: a node's life and its traffic, over real sockets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_clouds import errors
from gpu_clouds.clock import SystemClock
from gpu_clouds.cloud import GpuCloud, OwnsStackObjects
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.models import Candidate, InstanceSpec, InstanceState, InstanceTemplate
from gpu_clouds.readiness import Readiness, probe
from gpu_clouds.registry import connect

SCALE = 100.0
STACK = "abcdefgh"
CANDIDATE = Candidate("lambda", "main", "us-east", "A10")
UPSTREAM = "upstream" + "Key1"
TEMPLATE = InstanceTemplate(
    image="vllm/vllm-openai:v0.11.0",
    ports=("22/tcp", "8000/http"),
    env={"VLLM_API_KEY": UPSTREAM},
    args="--model org/model",
)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("emulators")
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "emulators"]
    environment = os.environ | {
        "GPUPLANE_TIME_SCALE": str(SCALE),
        "GPUPLANE_EMULATED": "1",
        "GPUPLANE_EMULATOR_DIR": str(folder),
        "PYTHONPATH": str(root),
    }
    start = [*command, "start", "--port", "0", "--set", "lambda.boot_s=20"]
    subprocess.run(start, check=True, env=environment, cwd=root, timeout=60)
    try:
        yield json.loads((folder / "endpoints.json").read_text())["clouds"]["lambda"]
    finally:
        subprocess.run([*command, "stop"], check=True, env=environment, cwd=root, timeout=60)


def open_lambda(urls: dict[str, Any], state: Path, key: str = "emulator-key") -> GpuCloud:
    credentials = CredentialSet("main", "lambda", key, urls["api"], urls["proxy"])
    return connect(credentials, clock=SystemClock(SCALE), state_dir=state)


def until(cloud: GpuCloud, instance_id: str, *states: InstanceState) -> Any:
    deadline = time.monotonic() + 30
    while (seen := cloud.get(instance_id)).state not in states:
        assert time.monotonic() < deadline, f"never {states}: {seen}"
        time.sleep(0.05)
    return seen


def test_the_life_of_an_instance(urls: dict[str, Any], tmp_path: Path) -> None:
    cloud = open_lambda(urls, tmp_path)
    assert isinstance(cloud, OwnsStackObjects)
    name = f"gp-p-{STACK}-life-1a2b3c4d"
    (offer,) = cloud.offers([CANDIDATE])
    made = cloud.create(InstanceSpec(name, CANDIDATE, TEMPLATE))
    assert (made.hourly_usd, made.gpu) == (offer.hourly_usd, "A10")
    ready = until(cloud, made.id, InstanceState.READY)
    assert [way.port for way in ready.endpoints] == [22, 8000]
    key = {"Authorization": f"Bearer {UPSTREAM}"}
    assert probe(ready, Readiness("tcp", 22))
    assert probe(ready, Readiness("http", 8000, "/health"))
    assert probe(ready, Readiness("http", 8000, "/v1/models", key))
    assert not probe(ready, Readiness("http", 8000, "/v1/models"))
    assert [one.id for one in cloud.list(f"gp-p-{STACK}-")] == [made.id]
    cloud.delete(made.id)
    cloud.delete(made.id)
    assert not probe(ready, Readiness("http", 8000, "/health"))
    until(cloud, made.id, InstanceState.GONE)
    cloud.delete_stack_objects("p", STACK)
    cloud.close()


def test_a_bad_key_is_named(urls: dict[str, Any], tmp_path: Path) -> None:
    cloud = open_lambda(urls, tmp_path, "not-a-key-of-it")
    with pytest.raises(errors.AuthError, match=r"credential set 'main'.*invalid-api-key"):
        cloud.account()
    cloud.close()
