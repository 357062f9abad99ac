"""The emulated cloud that all cases share, and the count of cut points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.counting import COUNTED
from tests.crash.forked_host import Forker
from tests.crash.host_process import host_environment
from tests.crash.world import Emulator

BOOT_S = 4
"""Emulated seconds until a node serves: one poll that finds it starting, one that finds it ready."""


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One emulator for the whole session."""
    made = Emulator(tmp_path_factory.mktemp("emulator"), {"ready_after_s": BOOT_S, "rate_limit": "none"})
    yield made
    made.close()


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    """What starts provider hosts."""
    made = Forker(host_environment())
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder for the cases of one test."""
    return tmp_path_factory.mktemp("cases")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how much was cut."""
    if COUNTED.cut_points:
        terminalreporter.write_line(COUNTED.line())
