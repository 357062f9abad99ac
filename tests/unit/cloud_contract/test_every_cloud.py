"""Which suites a cloud is in. One that is missing in a suite has its reason here."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_clouds.registry import CLOUDS
from tests.crash import world as crash
from tests.faults import world as faults

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NO_EMULATOR = {
    # Nothing of ours plays a SkyPilot server: the real one runs anywhere, on a Slurm cluster of the tests.
    "skypilot": ("tests/peers", "tests/unit/skypilot/cloud/test_provisioning.py"),
}
"""Clouds without an emulator -> what takes the place of the contract, the crash and the fault matrix."""


@pytest.mark.parametrize("cloud", sorted(CLOUDS))
def test_no_cloud_is_left_out(cloud: str) -> None:
    suites = {
        "emulators": (ROOT / "emulators" / _folder(cloud) / "cloud.py").exists(),
        "contract": (HERE / f"test_{_folder(cloud).removesuffix('_cloud')}.py").exists(),
        "crash matrix": cloud in crash.CLOUDS,
        "fault matrix": cloud in faults.CLOUDS,
    }
    missing = [suite for suite, there in suites.items() if not there]
    if cloud in NO_EMULATOR:
        assert missing == list(suites), "it has an emulator now: take it out of NO_EMULATOR"
        assert all((ROOT / place).exists() for place in NO_EMULATOR[cloud])
    else:
        assert missing == []


def _folder(cloud: str) -> str:
    return CLOUDS[cloud].factory.split(".")[1]


def test_no_reason_outlives_its_cloud() -> None:
    assert set(NO_EMULATOR) <= set(CLOUDS)
