"""Every wrong program is refused by a preview in the real engine, with a line for the property and the rule.

The engine stops at the first resource that is refused, so each program is a run of its own; two go at a time.
The run has no folder for pretended objects, as a preview on a developer's machine has none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.standins import placing
from tests.engine.harness import Result, Stack, engine_bin
from tests.kubernetes.wrong_programs.preludes import PRELUDES, RIGHT
from tests.kubernetes.wrong_programs.table import WRONG, Wrong

_AT_ONCE = 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Result]]]:
    """Name of a program -> its preview, begun and waited for by the test that asks."""
    if engine_bin() is None:
        pytest.fail("these tests need an engine: run `make engine`")
    root = tmp_path_factory.mktemp("wrong")
    Stack(root / "template", "")
    programs = {cloud: (cloud, program) for cloud, program in RIGHT.items()}
    programs |= {wrong.name: (wrong.cloud, wrong.program) for wrong in WRONG}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        begun = {
            name: pool.submit(_preview, root, number, *program)
            for number, (name, program) in enumerate(programs.items())
        }
        yield begun
        for run in begun.values():
            run.cancel()


def _preview(root: Path, number: int, cloud: str, program: str) -> Result:
    folder = root / str(number)
    stack = Stack(folder, PRELUDES[cloud] + program, template=root / "template")
    stack.env["PATH"] = placing.in_front([cloud], stack.env["PATH"])
    try:
        return stack.preview()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("cloud", RIGHT)
def test_the_right_programs_pass_and_say_what_that_is_worth(runs, cloud):
    result = runs[cloud].result().expect_ok()
    said = [each["message"] for each in result.diagnostics() if "stand-in for" in each["message"]]
    assert len(said) == 1
    assert f"stand-in for pulumi-resource-{cloud}: inputs are checked, no cloud is asked" in said[0]
    assert "this is no proof that" in said[0]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_refused_at_preview(runs, wrong: Wrong):
    result = runs[wrong.name].result()
    assert not result.ok
    lines = [line for line in result.output.splitlines() if wrong.property in line and wrong.rule in line]
    assert lines, result.output
