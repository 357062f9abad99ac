"""A gateway's ledger as a process: begins and ends requests, and prints the id of each that has ended.

python -m tests.gateway.store.serving URL FOLDER NAME PER_SECOND
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import structlog

from control_plane.gateway.ledger import JournalLedger
from control_plane.store.errors import StoreLost
from control_plane.store.store import Store
from tests.unit.control_plane.store.constants import SECRET
from tests.unit.control_plane.store.requests import call, outcome


async def serve(url: str, folder: Path, name: str, per_second: int) -> None:
    store = Store(url, folder, SECRET)
    quiet = structlog.wrap_logger(None, processors=[_drop])
    ledger = JournalLedger(folder / "journal", store.ledger, quiet, segment_bytes=60_000)
    with contextlib.suppress(StoreLost):
        await store.prepare()
    shipping = asyncio.create_task(ledger.run())
    # Every tenth stays open for long, so that each kill finds some that have begun.
    number = 0
    while not shipping.done():
        for _ in range(max(1, per_second // 100)):
            number += 1
            request = call(number, request_id=f"{name}-{number}")
            ledger.begin(request, 10, 0.01)
            if number % 10:
                ledger.end(request, outcome(number % 50), 0.000001 * (number % 1000))
                sys.stdout.write(f"{request.request_id}\n")
        sys.stdout.flush()
        await asyncio.sleep(0.01)


def _drop(*_: object) -> str:
    raise structlog.DropEvent


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
