"""Paperspace keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulators.paperspace.cloud import BASE, Paperspace
from emulators.paperspace.settings import DEFAULT_KEY
from emulators.paperspace.trouble import FAULT_KINDS
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.models import Candidate
from gpu_clouds.paperspace.cloud import PaperspaceCloud
from tests.unit.cloud_contract.suite import ENDPOINT, CloudContract, Direct, World, connection, frame


class TestPaperspace(CloudContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        shared = frame(FAULT_KINDS)
        emulated = Paperspace(shared)

        def connect(key: str) -> GpuCloud:
            return PaperspaceCloud(
                connection("paperspace", key, tmp_path, f"{ENDPOINT}{BASE}"), Direct(emulated)
            )

        def sell_out() -> None:
            emulated.control("PUT", "capacity", {"A100-80G|ny2": 0})

        return World(
            connect,
            DEFAULT_KEY,
            shared,
            Candidate("paperspace", "main", "us-east", "A100-80GB-SXM"),
            sell_out,
        )
