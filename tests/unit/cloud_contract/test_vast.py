"""Vast.ai keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulators.vast.cloud import BASE, Vast
from emulators.vast.settings import DEFAULT_KEY
from emulators.vast.trouble import FAULT_KINDS
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.models import Candidate
from gpu_clouds.vast.cloud import VastCloud
from tests.unit.cloud_contract.suite import ENDPOINT, CloudContract, Direct, World, connection, frame


class TestVast(CloudContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        shared = frame(FAULT_KINDS)
        emulated = Vast(shared)

        def connect(key: str) -> GpuCloud:
            reached = connection("vast", key, tmp_path, f"{ENDPOINT}{BASE}")
            return VastCloud(reached, Direct(emulated))

        def sell_out() -> None:
            emulated.change_settings({"capacity": {"RTX 4090|*": 0}})

        # Something that the emulator rents out: in its catalogue, and in gpu_clouds/catalog_data.json.
        wanted = Candidate("vast", "main", "", "RTX4090")
        return World(connect, DEFAULT_KEY, shared, wanted, sell_out)
