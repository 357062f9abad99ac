"""The client against the emulator: a whole life of a machine over real sockets, its model included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gpu_clouds import errors
from gpu_clouds.clock import SystemClock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.ending import Ender
from gpu_clouds.models import InstanceState, InstanceTemplate
from gpu_clouds.readiness import Readiness, probe
from gpu_clouds.registry import connect
from tests.unit.gpu_clouds.paperspace_harness import NAME, STACK, spec

SCALE = 50.0
KEY = "emulator-paperspace-key"
UPSTREAM = "upstream" + "Key1"


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("emulators")
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "emulators"]
    environment = os.environ | {
        "GPUPLANE_TIME_SCALE": str(SCALE),
        "GPUPLANE_EMULATED": "1",
        "GPUPLANE_EMULATOR_DIR": str(folder),
        "PYTHONPATH": str(root),
    }
    quick = ["--set", "paperspace.provision_s=10", "--set", "paperspace.starting_s=5"]
    subprocess.run(
        [*command, "start", "--port", "0", *quick], check=True, env=environment, cwd=root, timeout=60
    )
    try:
        yield json.loads((folder / "endpoints.json").read_text())["clouds"]["paperspace"]
    finally:
        subprocess.run([*command, "stop"], check=True, env=environment, cwd=root, timeout=60)


def opened(urls: Any, state_dir: Path, key: str = KEY) -> GpuCloud:
    credentials = CredentialSet("main", "paperspace", key, urls["api"], urls["proxy"])
    return connect(credentials, clock=SystemClock(SCALE), state_dir=state_dir)


def test_the_life_of_a_machine(urls: Any, tmp_path: Path) -> None:
    cloud = opened(urls, tmp_path)
    template = InstanceTemplate(image="img:v1", ports=("8000/http",), env={"VLLM_API_KEY": UPSTREAM})
    assert cloud.account().machine_limit is None
    made = cloud.create(spec(NAME, template=template))
    deadline = time.monotonic() + 30
    while (ready := cloud.get(made.id)).state is not InstanceState.READY:
        assert time.monotonic() < deadline, ready
        time.sleep(0.05)
    assert [found.id for found in cloud.list(STACK)] == [made.id]
    assert probe(ready, Readiness(kind="http", port=8000, path="/health"))
    models = f"{ready.endpoints[0].url}/v1/models"
    assert httpx.get(models).status_code == 401
    assert httpx.get(models, headers={"Authorization": f"Bearer {UPSTREAM}"}).status_code == 200
    Ender(SystemClock(SCALE), None, lambda line: None, lambda: None).end(cloud, made.id, prefix=STACK)
    assert cloud.get(made.id).state is InstanceState.GONE
    cloud.close()


def test_a_bad_key_is_named(urls: Any, tmp_path: Path) -> None:
    cloud = opened(urls, tmp_path, "not-a-key-of-it")
    with pytest.raises(errors.AuthError, match="credential set 'main'"):
        cloud.account()
    cloud.close()
