"""Server-sent events, and one answer for many threads."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds.single_flight import SingleFlight
from gpu_clouds.sse import Event, events
from tests.unit.gpu_clouds.harness import FakeClock

lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)


@settings(deadline=None)
@given(st.lists(st.tuples(lines, st.lists(lines, min_size=1, max_size=3)), max_size=5))
def test_events_come_out_as_they_went_in(sent: list[tuple[str, list[str]]]) -> None:
    wire: list[str] = []
    for identifier, data in sent:
        wire += [f"id: {identifier}", ": a comment", *(f"data: {line}" for line in data), ""]
    assert list(events(wire)) == [Event(identifier, "\n".join(data)) for identifier, data in sent]


@pytest.mark.parametrize(
    ("wire", "found"),
    [
        (["data: cut off"], []),
        (["data:no space", ""], [Event("", "no space")]),
        (["id: 7", "", "data: x", ""], [Event("7", "x")]),
        (["id: a\0b", "data: x", ""], [Event("", "x")]),
        (["retry: 5", "event: y", "odd", ""], []),
    ],
)
def test_events_at_the_edges(wire: list[str], found: list[Event]) -> None:
    assert list(events(wire)) == found


def test_a_failure_is_not_kept() -> None:
    calls: list[int] = []

    def fetch() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("first")
        return "value"

    subject: SingleFlight[str] = SingleFlight(30.0, FakeClock())
    with pytest.raises(ValueError, match="first"):
        subject.get("key", fetch)
    assert subject.get("key", fetch) == "value"
    assert subject.get("key", fetch) == "value"
    assert len(calls) == 2


def test_different_keys_do_not_wait_for_one_another() -> None:
    subject: SingleFlight[str] = SingleFlight(30.0, FakeClock())
    entered, leave = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert leave.wait(10)
        return "slow"

    thread = threading.Thread(target=subject.get, args=("slow", slow))
    thread.start()
    assert entered.wait(10)
    assert subject.get("fast", lambda: "fast") == "fast"
    leave.set()
    thread.join()
