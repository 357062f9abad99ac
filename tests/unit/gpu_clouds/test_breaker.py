from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds.answers import Kind
from gpu_clouds.breaker import Breaker, Outcome
from gpu_clouds.errors import CancelledError, CircuitOpenError
from tests.unit.gpu_clouds.harness import FakeClock


def broken(clock: FakeClock) -> Breaker:
    breaker = Breaker("RunPod", clock, cloud="runpod")
    for _ in range(5):
        breaker.before(Kind.READ)
        breaker.after(Outcome.FAILED)
    return breaker


@settings(deadline=None)
@given(st.lists(st.sampled_from(Outcome), max_size=40))
def test_it_opens_exactly_after_five_failures_in_a_row(outcomes: list[Outcome]) -> None:
    breaker = Breaker("RunPod", FakeClock(), cloud="runpod")
    in_a_row = 0
    for outcome in outcomes:
        breaker.before(Kind.READ)
        breaker.after(outcome)
        in_a_row = in_a_row + 1 if outcome is Outcome.FAILED else 0
        if in_a_row == 5:
            with pytest.raises(CircuitOpenError, match="5 calls in a row failed; next attempt in 30 s"):
                breaker.before(Kind.CREATE)
            return
    breaker.before(Kind.READ)


def test_one_probe_at_a_time_and_it_closes() -> None:
    clock = FakeClock()
    breaker = broken(clock)
    clock.now += 30
    assert breaker.before(Kind.READ)
    with pytest.raises(CircuitOpenError, match="one call is trying"):
        breaker.before(Kind.READ)
    breaker.after(Outcome.FINE)
    assert not breaker.before(Kind.READ)


def test_a_failed_probe_opens_it_again() -> None:
    clock = FakeClock()
    breaker = broken(clock)
    clock.now += 31
    breaker.before(Kind.READ)
    breaker.after(Outcome.FAILED)
    with pytest.raises(CircuitOpenError):
        breaker.before(Kind.READ)


def test_a_probe_that_was_never_sent_lets_the_next_one_try() -> None:
    clock = FakeClock()
    breaker = broken(clock)
    clock.now += 31
    assert breaker.before(Kind.CREATE)
    breaker.abandon_probe()
    assert breaker.before(Kind.READ)


def test_a_delete_waits_and_is_never_refused() -> None:
    clock = FakeClock()
    breaker = broken(clock)
    clock.now += 10
    assert breaker.before(Kind.DELETE)
    assert clock.waits == [20.0]
    # Somebody probes already: a delete goes all the same.
    assert breaker.before(Kind.DELETE) is False


def test_a_waiting_delete_wakes_on_cancel() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        broken(FakeClock()).before(Kind.DELETE, cancel)
