"""What RunPod has billed for pods: `GET /v2/billing/pods`, whose records are one for each pod and bucket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gpu_clouds.billing import Charge, usd
from gpu_clouds.runpod.client import RunPodClient

_BY_HOUR_AT_MOST = timedelta(days=8)
"""Longer spans are read by the day, where they begin with one: a month of hours is 720 records a pod."""


def charges(client: RunPodClient, begin: datetime, end: datetime | None, now: datetime) -> Iterator[Charge]:
    """What pods of the account were billed in a span of time, pod by pod and bucket by bucket.

    Args:
        client: The account.
        begin: From here, on the hour.
        end: Until here, excluded; None: until now.
        now: The time by RunPod's clock.
    """
    begin = begin.astimezone(UTC)
    long = (end or now) - begin > _BY_HOUR_AT_MOST
    size = "day" if long and begin.hour == 0 and (end is None or end.astimezone(UTC).hour == 0) else "hour"
    records = client.pod_billing(
        start_time=_stamp(begin), end_time="" if end is None else _stamp(end), bucket_size=size
    )
    length = timedelta(days=1) if size == "day" else timedelta(hours=1)
    for record in records:
        first = record.start_time
        if not record.pod_id or first is None or first < begin or (end is not None and first >= end):
            continue
        yield Charge(
            record.pod_id,
            first,
            record.end_time or first + length,
            usd(record.total_amount),
            usd(record.disk_amount) or Decimal(0),
        )


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
