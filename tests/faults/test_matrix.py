"""The fault matrix: every knob of every cloud, one at a time."""

from __future__ import annotations

import pytest

from tests.faults import lambda_faults, paperspace_faults, runpod_faults, spot_faults, vast_faults
from tests.faults.counting import COUNTED
from tests.faults.fault import Fault, run
from tests.faults.world import World

ROWS = [
    *runpod_faults.ROWS,
    *spot_faults.ROWS,
    *lambda_faults.ROWS,
    *paperspace_faults.ROWS,
    *vast_faults.ROWS,
]


@pytest.mark.parametrize("fault", ROWS, ids=str)
def test_it_ends_in_the_declared_state_or_one_clear_error(fault: Fault, world: World) -> None:
    run(fault, world)
    COUNTED.add(fault.cloud)
