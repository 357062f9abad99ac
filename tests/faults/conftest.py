"""Emulated clouds answer what is sent to them, and the count of faults."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.faults.counting import COUNTED
from tests.faults.wire import through_the_wire
from tests.faults.world import World


@pytest.fixture(autouse=True, scope="session")
def _wire() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.HTTPTransport, "handle_request", through_the_wire)
        yield


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many faults there were."""
    if COUNTED.by_part or COUNTED.random_runs:
        terminalreporter.write_line(COUNTED.line())
