"""A candidate that may be had in several places: each is a launch of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_clouds.errors import CapacityError
from gpu_clouds.intents import IntentLog
from gpu_clouds.provisioning import ProvisioningError
from tests.unit.provisioning.world import H100, L40S, Launch, World, request


class TakenError(CapacityError):
    """There are others."""

    elsewhere = True


TAKEN = Launch(error=TakenError("taken"), makes=False)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every intent that is written down."""
    names: list[str] = []
    opens = IntentLog.open

    def noting(self: IntentLog, marker: str, cloud: str) -> object:
        names.append(cloud)
        return opens(self, marker, cloud)

    monkeypatch.setattr(IntentLog, "open", noting)
    return names


def test_each_place_is_written_down_anew(tmp_path: Path, opened: list[str]) -> None:
    world = World(tmp_path)
    world.runpod.script = [TAKEN, TAKEN]
    done = world.start().up(request("n0", H100, L40S))
    assert done.candidate == H100
    assert opened == ["runpod"] * 3
    assert len(world.runpod.living()) == 1


def test_places_that_never_end_do(tmp_path: Path, opened: list[str]) -> None:
    world = World(tmp_path)
    world.runpod.script = [TAKEN] * 99
    assert world.start().up(request("n0", H100, L40S)).candidate == L40S
    assert opened == ["runpod"] * 10 + ["lambda"]


def test_the_error_of_a_drought_names_the_candidate_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.script = [TAKEN] * 99
    with pytest.raises(ProvisioningError) as caught:
        world.start().up(request("n0", H100))
    assert (caught.value.kind, str(caught.value).count("taken")) == ("capacity", 1)
