"""What a cost report says of a span of time, and when jobs ran."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds.billing import Charge, ReportsBilling
from gpu_clouds.errors import GpuCloudError
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from tests.unit.dynamic_providers.memory_cloud import QuickClock
from tests.unit.skypilot.cloud.sky import Sky, error_of, recorded_value

BASE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = BASE + timedelta(hours=100)
ROW = recorded_value("clusters", "cost_report.get")[0]
NAME = ROW["name"]


def at(hours: float) -> float:
    return (BASE + timedelta(hours=hours)).timestamp()


def moment(hours: float) -> datetime:
    return BASE + timedelta(hours=hours)


@dataclass
class Reporting(Sky):
    rows: list[dict[str, Any]] = field(default_factory=list)
    queue: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""

    def _read(self, path: str, body: dict[str, Any], name: str) -> tuple[Any, str]:
        if path == "/cost_report":
            self.bodies.append(body)
            return (None, self.error) if self.error else (self.rows, "")
        return (self.queue, "") if path == "/queue" else super()._read(path, body, name)


def row(*spans: tuple[float, float | None], cost: float | None = 10.0, **more: Any) -> dict[str, Any]:
    intervals = [[at(first), None if until is None else at(until)] for first, until in spans]
    return {**ROW, "usage_intervals": intervals, "total_cost": cost, **more}


def charges(*rows: dict[str, Any], begin: float = 0, end: float | None = None) -> list[Charge]:
    cloud = SkyPilotCloud(Reporting(QuickClock(), rows=list(rows)).client(), "main")
    until = None if end is None else moment(end)
    return list(cloud.charges(moment(begin), until, NOW, [NAME]))


def test_the_recorded_report_is_read() -> None:
    first = ROW["usage_intervals"][0][0]
    now = datetime.fromtimestamp(first + ROW["duration"], UTC)
    sky = Reporting(QuickClock(), rows=[ROW, {**ROW, "name": "somebody-elses"}])
    cloud = SkyPilotCloud(sky.client(), "main")
    assert isinstance(cloud, ReportsBilling)
    assert cloud.bill == "SkyPilot cost report"
    (found,) = cloud.charges(now - timedelta(days=3, hours=1), None, now, [NAME])
    assert found.total_usd is not None
    assert float(found.total_usd) == pytest.approx(ROW["total_cost"])
    assert found.running_s is not None
    assert float(found.running_s) == pytest.approx(ROW["duration"])
    assert (sky.bodies[0]["cluster_names"], sky.bodies[0]["days"]) == ([NAME], 5)
    assert cloud.charges(now, None, now, []) == []
    assert len(sky.bodies) == 1  # no name was asked for: every cluster would have been


@pytest.mark.parametrize(
    ("spans", "begin", "end", "amounts", "hours"),
    [
        ([(90, None)], 0, None, [10], [10]),
        ([(10, 20), (90, None)], 0, None, [5, 5], [10, 10]),
        ([(10, 20), (90, None)], 15, None, [2.5, 5], [5, 10]),
        ([(10, 20), (90, None)], 15, 95, [2.5, 2.5], [5, 5]),
        ([(10, 20), (90, None)], 30, 50, [], []),
        ([(10, 20)], 0, 15, [5], [5]),
        ([(10, 20)], 20, None, [], []),
    ],
)
def test_a_period_gets_the_part_of_its_time(
    spans: list[tuple[float, float | None]],
    begin: float,
    end: float | None,
    amounts: list[float],
    hours: list[float],
) -> None:
    found = charges(row(*spans), begin=begin, end=end)
    assert [charge.total_usd for charge in found] == [Decimal(repr(amount)) for amount in amounts]
    assert [charge.running_s for charge in found] == [Decimal(repr(each)) * 3600 for each in hours]


def test_earlier_clusters_of_the_name_count() -> None:
    found = charges(row((1, 2), cost=3.0, status=None), row((90, None), cost=4.0))
    assert sum(charge.total_usd or 0 for charge in found) == 7


def test_a_report_without_an_amount_or_without_spans() -> None:
    assert [charge.total_usd for charge in charges(row((90, None), cost=None))] == [None]
    whole: dict[str, Any] = {"usage_intervals": None, "launched_at": at(90), "duration": 36_000.0}
    (found,) = charges(row(**whole))
    assert [found.total_usd, found.running_s] == [10, 36_000]
    # Nobody knows which part of it the period has.
    assert [charge.total_usd for charge in charges(row(**whole), begin=95)] == [None]
    assert [charge.total_usd for charge in charges(row(**whole), end=95)] == [None]
    assert charges(row(**whole), end=90) == []
    assert charges(row(**{**whole, "usage_intervals": "odd"}), end=90) == []


def test_a_server_that_fails_is_one_error() -> None:
    sky = Reporting(QuickClock(), error=error_of("RuntimeError", "the database is locked"))
    with pytest.raises(GpuCloudError, match="the database is locked"):
        SkyPilotCloud(sky.client(), "main").charges(BASE, None, NOW, [NAME])


def test_jobs_are_when_it_was_used() -> None:
    jobs = [
        {"job_id": 1, "status": "SUCCEEDED", "start_at": at(1), "end_at": at(2)},
        {"job_id": 2, "status": "RUNNING", "start_at": at(3), "end_at": None},
        {"job_id": 3, "status": "PENDING", "start_at": None, "end_at": None},
    ]
    sky = Reporting(QuickClock(), queue=jobs)
    found = SkyPilotCloud(sky.client(), "main").busy(NAME, NOW)
    assert list(found) == [(moment(1), moment(2)), (moment(3), NOW)]


hours = st.integers(0, 100)


@given(st.lists(hours, min_size=2, max_size=8, unique=True).map(sorted), st.sets(hours, max_size=5))
def test_adjoining_periods_add_up(edges: list[int], cuts: set[int]) -> None:
    spans: list[tuple[float, float | None]] = list(zip(edges[::2], edges[1::2], strict=False))
    moments = sorted({0, 100, *cuts})
    parts = [
        charge.total_usd or Decimal(0)
        for begin, end in itertools.pairwise(moments)
        for charge in charges(row(*spans), begin=begin, end=end)
    ]
    assert abs(sum(parts, Decimal(0)) - 10) < Decimal("1e-20")
