"""Rows of the ledger and of its monthly sums, as they go through the gateway."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from control_plane.store.schema import NANO


class Row(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """One request. The order of the fields is the order of the ledger's columns.

    Attributes:
        request_id: Unique; the gateway's own.
        begun_us: When it was let in, microseconds since the epoch.
        ended_us: When it was over; None: nobody knows, the gateway was killed meanwhile.
        tenant: Whose it was.
        key_id: Through which key.
        asked_model: The model as the client named it.
        model: The model that answered.
        endpoint: Path.
        nodes: Names of the nodes that served it, in order, with blanks between.
        result: How it ended (`call.Result`).
        status: HTTP status that the client got; 0: none.
        hops: How often its stream was continued on another node.
        stream: Whether a stream was asked for.
        engine_prompt: Prompt tokens that the nodes counted, all together.
        engine_completion: Completion tokens that the nodes counted, all together.
        prompt: Prompt tokens that are billed.
        completion: Completion tokens that are billed.
        cached_prompt: Of `prompt`, those from a node's prefix cache.
        estimated: Whether tokens were not told by the nodes: counted from events, or unknown (cut off).
        nano_usd: What it costs, 10**-9 USD.
        ttft_us: Until the client got its first piece of the answer, microseconds; None: never.
        duration_us: Until it was over, microseconds; None: nobody knows.
    """

    request_id: str
    begun_us: int
    ended_us: int | None
    tenant: str
    key_id: str
    asked_model: str
    model: str
    endpoint: str
    nodes: str
    result: str
    status: int
    hops: int
    stream: bool
    engine_prompt: int
    engine_completion: int
    prompt: int
    completion: int
    cached_prompt: int
    estimated: bool
    nano_usd: int
    ttft_us: int | None
    duration_us: int | None


class Usage(msgspec.Struct, frozen=True):
    """Sums of a month, a tenant, a key and a model.

    Attributes:
        month: Such as `2026-11`, UTC.
        tenant: Whose.
        key_id: Through which key.
        model: The model that answered.
        requests: How many.
        estimated: How many of them have tokens that no node told.
        engine_prompt: Prompt tokens that the nodes counted.
        engine_completion: Completion tokens that the nodes counted.
        prompt: Prompt tokens that are billed.
        completion: Completion tokens that are billed.
        cached_prompt: Of `prompt`, those from prefix caches.
        nano_usd: Cost, 10**-9 USD.
    """

    month: str
    tenant: str
    key_id: str
    model: str
    requests: int
    estimated: int
    engine_prompt: int
    engine_completion: int
    prompt: int
    completion: int
    cached_prompt: int
    nano_usd: int


class Spent(msgspec.Struct, frozen=True):
    """Money that was spent in a month, USD.

    Attributes:
        instance: By all together.
        tenants: By each tenant.
        keys: Through each key, by its id.
        models: For each model that answered.
    """

    instance: float = 0.0
    tenants: dict[str, float] = {}
    keys: dict[str, float] = {}
    models: dict[str, float] = {}


def month_of(microseconds: int) -> str:
    """The month of a time, UTC: `2026-11`."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).strftime("%Y-%m")


def nano(usd: float) -> int:
    """USD as whole nano-USD."""
    return round(usd * NANO)


def sums(rows: list[Row]) -> list[Usage]:
    """The rows' sums by month, tenant, key and model, in that order."""
    found: dict[tuple[str, str, str, str], list[int]] = {}
    months: dict[int, str] = {}
    for row in rows:
        # Hours never span months, and few rows of a batch are of different hours.
        hour = row.begun_us // 3_600_000_000
        month = months.get(hour)
        if month is None:
            month = months[hour] = month_of(row.begun_us)
        key = (month, row.tenant, row.key_id, row.model)
        total = found.get(key)
        if total is None:
            total = found[key] = [0, 0, 0, 0, 0, 0, 0, 0]
        total[0] += 1
        total[1] += row.estimated
        total[2] += row.engine_prompt
        total[3] += row.engine_completion
        total[4] += row.prompt
        total[5] += row.completion
        total[6] += row.cached_prompt
        total[7] += row.nano_usd
    return [Usage(*key, *found[key]) for key in sorted(found)]
