"""Limits of one process: tables of what is let in, what is refused, and what a client is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from control_plane.gateway.declared import Limits
from control_plane.store.rows import Spent
from tests.unit.control_plane.limits.asking import Asker, declared, header

LAYERS = ("instance", "tenant", "key", "model")


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("limits", "reason", "tokens", "usd"),
    [
        (Limits(requests_per_minute=3), "requests", 1, 0.0),
        (Limits(tokens_per_minute=30), "tokens", 10, 0.0),
        (Limits(in_flight=3), "in_flight", 1, 0.0),
        (Limits(budget_usd=0.3), "budget", 1, 0.1),
    ],
    ids=["requests", "tokens", "in_flight", "budget"],
)
def test_each_layer_has_each_limit(layer: str, limits: Limits, reason: str, tokens: int, usd: float) -> None:
    asker = Asker(declared(**{layer: limits}))
    for _ in range(3):
        asker.take(tokens, usd)
    before = asker.sums()
    refused = asker.refused(tokens, usd)
    assert asker.sums() == before, "nothing was taken from any layer"
    assert refused.status == 429
    assert refused.code == ("insufficient_quota" if reason == "budget" else "rate_limit_exceeded")
    assert asker.counted == {(layer, reason): 1}
    assert int(header(refused, "retry-after")) > 0
    # Who has none of these limits is not touched by them.
    if layer in ("tenant", "key"):
        asker.take(tokens, usd, tenant="other", key="k2")


def test_an_alias_counts_for_its_model_too() -> None:
    asker = Asker(declared(model=Limits(requests_per_minute=2)))
    asker.take(asked="alias")
    asker.take(asked="model")
    assert "this model" in asker.refused().message


def test_headers_are_those_of_the_tightest_layer() -> None:
    tenant = Limits(requests_per_minute=10, tokens_per_minute=1000)
    key = Limits(requests_per_minute=5, tokens_per_minute=5000)
    asker = Asker(declared(tenant=tenant, key=key))
    assert dict(asker.take(100).headers) == {
        b"x-ratelimit-limit-requests": b"5",
        b"x-ratelimit-remaining-requests": b"4",
        b"x-ratelimit-reset-requests": b"1m1s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"900",
        b"x-ratelimit-reset-tokens": b"1m1s",
    }
    assert Asker(declared()).take(100).headers == []


def test_the_headers_of_a_refusal_count_down() -> None:
    asker = Asker(declared(key=Limits(requests_per_minute=1)))
    asker.take()
    asker.clock.go(21)
    refused = asker.refused()
    assert header(refused, "retry-after") == "40"
    assert header(refused, "x-ratelimit-reset-requests") == "40s"
    assert header(refused, "x-ratelimit-remaining-requests") == "0"


def test_the_longest_wait_counts() -> None:
    asker = Asker(
        declared(tenant=Limits(requests_per_minute=2), key=Limits(tokens_per_minute=10, in_flight=2))
    )
    asker.take(1)
    asker.clock.go(30)
    asker.take(9)
    # The tenant has room in 31 s, tokens of the key only in 61 s.
    refused = asker.refused(5)
    assert header(refused, "retry-after") == "61"
    assert "limit 10, used 10, requested 5" in refused.message


def test_what_can_never_fit_says_so_at_once() -> None:
    asker = Asker(declared(tenant=Limits(tokens_per_minute=100, budget_usd=1.0)))
    too_long = asker.refused(101)
    assert (too_long.status, too_long.param) == (400, "max_tokens")
    assert "can never be served" in too_long.message
    too_dear = asker.refused(1, 1.01)
    assert (too_dear.status, too_dear.code) == (429, "insufficient_quota")
    for refused in (too_long, too_dear):
        assert b"retry-after" not in dict(refused.headers)
    asker.take(100, 1.0)


def test_tokens_that_were_not_used_can_be_used_by_others() -> None:
    asker = Asker(declared(key=Limits(tokens_per_minute=100)))
    first = asker.take(100)
    asker.clock.go(10)
    asker.refused(1)
    asker.limiter.settle(first, 40, 0.0)
    asker.take(60)
    asker.refused(1)


def test_tokens_beyond_the_reservation_count_when_they_are_known() -> None:
    asker = Asker(declared(key=Limits(tokens_per_minute=100)))
    first = asker.take(10)
    asker.clock.go(50)
    asker.limiter.settle(first, 100, 0.0)
    asker.clock.go(11)  # The reservation is out of the window, the rest is not.
    assert header(asker.refused(11), "retry-after") == "50"
    asker.take(10)


def test_a_request_that_outlives_the_window_gives_back_only_its_place() -> None:
    asker = Asker(declared(key=Limits(tokens_per_minute=100, in_flight=1)))
    first = asker.take(100)
    asker.clock.go(61)
    assert "at the same time" in asker.refused(100).message
    asker.limiter.settle(first, 10, 0.0)
    asker.take(100)
    assert {tokens for *_, tokens, _, _ in asker.sums()} == {0, 100}


def test_settling_twice_counts_once() -> None:
    asker = Asker(declared(key=Limits(in_flight=1)))
    taken = asker.take(10, 0.5)
    asker.limiter.settle(taken, 5, 0.25)
    before = asker.sums()
    asker.limiter.settle(taken, 5, 0.25)
    assert asker.sums() == before


def test_a_budget_begins_with_what_the_store_knows_and_anew_each_month() -> None:
    spent = Spent(9.0, {"acme": 0.75}, {"k1": 0.5}, {"model": 0.25})
    asker = Asker(declared(tenant=Limits(budget_usd=1.0), instance=Limits(budget_usd=100.0)), spent)
    assert asker.asked_months == ["2026-11"]
    kept = asker.take(1, 0.25)
    refused = asker.refused(1, 0.01)
    assert "0.000000 of 1.00 USD are left" in refused.message
    assert header(refused, "x-should-retry") == "false"
    december = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert int(header(refused, "retry-after")) == december - asker.clock.wall_now
    asker.clock.wall_now = december
    asker.take(1, 1.0)
    # What was let in last month is of last month, however late it ends.
    asker.limiter.settle(kept, 1, 0.0)
    asker.refused(1, 0.01)


def test_other_limits_keep_what_was_used() -> None:
    asker = Asker(declared(key=Limits(requests_per_minute=10)))
    for _ in range(5):
        asker.take(10, 0.1)
    asker.limiter.apply(declared(key=Limits(requests_per_minute=5)))
    asker.refused()
    asker.limiter.apply(declared(key=Limits(requests_per_minute=6, tokens_per_minute=60, budget_usd=0.6)))
    asker.take(10, 0.1)
    asker.refused()
    asker.limiter.apply(declared(tenant=Limits(budget_usd=0.65)))
    asker.refused(1, 0.1)


def test_what_is_no_longer_declared_is_forgotten_with_the_month() -> None:
    asker = Asker(declared())
    kept = asker.take(1, 0.1)
    asker.limiter.apply(declared())
    asker.limiter.settle(asker.take(1, 0.1, tenant="gone", key="k9"), 1, 0.1)
    assert {"gone", "k9"} <= {name for _, name, *_ in asker.sums()}
    asker.clock.wall_now = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    asker.limiter.settle(asker.take(), 0, 0.0)
    assert not {"gone", "k9"} & {name for _, name, *_ in asker.sums()}
    asker.limiter.settle(kept, 1, 0.1)
