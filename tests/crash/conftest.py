"""The emulated cloud that all cases share, and the count of cut points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.crash.counting import COUNTED
from tests.crash.forked_host import Forker
from tests.crash.host_process import host_environment
from tests.crash.world import Emulator

BOOT_S = 4
"""Emulated seconds until a node serves: one poll that finds it starting, one that finds it ready."""
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "runpod": {"ready_after_s": BOOT_S, "rate_limit": "none"},
    "lambda": {"boot_s": BOOT_S, "ip_after_s": 1, "terminating_s": 2, "terminated_visible_s": 5},
    "paperspace": {
        "provision_s": 1,
        "starting_s": 1,
        "serviceready_s": 1,
        "delete_s": 2,
        "upgrade_s": 2,
        "event_start_s": 0.5,
        "capacity_fails_after_s": 4,
    },
    "vast": {"created_s": 1, "ready_after_s": BOOT_S, "page_size": 1000},
}


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One emulator for the whole session."""
    made = Emulator(tmp_path_factory.mktemp("emulator"), SETTINGS)
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
