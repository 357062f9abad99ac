"""Young requests are not watched, older ones are, and one timer does for all of them."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.relaying.guard import Guard
from control_plane.gateway.relaying.watching import Watch
from tests.unit.control_plane.manual_timers import ManualTimers

AFTER_S = 0.5


class Watched:
    def __init__(self, timers: ManualTimers) -> None:
        self._timers = timers
        self.since: list[float] = []

    def begin_to_watch(self) -> None:
        self.since.append(self._timers.now())


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), max_size=12))
def test_each_is_watched_from_its_time_on_unless_it_is_over(requests):
    timers = ManualTimers()
    start = timers.now()
    watch = Watch(timers, AFTER_S)
    made = [Watched(timers) for _ in requests]
    steps = [(begins, 0, number) for number, (begins, _) in enumerate(requests)]
    steps += [(begins + lasts, 1, number) for number, (begins, lasts) in enumerate(requests)]
    for at, is_end, number in sorted(steps):
        timers.advance(max(0.0, start + at - timers.now()))
        (watch.discard if is_end else watch.add)(cast(Guard, made[number]))
        assert timers.pending <= 1
    timers.advance(10)
    for watched, (begins, lasts) in zip(made, requests, strict=True):
        if lasts > AFTER_S + 1e-6:
            (since,) = watched.since
            assert abs(since - start - begins - AFTER_S) < 1e-6
        elif lasts < AFTER_S - 1e-6:
            assert not watched.since
    assert not timers.pending
