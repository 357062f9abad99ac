"""What a node will most likely be and cost."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from dynamic_providers.estimates import Estimate, dearest, estimate
from gpu_clouds.models import Availability, Candidate, Offer

AT = datetime(2026, 5, 6, 7, tzinfo=UTC)
CANDIDATES = [Candidate("runpod", "main", region, gpu) for region in ("A", "B") for gpu in ("L4", "H100-SXM")]


def offer(candidate: Candidate, usd: float | None, level: Availability = Availability.HIGH) -> Offer:
    return Offer(candidate, usd, level, "catalogue", AT)


OFFERS = st.dictionaries(
    st.sampled_from(CANDIDATES),
    st.tuples(st.none() | st.floats(0.01, 99), st.sampled_from(list(Availability))),
).map(lambda drawn: {c: offer(c, usd, level) for c, (usd, level) in drawn.items()})


@given(OFFERS, st.sampled_from(["listed", "price"]))
def test_it_is_a_candidate_and_free_if_any_is(offers: dict[Candidate, Offer], order: str):
    found = estimate(CANDIDATES, offers, "price" if order == "price" else "listed")
    assert found.candidate in CANDIDATES
    free = [c for c in CANDIDATES if c not in offers or offers[c].availability is not Availability.NONE]
    if free:
        assert found.candidate in free
        if order == "listed":
            assert found.candidate == free[0]
        else:
            prices = [offers[c].hourly_usd for c in free if c in offers and offers[c].hourly_usd is not None]
            assert found.hourly_usd is None or found.hourly_usd == round(min(p for p in prices if p), 2)


def test_a_price_that_nobody_tells_is_no_output():
    found = estimate(CANDIDATES, {}, "listed")
    assert found == Estimate(CANDIDATES[0], None)
    assert list(found.as_outputs()) == ["candidate"]


def test_prices_are_rounded_and_dated():
    outs = estimate(CANDIDATES, {CANDIDATES[0]: offer(CANDIDATES[0], 0.43999)}, "listed").as_outputs()
    assert outs["estimatedHourlyUsd"] == 0.44
    assert outs["estimatedMonthlyUsd"] == 321.2
    assert (outs["estimateSource"], outs["estimateDate"]) == ("catalogue", "2026-05-06")


def test_the_dearest_counts_even_when_it_is_sold_out():
    offers = {
        CANDIDATES[0]: offer(CANDIDATES[0], 0.4),
        CANDIDATES[1]: offer(CANDIDATES[1], 4.0, Availability.NONE),
        CANDIDATES[2]: offer(CANDIDATES[2], None),
    }
    assert dearest(CANDIDATES, offers) == (CANDIDATES[1], 4.0)
    assert dearest(CANDIDATES, {}) is None
