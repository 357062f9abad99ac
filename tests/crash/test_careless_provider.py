"""The matrix can fail: a provider that launches without looking is found out, and only where it is wrong."""

from __future__ import annotations

from pathlib import Path

from pulumi.dynamic.dynamic import serialize_provider

from tests.crash import careless
from tests.crash.cutting_proxy import Cut
from tests.crash.driven_engine import Declared
from tests.crash.forked_host import Forker
from tests.crash.matrix import Matrix, Scenario
from tests.crash.operations import WRITING
from tests.crash.world import Emulator


def test_a_provider_that_launches_without_looking_is_found_out(
    emulator: Emulator, forker: Forker, folder: Path
) -> None:
    blob = serialize_provider(careless.CarelessProvider())
    matrix = Matrix(
        emulator,
        forker,
        folder,
        config=lambda key: {"gpuplane:stackId": "careless"},
        wrap=lambda token: {"__provider": blob},
        providers={careless.TYPE: careless.PLACE},
    )
    outcomes = matrix.run(
        Scenario(
            "careless create",
            None,
            lambda stack: [Declared(careless.TYPE, "a", {"node": "a", "image": "one", "stackId": stack})],
        )
    )
    launches = {
        (outcome.case.cut, outcome.case.recovery): bool(outcome.failure)
        for outcome in outcomes
        if outcome.case.operation == "launch" and outcome.case.dies == "host"
    }
    two_or_one_left = {cut: cut is not Cut.BEFORE for cut in Cut}
    assert launches == {(cut, way): two_or_one_left[cut] for cut in Cut for way in ("up", "destroy")}
    # How often the listing is asked again depends on the time that a run takes.
    missed = [str(each.case) for each in outcomes if not each.reached and each.case.operation in WRITING]
    assert not missed
