"""Lambda keeps the contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emulators.lambda_cloud.cloud import Lambda
from emulators.lambda_cloud.settings import DEFAULT_KEY
from emulators.lambda_cloud.trouble import FAULT_KINDS
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.lambda_cloud.cloud import LambdaCloud
from gpu_clouds.models import Candidate
from tests.unit.cloud_contract.suite import ENDPOINT, CloudContract, Direct, World, connection, frame
from tests.unit.gpu_clouds.lambda_harness import call


class TestLambda(CloudContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        shared = frame(FAULT_KINDS)
        emulated = Lambda(shared)
        # A node without a marker gets a key that the account has.
        key = {"name": "customers", "public_key": "ssh-ed25519 AAAA customer"}
        call(emulated, "POST", "/ssh-keys", json.dumps(key).encode())

        def connect(key: str) -> GpuCloud:
            return LambdaCloud(connection("lambda", key, tmp_path, f"{ENDPOINT}/api/v1"), Direct(emulated))

        def sell_out() -> None:
            emulated.control("PUT", "capacity", {"gpu_1x_a10|us-east-1": 0})

        return World(connect, DEFAULT_KEY, shared, Candidate("lambda", "main", "us-east-1", "A10"), sell_out)
