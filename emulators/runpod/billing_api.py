"""`GET /v2/billing/pods`: what pods have cost, in buckets of time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from emulators.clock import parse_rfc3339, rfc3339
from emulators.http import Answer, json_response
from emulators.runpod.call import Call
from emulators.runpod.problems import Refusal, invalid

_SIZES = ("hour", "day", "week", "month", "year")
_DISK_USD_PER_GB_HOUR = 0.10 / 730
"""A running pod's disks: USD 0.10 per GB and month."""
_STOPPED_USD_PER_GB_HOUR = 0.20 / 730
"""A stopped pod's volume costs twice as much; its container disk is gone."""
_AMOUNTS = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")


async def list_pod_billing(call: Call) -> Answer:
    """One record for each bucket and pod that cost something in it."""
    size = (call.choices("bucketSize", _SIZES) or ["day"])[0]
    begin, end = _window(call, size)
    wanted = call.request.query.get("podId")
    records: list[dict[str, Any]] = []
    for bucket_begin, bucket_end in _buckets(begin, end, size):
        for row in _charged(call):
            if wanted and row["id"] != wanted:
                continue
            compute = disk = 0.0
            for charge_begin, charge_end, rate in row["charges"]:
                hours = (min(charge_end, bucket_end) - max(charge_begin, bucket_begin)) / 3600
                if hours > 0:
                    compute += hours * rate
                    disk += hours * row["gb"] * _DISK_USD_PER_GB_HOUR
            for stopped_from, stopped_until in _stops(row["charges"], row["until"]):
                hours = (min(stopped_until, bucket_end) - max(stopped_from, bucket_begin)) / 3600
                disk += max(0.0, hours) * row["volume_gb"] * _STOPPED_USD_PER_GB_HOUR
            if compute or disk:
                records.append(
                    {
                        "startTime": rfc3339(bucket_begin),
                        "endTime": rfc3339(bucket_end),
                        "podId": row["id"],
                        "totalAmount": round(compute + disk, 8),
                        "gpuAmount": 0.0 if row["cpu"] else round(compute, 8),
                        "cpuAmount": round(compute, 8) if row["cpu"] else 0.0,
                        "diskAmount": round(disk, 8),
                    }
                )
    query: dict[str, Any] = {"startTime": rfc3339(begin), "endTime": rfc3339(end), "bucketSize": size}
    if wanted:
        query["podId"] = wanted
    return json_response(
        {
            "records": records,
            "metadata": {
                "query": query,
                "recordCount": len(records),
                "uniquePodCount": len({record["podId"] for record in records}),
                "totals": {key: round(sum(record[key] for record in records), 8) for key in _AMOUNTS},
            },
        }
    )


def _charged(call: Call) -> Iterator[dict[str, Any]]:
    """Every pod of the account, living or ended, with its charges."""
    for row in call.fleet.ended():
        if row["account"] == call.owner:
            # Rows of an older store don't know their volume.
            yield {"volume_gb": 0, "until": row["ended_s"], **row}
    for pod in call.fleet.of(call.owner):
        if pod.phase != "TERMINATED":
            yield {
                "id": pod.id,
                "charges": pod.all_charges(call.now),
                "until": call.now,
                "gb": pod.disk_gb,
                "volume_gb": pod.volume_gb,
                "cpu": pod.cpu is not None,
            }


def _stops(charges: list[list[float]], until: float) -> Iterator[tuple[float, float]]:
    """When a pod was stopped: between its charges, and after the last one."""
    begins = [begin for begin, _, _ in charges[1:]]
    for (_, end, _), begin in zip(charges, [*begins, until], strict=False):
        if begin > end:
            yield end, begin


def _window(call: Call, size: str) -> tuple[float, float]:
    """The time asked for, widened to whole buckets; by default the last 30 days."""
    query = call.request.query
    if "lastN" in query and ("startTime" in query or "endTime" in query):
        raise Refusal(400, "lastN and startTime/endTime are mutually exclusive")
    try:
        end = parse_rfc3339(query["endTime"]) if "endTime" in query else call.now
        begin = parse_rfc3339(query["startTime"]) if "startTime" in query else end - 30 * 86400
    except ValueError:
        raise invalid(["$.startTime: not a valid date-time"]) from None
    if begin > end:
        raise Refusal(400, "startTime is after endTime")
    first = _floor(datetime.fromtimestamp(begin, UTC), size)
    last = _floor(datetime.fromtimestamp(end, UTC), size)
    if last.timestamp() < end:
        last = _next(last, size)
    if "lastN" in query:
        first = last
        for _ in range(min(call.number("lastN", 1, 1), 1000)):
            first = _floor(first - timedelta(seconds=1), size)
    return first.timestamp(), last.timestamp()


def _buckets(begin: float, end: float, size: str) -> Iterator[tuple[float, float]]:
    at = datetime.fromtimestamp(begin, UTC)
    while at.timestamp() < end:
        after = _next(at, size)
        yield at.timestamp(), after.timestamp()
        at = after


def _floor(at: datetime, size: str) -> datetime:
    hour = at.replace(minute=0, second=0, microsecond=0)
    if size == "hour":
        return hour
    day = hour.replace(hour=0)
    match size:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)
        case _:
            return day


def _next(at: datetime, size: str) -> datetime:
    """The beginning of the next bucket after one that begins at `at`."""
    days = {"day": 1, "week": 7, "month": 32, "year": 367}.get(size)
    return at + timedelta(hours=1) if days is None else _floor(at + timedelta(days=days), size)
