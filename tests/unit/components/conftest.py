"""Outputs are made on a loop, and what a test leaves on it must not be found by a later one."""

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for one test; outputs that nobody has waited for end with it."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield made
    left = asyncio.all_tasks(made)
    for task in left:
        task.cancel()
    made.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    asyncio.set_event_loop(None)
    made.close()
