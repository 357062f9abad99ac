"""RunPod keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulators.runpod.cloud import RunPod
from emulators.runpod.settings import DEFAULT_KEY
from emulators.runpod.trouble import FAULT_KINDS
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.models import Candidate
from gpu_clouds.runpod.cloud import RunPodCloud
from tests.unit.cloud_contract.suite import ENDPOINT, CloudContract, Direct, World, connection, frame


class TestRunPod(CloudContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        shared = frame(FAULT_KINDS)
        emulated = RunPod(shared)
        emulated.change_settings({"tcp_listeners": False})

        def connect(key: str) -> GpuCloud:
            return RunPodCloud(connection("runpod", key, tmp_path, f"{ENDPOINT}/v2"), Direct(emulated))

        def sell_out() -> None:
            emulated.control("PUT", "capacity", {"NVIDIA GeForce RTX 4090|EU-RO-1": 0})

        return World(
            connect, DEFAULT_KEY, shared, Candidate("runpod", "main", "EU-RO-1", "RTX4090"), sell_out
        )
