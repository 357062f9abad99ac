"""Every cut point of create, update, replace and delete, against the provider host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.crash.counting import judge
from tests.crash.forked_host import Forker
from tests.crash.matrix import Matrix, Scenario
from tests.crash.programs import RUNPOD, SOLD_OUT, config, program, wrap
from tests.crash.world import Emulator

ALL: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("create", None, program("a")),
        Scenario("create one more", program("a"), program("a", "b")),
        Scenario("create, second candidate", program(), program("a", candidates=[SOLD_OUT, RUNPOD])),
        Scenario(
            "create, answer lost",
            program(),
            program("a"),
            faults=({"kind": "create_then_500", "count": 1},),
        ),
        # A destroy with an empty state has nothing to ask; `up` is what finds the nodes again.
        Scenario("adopt", program("a"), program("a"), forgets=("guard", "a"), recoveries=("up",)),
        Scenario("update", program("a"), program("a", image="vllm/vllm-openai:v0.12.0")),
        Scenario("replace, delete first", program("a"), program("a", replaceTrigger="2")),
        Scenario(
            "replace, create first",
            program("a", before_replace=False),
            program("a", before_replace=False, replaceTrigger="2"),
        ),
        Scenario("delete one node", program("a", "b"), program("a")),
        Scenario("destroy", program("a"), None),
        Scenario("destroy with an orphan", program("a"), None, forgets=("a",)),
    )
}


@pytest.mark.parametrize("name", ALL)
def test_after_a_kill_there_is_exactly_what_was_asked_for(
    name: str, emulator: Emulator, forker: Forker, folder: Path
) -> None:
    matrix = Matrix(emulator, forker, folder, config, wrap)
    judge(name, matrix.run(ALL[name]))
