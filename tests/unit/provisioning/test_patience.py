"""A cloud that has a bad moment when a stack is listed for the first time on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_clouds.errors import AuthError, GpuCloudError, RateLimitedError, TransientError
from gpu_clouds.provisioning import ProvisioningError
from tests.unit.provisioning.world import World, request


@pytest.mark.parametrize("error", [TransientError("502"), RateLimitedError("slow down")])
@pytest.mark.parametrize("times", [1, 2])
def test_it_is_asked_again(error: GpuCloudError, times: int, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.list_faults = [error] * times
    assert world.start().up(request()).instance.id == "runpod1"
    assert world.names() == ["n0"]


@pytest.mark.parametrize(
    ("error", "hint"),
    [(TransientError("502"), "; run again later: 502"), (AuthError("bad key"), "for: bad key")],
)
def test_where_it_stays_unread_nothing_is_launched(error: GpuCloudError, hint: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.list_faults = [error] * 9
    with pytest.raises(ProvisioningError, match="nothing was launched") as caught:
        world.start().up(request())
    assert caught.value.head.endswith(hint)
    assert world.living() == []
