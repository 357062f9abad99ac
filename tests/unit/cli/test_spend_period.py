"""Which span of time is counted."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import REFUSED, CliError
from cli.spend_period import Period, merged_s, read_period

NOW = datetime(2026, 11, 27, 7, 40, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "month", "begin", "end"),
    [
        ("", "", "2026-11-01T00:00", None),
        ("", "2026-11", "2026-11-01T00:00", None),
        ("", "2026-10", "2026-10-01T00:00", "2026-11-01T00:00"),
        ("", "2025-12", "2025-12-01T00:00", "2026-01-01T00:00"),
        ("", "2024-02", "2024-02-01T00:00", "2024-03-01T00:00"),
        ("2026-11-03", "", "2026-11-03T00:00", None),
        ("2026-11-03T10:20", "", "2026-11-03T10:00", None),
        ("2026-11-03T10:20Z", "", "2026-11-03T10:00", None),
        ("2026-11-03T10:20+02:00", "", "2026-11-03T08:00", None),
        ("2026-11-03T00:10+05:30", "", "2026-11-02T18:00", None),
        ("36h", "", "2026-11-25T19:00", None),
        ("7d", "", "2026-11-20T07:00", None),
    ],
)
def test_what_a_person_asks_for(since: str, month: str, begin: str, end: str | None) -> None:
    assert read_period(since, month, NOW) == Period(at(begin), None if end is None else at(end))


@pytest.mark.parametrize(
    ("since", "month", "message"),
    [
        ("7d", "2026-11", "not both"),
        ("soon", "", "--since soon: give a date"),
        ("0d", "", "--since 0d"),
        ("2026-11-28", "", "2026-11-28 is in the future"),
        ("", "2026-12", "2026-12 is in the future"),
        ("", "2026-13", "--month 2026-13: give a month"),
        ("", "november", "--month november"),
        ("", "0000-01", "--month 0000-01"),
        ("", "9999-12", "--month 9999-12"),
        ("0001-01-01T00:00+05:00", "", "--since 0001"),
    ],
)
def test_what_makes_no_sense_is_told(since: str, month: str, message: str) -> None:
    with pytest.raises(CliError) as caught:
        read_period(since, month, NOW)
    assert message in caught.value.message
    assert caught.value.code == REFUSED


def test_the_month_is_that_of_utc() -> None:
    there = datetime(2026, 12, 1, 3, 0, tzinfo=timezone(timedelta(hours=9)))
    assert read_period("", "", there).begin == at("2026-11-01T00:00")


@pytest.mark.parametrize(
    ("period", "text"),
    [
        (Period(at("2026-11-01T00:00")), "2026-11-01 00:00 to now UTC"),
        (Period(at("2026-10-01T00:00"), at("2026-11-01T00:00")), "2026-10-01 00:00 to 2026-11-01 00:00 UTC"),
    ],
)
def test_as_text(period: Period, text: str) -> None:
    assert str(period) == text


minutes = st.integers(0, 100_000).map(lambda count: at("2026-10-01T00:00") + timedelta(minutes=count))


@given(st.lists(minutes, min_size=2, max_size=12, unique=True).map(sorted), minutes, minutes)
def test_adjoining_periods_add_up_to_the_whole(edges: list[datetime], one: datetime, other: datetime) -> None:
    first, last = sorted((one, other))

    def length(period: Period) -> float:
        part = period.cut(first, last)
        return 0.0 if part is None else (part[1] - part[0]).total_seconds()

    parts = sum(length(Period(*each)) for each in itertools.pairwise(edges))
    assert parts == length(Period(edges[0], edges[-1]))


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


@given(spans, st.integers(0, 60), st.integers(0, 60))
def test_overlapping_spans_count_once(minutes_of: list[tuple[int, int]], one: int, other: int) -> None:
    base = at("2026-11-01T00:00")
    first, last = sorted((one, other))
    busy = [(base + timedelta(minutes=a), base + timedelta(minutes=b)) for a, b in minutes_of]
    inside = (base + timedelta(minutes=first), base + timedelta(minutes=last))
    covered = {m for a, b in minutes_of for m in range(a, b)} & set(range(first, last))
    assert merged_s(busy, inside) == 60 * len(covered)
    assert merged_s(reversed(busy), inside) == 60 * len(covered)
