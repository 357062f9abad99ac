"""What clusters of a SkyPilot API server have cost, and when jobs ran on them.

The cost report (`/cost_report`) has a row for each cluster, dead ones too, with the spans of time that it was
up and what all of them together cost at the catalogue's price.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from gpu_clouds.billing import Charge, usd
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.models import CostRow

Span = tuple[datetime, datetime]


def charges(
    client: SkyPilotClient, begin: datetime, end: datetime | None, now: datetime, names: Collection[str]
) -> Iterator[Charge]:
    """What clusters of these names cost in a span of time; earlier clusters of the same name count too.

    Args:
        client: The server.
        begin: From here.
        end: Until here, excluded; None: until now.
        now: The time.
        names: The clusters.
    """
    if not names:
        return
    days = max(1, math.ceil((now - begin).total_seconds() / 86400) + 1)
    last = now if end is None else min(end, now)
    for row in client.cost_report(sorted(names), days=days):
        if row.name in names:
            yield from _of_row(row, begin, last, now)


def busy(client: SkyPilotClient, name: str, now: datetime) -> list[Span]:
    """When jobs ran on a cluster that is up; one that runs still ran until now.

    Args:
        client: The server.
        name: The cluster.
        now: The time.
    """
    return [
        (_time(job.start_at), now if job.end_at is None else _time(job.end_at))
        for job in client.queue(name)
        if job.start_at is not None
    ]


def _of_row(row: CostRow, begin: datetime, last: datetime, now: datetime) -> Iterator[Charge]:
    spans = [(_time(first), now if until is None else _time(until)) for first, until in row.usage_intervals]
    if not spans and row.launched_at is not None:
        launched = _time(row.launched_at)
        # Without its spans a report is of use only where all of it lies in the time asked for.
        if launched >= begin and last >= now and row.duration is not None:
            yield Charge(row.name, launched, now, usd(row.total_cost), running_s=usd(row.duration))
        elif launched < last:
            yield Charge(row.name, launched, now, None)
        return
    whole = sum((_seconds(first, until) for first, until in spans), Decimal(0))
    cost = usd(row.total_cost)
    for first, until in spans:
        part = _seconds(max(first, begin), min(until, last))
        if part <= 0:
            continue
        amount = None if cost is None else cost * part / whole
        yield Charge(row.name, max(first, begin), min(until, last), amount, running_s=part)


def _seconds(first: datetime, until: datetime) -> Decimal:
    return max(Decimal(0), Decimal(repr((until - first).total_seconds())))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
