"""What a node has cost, from its price, its bill and its use."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.spend_lines import BY_HOURS, Line, Reading, Use, line, total
from cli.spend_period import Period
from cli.state import Node
from gpu_clouds.billing import Charge
from gpu_clouds.models import InstanceState

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
MONTH = Period(datetime(2026, 11, 1, tzinfo=UTC))
HOUR = timedelta(hours=1)


def node(price: float | None = 0.44, cloud: str = "runpod") -> Node:
    return Node("chat-0", "pod1", "words", price, cloud=cloud, credentials="main")


def charge(hours_ago: int, total_usd: str | None, storage: str = "0", running: str | None = None) -> Charge:
    begin = NOON - hours_ago * HOUR
    return Charge(
        "pod1",
        begin,
        begin + HOUR,
        None if total_usd is None else Decimal(total_usd),
        Decimal(storage),
        None if running is None else Decimal(running),
    )


def seen(period: Period = MONTH, price: float | None = 0.44, cloud: str = "runpod", **reading: Any) -> Line:
    told: dict[str, Any] = {"state": InstanceState.READY, "begun": NOON - 10 * HOUR, **reading}
    return line(node(price, cloud), Reading(NOON, **told), period)


def test_a_bill_is_held_against_the_price() -> None:
    found = seen(charges=(charge(2, "0.5", "0.06"), charge(1, "4", "0.01")), bill="RunPod billing")
    assert found.running_s == 36_000
    assert (found.estimated, found.actual, found.storage) == (Decimal("4.4"), Decimal("4.5"), Decimal("0.07"))
    assert found.difference == Decimal("0.1")
    assert found.monthly == Decimal("321.2")
    assert (found.source, found.notes) == ("RunPod billing", ())


@pytest.mark.parametrize(
    ("begun", "now", "hours"),
    [
        ("2026-10-20T00:00", "2026-11-01T06:00", 6),  # began before the period
        ("2026-11-15T12:00", "2026-11-16T00:00", 12),  # in the middle
        ("2026-11-15T12:00", "2026-12-05T00:00", 15 * 24 + 12),  # runs beyond it
        ("2026-12-02T00:00", "2026-12-05T00:00", 0),  # after it
        ("2026-11-30T23:30", "2026-12-05T00:00", 0.5),
    ],
)
def test_only_the_period_counts(begun: str, now: str, hours: float) -> None:
    november = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    reading = Reading(
        datetime.fromisoformat(now).replace(tzinfo=UTC),
        InstanceState.READY,
        datetime.fromisoformat(begun).replace(tzinfo=UTC),
    )
    found = line(node(), reading, november)
    assert found.running_s == Decimal(repr(hours)) * 3600
    assert found.estimated == (Decimal("0.44") * Decimal(repr(hours))).quantize(Decimal("0.000001"))


@pytest.mark.parametrize(
    ("cloud", "seconds", "billed_s"),
    [
        ("runpod", 61, 61),
        ("lambda", 60, 60),
        ("lambda", 61, 120),
        ("paperspace", 1, 3600),
        ("paperspace", 3600, 3600),
        ("paperspace", 3601, 7200),
        ("vast", 1.5, 2),
        ("lambda", 0, 0),
    ],
)
def test_without_a_bill_hours_count_in_the_steps_of_the_cloud(
    cloud: str, seconds: float, billed_s: int
) -> None:
    found = seen(cloud=cloud, price=3.6, begun=NOON - timedelta(seconds=seconds), hourly_usd=7.2)
    assert found.estimated == Decimal(repr(seconds)) / 1000
    assert found.actual == Decimal(billed_s) / 500  # at the price of now
    assert (found.source, found.storage) == (BY_HOURS, None)


@pytest.mark.parametrize(
    ("reading", "notes"),
    [
        ({"state": InstanceState.STOPPED}, ("is STOPPED: since when, its cloud does not say",)),
        ({"state": InstanceState.FAILED}, ("is FAILED: since when, its cloud does not say",)),
        ({"state": InstanceState.UNKNOWN}, ("is UNKNOWN: since when, its cloud does not say",)),
        ({"state": InstanceState.GONE}, ("is not in its cloud any more",)),
        ({"begun": None, "note": "who knows"}, ("who knows",)),
        ({"state": None, "problem": "away"}, ()),
    ],
)
def test_what_nobody_knows_is_unknown(reading: dict[str, Any], notes: tuple[str, ...]) -> None:
    found = seen(**reading)
    assert (found.running_s, found.estimated, found.actual, found.difference, found.idle) == (None,) * 5
    assert (found.notes, found.source) == (notes, "unknown")


def test_an_unknown_price() -> None:
    found = seen(price=None)
    assert [found.running_s, found.estimated, found.actual, found.monthly] == [36_000, None, None, None]


def test_a_cloud_whose_clock_is_ahead() -> None:
    found = seen(begun=NOON + timedelta(seconds=90))
    assert [found.running_s, found.estimated] == [0, 0]
    assert found.notes == ("its cloud's clock is at least 90 s ahead of this machine's",)


def test_a_bill_that_is_behind_is_said_so() -> None:
    found = seen(charges=(), bill="RunPod billing")
    assert found.actual == 0
    assert found.notes == ("its bill has no record of it yet",)


def test_a_bill_without_an_amount() -> None:
    found = seen(charges=(charge(2, "1", running="3600"), charge(1, None, running="1800")), bill="a report")
    assert [found.actual, found.running_s] == [None, 5400]
    assert found.source == "a report: it has no amount for this period"


def test_a_bill_that_knows_the_hours_is_believed_on_a_stopped_one() -> None:
    found = seen(state=InstanceState.STOPPED, charges=(charge(2, "1", running="3600"),), bill="a report")
    assert [found.running_s, found.estimated] == [3600, Decimal("0.44")]


def test_an_unreadable_bill_is_not_made_up() -> None:
    found = seen(problem="billing is down")
    assert (found.estimated, found.actual, found.problem) == (Decimal("4.4"), None, "billing is down")


def test_time_without_use_is_idle() -> None:
    busy = ((NOON - 20 * HOUR, NOON - 9 * HOUR), (NOON - 2 * HOUR, NOON - HOUR), (NOON - HOUR, NOON + HOUR))
    found = seen(use=Use(busy, "the ledger"))
    assert (found.idle, found.idle_source) == (Decimal("3.08"), "the ledger")  # 7 of 10 hours
    assert seen(use=Use((), "the ledger")).idle == Decimal("4.4")
    assert seen(use=Use((), "the ledger"), begun=None).idle is None


def test_what_is_billed_while_stopped_is_idle() -> None:
    charges = (charge(3, "0.47", "0.03"), charge(2, "0.05", "0.05"), charge(1, "0.05", "0.05"))
    found = seen(state=InstanceState.STOPPED, charges=charges, bill="b", use=Use((), "the ledger"))
    assert (found.idle, found.idle_source) == (Decimal("0.1"), "billed while it was stopped")


seconds = st.integers(0, 40 * 86_400)
prices = st.decimals(0, 100, places=4).map(float)


@given(seconds, seconds, st.lists(seconds, max_size=6), prices)
def test_the_parts_of_a_period_add_up(begun: int, now: int, edges: list[int], price: float) -> None:
    base = datetime(2026, 11, 1, tzinfo=UTC)
    begun, now = sorted((begun, now))
    reading = Reading(
        base + timedelta(seconds=now), InstanceState.READY, base + timedelta(seconds=begun), use=Use((), "l")
    )
    moments = [base + timedelta(seconds=each) for each in sorted({0, 40 * 86_400, *edges})]
    whole = line(node(price), reading, Period(moments[0], moments[-1]))
    parts = [line(node(price), reading, Period(*each)) for each in itertools.pairwise(moments)]
    assert total(part.running_s for part in parts) == whole.running_s == now - begun
    assert whole.estimated is not None
    # Each line is rounded to a micro-dollar.
    assert abs(total(part.estimated for part in parts) - whole.estimated) <= Decimal("0.000001") * len(parts)
    assert whole.idle == whole.estimated  # nobody used it


@given(st.lists(st.decimals(0, 1000, places=8), min_size=1, max_size=50))
def test_sums_of_bills_are_exact(amounts: list[Decimal]) -> None:
    found = seen(charges=tuple(charge(1, str(amount)) for amount in amounts), bill="b")
    assert found.actual == total(amounts).quantize(Decimal("0.000001"))
