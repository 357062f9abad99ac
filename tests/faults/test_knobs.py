"""No knob of an emulator is left out of the matrix."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from emulators.lambda_cloud import settings as lambda_settings
from emulators.lambda_cloud import trouble as lambda_trouble
from emulators.paperspace import settings as paperspace_settings
from emulators.paperspace import trouble as paperspace_trouble
from emulators.runpod import settings as runpod_settings
from emulators.runpod import trouble as runpod_trouble
from emulators.vast import settings as vast_settings
from emulators.vast import trouble as vast_trouble
from tests.faults.test_matrix import ROWS
from tests.faults.test_sharing import LIMITS
from tests.faults.test_starts import STARTS

EMULATORS: dict[str, tuple[Any, Any]] = {
    "runpod": (runpod_settings, runpod_trouble),
    "lambda": (lambda_settings, lambda_trouble),
    "paperspace": (paperspace_settings, paperspace_trouble),
    "vast": (vast_settings, vast_trouble),
}
NO_FAULTS = {"keys", "seed", "tokens_per_s"}
"""Settings of every emulator that make nothing go wrong."""
ELSEWHERE = {
    # What this client never calls, or calls in no life of a node; their tests are with the emulators.
    "runpod": {"exit_after_s", "gpu_count_missing_bug", "sse_drop_after_n", "user_agent_check", "v1_retired"}
    # Kept as it is by the world: ports of this machine, and what a balance of 0 does to running pods.
    | {"tcp_listeners", "balance_terminate_after_s"}
    # Changed in the middle of a row.
    | {"prices"},
    "lambda": {"redirect_old_host"},
    "paperspace": {
        "stop_s",
        "start_s",
        "start_conflict",
        "serviceready_s",
        "upgrade_s",
        "network_in_use_lag_s",
        # Nodes that are talked to, by tests/engine/gateway.
        "real_ports",
    },
    "vast": {"prices", "real_ports"},
}


@pytest.mark.parametrize("cloud", EMULATORS)
def test_every_fault_is_in_the_matrix(cloud: str) -> None:
    used = {kind for row in ROWS if row.cloud == cloud for kind, _ in row.faults}
    used |= {start.fault for start in STARTS if start.cloud == cloud}
    assert set(EMULATORS[cloud][1].FAULT_KINDS) - used == set()


@pytest.mark.parametrize("cloud", EMULATORS)
def test_every_setting_is_in_the_matrix(cloud: str) -> None:
    used = {name for row in ROWS if row.cloud == cloud for name in row.settings} | set(LIMITS[cloud])
    known = {field.name for field in fields(EMULATORS[cloud][0].Settings)}
    assert known - used - NO_FAULTS == ELSEWHERE[cloud]


@pytest.mark.parametrize("cloud", EMULATORS)
def test_every_state_of_an_account_is_in_the_matrix(cloud: str) -> None:
    changes = [row.account for row in ROWS if row.cloud == cloud]
    assert {change["auth"] for change in changes if "auth" in change} == set(EMULATORS[cloud][0].AUTH) - {
        "all"
    }
    known = {field.name for field in fields(EMULATORS[cloud][0].AccountSettings)}
    assert {name for change in changes for name in change} == known - {"account"}


def test_names_of_rows_are_not_repeated() -> None:
    names = [str(row) for row in ROWS]
    assert sorted(names) == sorted(set(names))
