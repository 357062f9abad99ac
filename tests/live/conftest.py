"""Real accounts, only where somebody asks for it: `make test-live ARGS="--max-usd 2"`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

KEYS = {"runpod": "RUNPOD_API_KEY", "lambda": "LAMBDA_API_KEY", "paperspace": "PAPERSPACE_API_KEY"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--max-usd",
        type=float,
        default=None,
        help="no node dearer than this an hour, and an hour of all nodes together no dearer either",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if "tests/live/" in item.nodeid]
    limit = config.getoption("--max-usd", None)
    if not any(os.environ.get(key) for key in KEYS.values()):
        reason = f"no key of a real account: set one of {', '.join(KEYS.values())}"
    elif limit is None or not limit > 0:
        reason = "real nodes cost money: say how much with --max-usd"
    else:
        return
    for item in here:
        item.add_marker(pytest.mark.skip(reason=reason))


class Budget:
    """What may still be spent. Every node counts for an hour, which is longer than any lives here."""

    def __init__(self, usd: float) -> None:
        self.left = usd

    def take(self, most_usd: float) -> None:
        assert most_usd <= self.left, f"a node at {most_usd} USD/h is above what is left: {self.left:.2f}"
        self.left -= most_usd

    def give_back(self, usd: float) -> None:
        self.left += usd


@pytest.fixture(scope="session")
def budget(request: pytest.FixtureRequest) -> Budget:
    return Budget(float(request.config.getoption("--max-usd")))


@pytest.fixture(autouse=True, scope="session")
def an_end_is_an_interrupt() -> Iterator[None]:
    """So that nodes are ended before the process is."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)
