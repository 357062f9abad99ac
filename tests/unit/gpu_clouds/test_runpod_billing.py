"""What the client reads of RunPod's billing: against the emulator, and by answers written for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds.billing import Charge, ReportsBilling, usd
from tests.unit.emulators.driver import EIGHT_OCLOCK, Driver
from tests.unit.gpu_clouds.harness import Net, answer, runpod

EIGHT = datetime.fromtimestamp(EIGHT_OCLOCK, UTC)
PRICE = 0.43
"""Of an L4 there."""


def wired(driver: Driver) -> Callable[[httpx.Request], httpx.Response]:
    """The emulator as a network."""

    def send(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        key = request.headers["authorization"].removeprefix("Bearer ")
        reply = driver.call(request.method, path, request.content or None, key=key)
        return httpx.Response(reply.status, headers=reply.headers, content=reply.body)

    return send


def bill(driver: Driver, begin: datetime, end: datetime | None = None) -> list[Charge]:
    cloud = runpod(wired(driver), key="emulator-key")
    assert isinstance(cloud, ReportsBilling)
    now = datetime.fromtimestamp(driver.control("GET", "health")["now"], UTC)
    return list(cloud.charges(begin, end, now, ["whatever"]))


def compute(charges: list[Charge], node: str) -> float:
    return sum(float((c.total_usd or 0) - c.storage_usd) for c in charges if c.node == node)


def disks(charges: list[Charge], node: str) -> float:
    return sum(float(c.storage_usd) for c in charges if c.node == node)


def test_a_pod_that_runs_one_that_has_ended_and_a_price_that_changes() -> None:
    with Driver() as driver:
        kept, gone = driver.create(disk=100)["id"], driver.create("other")["id"]
        driver.advance(5400)
        driver.call("DELETE", f"/v2/pods/{gone}")
        driver.control("PATCH", f"runpod/pods/{kept}", {"usd_per_hour": 2.0})
        assert driver.call("GET", f"/v2/pods/{kept}").json()["cost"] == 2.0
        driver.advance(5400)
        found = bill(driver, EIGHT)
        assert compute(found, gone) == pytest.approx(1.5 * PRICE)
        assert compute(found, kept) == pytest.approx(1.5 * PRICE + 1.5 * 2.0)
        assert disks(found, kept) == pytest.approx(3 * 100 * 0.1 / 730)
        assert [c.begin for c in found if c.node == kept] == [EIGHT + timedelta(hours=h) for h in range(3)]
        refused = driver.call("PATCH", f"/_emu/runpod/pods/{kept}", {"usd_per_hour": "cheap"}, key=None)
        assert (refused.status, driver.call("GET", f"/v2/pods/{kept}").json()["cost"]) == (400, 2.0)


def test_a_stopped_pod_costs_twice_its_volume() -> None:
    volume: dict[str, Any] = {"mounts": {"persistent": {"size": 200, "path": "/workspace"}}}
    with Driver() as driver:
        pod, bare = driver.create(disk=20, **volume)["id"], driver.create("bare")["id"]
        driver.advance(3600)
        for each in (pod, bare):
            driver.call("POST", f"/v2/pods/{each}/action", {"action": "stop"})
        driver.advance(2 * 3600)
        driver.call("POST", f"/v2/pods/{pod}/action", {"action": "start"})
        driver.advance(3600)
        found = bill(driver, EIGHT)
        assert compute(found, pod) == pytest.approx(2 * PRICE)
        assert disks(found, pod) == pytest.approx((2 * 220 * 0.1 + 2 * 200 * 0.2) / 730)
        by_hour = {c.begin: c for c in found if c.node == pod}
        stopped = by_hour[EIGHT + timedelta(hours=1)]
        assert stopped.total_usd == stopped.storage_usd > 0
        assert [c.begin for c in found if c.node == bare] == [EIGHT]
        # What had a volume costs until it has ended, and not longer.
        driver.call("POST", f"/v2/pods/{pod}/action", {"action": "stop"})
        driver.advance(3600)
        driver.call("DELETE", f"/v2/pods/{pod}")
        driver.advance(10 * 3600)
        assert disks(bill(driver, EIGHT), pod) == pytest.approx((2 * 220 * 0.1 + 3 * 200 * 0.2) / 730)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 50 * 3600), st.lists(st.integers(1, 20 * 24), max_size=3, unique=True), st.booleans())
def test_adjoining_periods_add_up_to_the_whole(before: int, cuts: list[int], midnight: bool) -> None:
    first = EIGHT.replace(hour=0 if midnight else 8)
    with Driver() as driver:
        driver.advance(before)
        pod = driver.create()["id"]
        driver.advance(20 * 86_400)
        edges = [first, *(first + timedelta(hours=hours) for hours in sorted(cuts))]
        parts = [
            compute(bill(driver, begin, end), pod)
            for begin, end in zip(edges, [*edges[1:], None], strict=True)
        ]
        assert sum(parts) == pytest.approx(20 * 24 * PRICE, rel=1e-6)
        assert compute(bill(driver, first), pod) == pytest.approx(20 * 24 * PRICE, rel=1e-6)


RECORD = {"podId": "p", "startTime": "2026-11-01T00:00:00Z", "totalAmount": 0.1, "diskAmount": 0.02}


@pytest.mark.parametrize(
    ("begin", "end", "days", "asked"),
    [
        ("2026-11-01T00:00", None, 26, {"startTime": "2026-11-01T00:00:00Z", "bucketSize": "day"}),
        ("2026-11-01T08:00", None, 26, {"startTime": "2026-11-01T08:00:00Z", "bucketSize": "hour"}),
        ("2026-11-01T00:00", None, 2, {"startTime": "2026-11-01T00:00:00Z", "bucketSize": "hour"}),
        (
            "2026-10-01T00:00",
            "2026-11-01T00:00",
            60,
            {"startTime": "2026-10-01T00:00:00Z", "endTime": "2026-11-01T00:00:00Z", "bucketSize": "day"},
        ),
        (
            "2026-10-01T02:00+02:00",
            "2026-11-01T08:00",
            60,
            {"startTime": "2026-10-01T00:00:00Z", "endTime": "2026-11-01T08:00:00Z", "bucketSize": "hour"},
        ),
    ],
)
def test_what_is_asked(begin: str, end: str | None, days: int, asked: dict[str, str]) -> None:
    net = Net(answer(200, {"records": []}))
    first = utc(begin)
    runpod(net).charges(first, None if end is None else utc(end), first + timedelta(days=days), [])
    assert dict(net.requests[0].url.params) == asked


def test_records_outside_of_the_period_and_odd_ones_do_not_count() -> None:
    records = [
        RECORD,
        RECORD | {"startTime": "2026-10-31T00:00:00Z"},
        RECORD | {"startTime": "2026-11-02T00:00:00Z"},
        RECORD | {"startTime": "yesterday"},
        RECORD | {"podId": None},
        RECORD | {"totalAmount": None, "diskAmount": "much"},
    ]
    net = Net(answer(200, {"records": records, "metadata": {}}))
    begin = utc("2026-11-01T00:00")
    found = runpod(net).charges(begin, begin + timedelta(days=1), begin + timedelta(days=40), [])
    assert [(c.total_usd, c.storage_usd, c.end - c.begin) for c in found] == [
        (Decimal("0.1"), Decimal("0.02"), timedelta(hours=1)),
        (None, Decimal(0), timedelta(hours=1)),
    ]


def utc(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


@given(st.floats(0, 1e6, allow_nan=False))
def test_an_amount_is_the_number_that_stood_there(amount: float) -> None:
    assert float(usd(amount) or 0) == amount


def test_no_amount() -> None:
    assert usd(None) is None
    assert usd(0.1) == Decimal("0.1")
