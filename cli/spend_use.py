"""When nodes served somebody, from a gateway's ledger: `GET /admin/v1/ledger`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import httpx

from cli.spend_lines import Use
from cli.spend_period import Period, Span
from cli.spend_state import Gateway
from gpu_clouds.connection import checked_endpoint

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_BEFORE = timedelta(hours=1)
"""A request that began so long before the period may still have run in it."""
LEDGER = "time without a request in the gateway's ledger x price"


class UseUnknown(Exception):
    """The ledger could not be read; the message says why and has no secret."""


def read_use(
    gateway: Gateway, period: Period, transport: httpx.BaseTransport | None = None
) -> dict[str, Use]:
    """When each node behind a gateway served somebody.

    Args:
        gateway: The gateway.
        period: What counts.
        transport: Takes the network's place in tests.

    Returns:
        Id of a node in its cloud -> its use.

    Raises:
        UseUnknown: The gateway did not answer, or refused.
        GpuCloudError: Its address is not one that a token may be sent to.
    """
    query = {"from": (period.begin - _BEFORE).isoformat(), "format": "csv"}
    if period.end is not None:
        query["to"] = period.end.isoformat()
    url = f"{checked_endpoint(gateway.url, 'gateway')}/admin/v1/ledger"
    headers = {"Authorization": f"Bearer {gateway.token}"}
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, trust_env=False, transport=transport) as client,
            client.stream("GET", url, params=query, headers=headers) as answer,
        ):
            if answer.status_code != 200:
                raise UseUnknown(f"the gateway at {gateway.url} answered HTTP {answer.status_code}")
            spans = _by_node(csv.DictReader(answer.iter_lines()))
    except httpx.HTTPError as error:
        raise UseUnknown(f"the gateway at {gateway.url} does not answer ({type(error).__name__})") from None
    return {node: Use(tuple(spans.get(name, ())), LEDGER) for node, name in gateway.nodes.items()}


def _by_node(rows: Iterable[Mapping[str, str]]) -> dict[str, list[Span]]:
    """Name of a node -> when it served, spans that touch each other made one: the rows come by their begin.

    Who has served a part of a request counts for all of it. One whose end nobody knows has no length.
    """
    found: dict[str, list[Span]] = {}
    for row in rows:
        first, last = _time(row.get("begun", "")), _time(row.get("ended", ""))
        if first is None or last is None:
            continue
        for name in dict.fromkeys((row.get("nodes") or "").split()):
            spans = found.setdefault(name, [])
            if spans and first <= spans[-1][1]:
                spans[-1] = (min(first, spans[-1][0]), max(last, spans[-1][1]))
            else:
                spans.append((first, last))
    return found


def _time(text: str | None) -> datetime | None:
    try:
        read = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
