"""The example stacks that need no cloud's plugin preview in the real engine, on emulated clouds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.nodes.world import Emulator, account, account_key
from tests.examples import EXAMPLES, KEYS, one, stack_of

TOTALS = {"dev": ["4", "nodes", "13.56"], "gateway": ["3", "nodes", "4.85"], "spot": ["2", "nodes", "0.80"]}
"""Example -> what the last line of its preview's table says."""

ELSEWHERE = {"clouds", "slurm"}
"""Examples that have a test of their own: test_clouds_example.py, tests/peers/test_stack_example.py."""

OWN, ACME = 190, 191
"""Accounts that no other test has."""


@pytest.mark.parametrize("name", TOTALS)
def test_the_example_previews(name: str, emulator: Emulator, template: Path, tmp_path: Path) -> None:
    emulator.restore()
    keys = {**KEYS, "runpod": account_key(OWN), "acme": account_key(ACME)}
    stack = stack_of(one(name), tmp_path, template, emulator_folder=emulator.folder, keys=keys)
    preview = stack.preview().expect_ok()
    rows = {line.split()[0]: line.split() for line in preview.output.splitlines() if line.strip()}
    assert rows["total"][1:4] == TOTALS[name], preview.output
    assert set(preview.ops().values()) == {"create"}
    asked = emulator.control("GET", "requests?last=5000")["requests"]
    mine = [each for each in asked if each["account"] in (account(OWN), account(ACME))]
    assert mine
    assert [each["path"] for each in mine if each["method"] != "GET" and each["path"] != "/graphql"] == []
    if name == "gateway":
        assert {each["account"] for each in mine} == {account(OWN), account(ACME)}


def test_every_example_is_previewed() -> None:
    assert {example.name for example in EXAMPLES if not example.plugins} == {*TOTALS, *ELSEWHERE}
