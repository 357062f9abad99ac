"""Limits of one process, whatever comes: never too much, nothing lost, and a true `retry-after`."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.declared import ApiKey, Limits
from control_plane.gateway.parts import Refused, Reservation
from tests.unit.control_plane.limits.asking import Asker, call, declared, header

Row = tuple[str, str, int, int, int, int]
small = st.integers(0, 6)
limits = st.builds(
    Limits,
    requests_per_minute=small,
    tokens_per_minute=st.integers(0, 40),
    in_flight=st.integers(0, 4),
    budget_usd=st.sampled_from([0.0, 0.5, 2.0]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 20), st.sampled_from([0.0, 0.01, 0.3])),
        st.tuples(st.just("settle"), st.integers(0, 20), st.sampled_from([0.0, 0.5, 1.0])),
        st.tuples(st.just("go"), st.floats(0, 70, allow_subnormal=False), st.just(0.0)),
    ),
    max_size=40,
)


@dataclass
class Let:
    at: float
    tokens: int
    usd: float
    reservation: Reservation
    used: int | None = None


def run(asker: Asker, todo: list[tuple[str, float, float]]) -> list[Let]:
    """Takes and settles; what is settled used a part of what it had reserved. Takes all or nothing."""
    done: list[Let] = []
    for what, number, part in todo:
        if what == "go":
            asker.clock.go(number)
        elif what == "take":
            before = asker.sums()
            try:
                done.append(Let(asker.clock.now, int(number), part, asker.take(int(number), part)))
            except Refused:
                _nothing_taken(before, asker.sums())
        elif running := [each for each in done if each.used is None]:
            chosen = running[int(number) % len(running)]
            chosen.used, chosen.usd = int(chosen.tokens * part), chosen.usd * part
            asker.limiter.settle(chosen.reservation, chosen.used, chosen.usd)
    return done


def _nothing_taken(before: list[Row], after: list[Row]) -> None:
    """Looking may have put old seconds out of the window; nothing may have grown."""
    for first, second in zip(before, after, strict=True):
        assert second[:2] == first[:2] and second[4:] == first[4:]
        assert second[2] <= first[2] and second[3] <= first[3]


@given(limits, limits, limits, limits, steps)
def test_never_over_a_limit_in_any_minute(
    instance: Limits, tenant: Limits, key: Limits, model: Limits, todo: list[tuple[str, float, float]]
) -> None:
    asker = Asker(declared(instance=instance, tenant=tenant, key=key, model=model))
    done = run(asker, todo)
    for each in (instance, tenant, key, model):
        for first in done:
            window = [let for let in done if first.at <= let.at < first.at + 60]
            used = sum(let.tokens if let.used is None else let.used for let in window)
            assert not each.requests_per_minute or len(window) <= each.requests_per_minute
            assert not each.tokens_per_minute or used <= each.tokens_per_minute
        assert not each.in_flight or sum(let.used is None for let in done) <= each.in_flight
        assert not each.budget_usd or sum(let.usd for let in done) <= each.budget_usd + 1e-9


@given(limits, steps)
def test_settling_leaves_exactly_what_was_used(key: Limits, todo: list[tuple[str, float, float]]) -> None:
    asker = Asker(declared(key=key))
    done = run(asker, todo)
    for each in done:
        if each.used is None:
            each.used = each.tokens
            asker.limiter.settle(each.reservation, each.tokens, each.usd)
    for meter in asker.limiter.meters_of(call(), ApiKey("k1", "acme", "0" * 64)):
        assert meter.running == 0
        assert meter.money == sum(round(each.usd * 1e9) for each in done)
        meter.forget(int(asker.clock.now))
        since = int(asker.clock.now) - 61
        assert meter.tokens == sum(each.used or 0 for each in done if int(each.at) > since)
        assert meter.requests == sum(int(each.at) > since for each in done)
    asker.clock.go(61)
    for meter in asker.limiter.all_meters():
        meter.forget(int(asker.clock.now))
        assert (meter.requests, meter.tokens, len(meter.seconds)) == (0, 0, 0)


@given(limits, limits, steps, st.integers(1, 20), st.sampled_from([0.0, 0.3]))
def test_a_retry_when_it_is_told_is_let_in(
    tenant: Limits, key: Limits, todo: list[tuple[str, float, float]], tokens: int, usd: float
) -> None:
    asker = Asker(declared(tenant=tenant, key=key))
    for each in run(asker, todo):
        # Who runs may run on as long as it likes; that is not what the wait can tell.
        if each.used is None:
            asker.limiter.settle(each.reservation, each.tokens, each.usd)
    try:
        asker.take(tokens, usd)
    except Refused as refused:
        if b"retry-after" in dict(refused.headers):
            asker.clock.go(float(header(refused, "retry-after")))
            asker.take(tokens, usd)
        else:
            asker.clock.go(40 * 24 * 3600)
            assert asker.refused(tokens, usd).message
