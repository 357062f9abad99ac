from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds.answers import Answer, Kind
from gpu_clouds.errors import CancelledError, RateLimitedError
from gpu_clouds.pacing import (
    FixedRatePacer,
    HeaderPacer,
    SharedTimes,
    header_pacer,
    pacing_file,
    parse_limits,
)
from tests.unit.gpu_clouds.harness import KEY, FakeClock, connection


def limits(remaining: str, policy: str = "", status: int = 200, **more: str) -> Answer:
    headers = {"RateLimit": remaining, "RateLimit-Policy": policy} | {
        k.replace("_", "-"): v for k, v in more.items()
    }
    return Answer.of(status, httpx.Headers(headers), b"")


def pacer(tmp_path: Path, clock: FakeClock) -> HeaderPacer:
    return HeaderPacer("RunPod", clock, SharedTimes(tmp_path / "p" / "times.json"))


def test_the_headers_of_the_contract() -> None:
    assert parse_limits('"minute";r=0;t=12, "hour";r=2800;t=1812, "day";r=49500;t=45012') == {
        "minute": {"r": 0, "t": 12},
        "hour": {"r": 2800, "t": 1812},
        "day": {"r": 49500, "t": 45012},
    }
    assert parse_limits('"minute";q=60;w=60') == {"minute": {"q": 60, "w": 60}}


@settings(deadline=None)
@given(st.text(max_size=80))
def test_an_odd_header_is_no_error(text: str) -> None:
    for limit in parse_limits(text).values():
        assert all(isinstance(value, int) for value in limit.values())


def test_nothing_known_means_no_wait(tmp_path: Path) -> None:
    clock = FakeClock()
    subject = pacer(tmp_path, clock)
    for _ in range(100):
        subject.wait(Kind.CREATE, None)
    assert clock.waits == []


def test_the_longest_exhausted_window_wins(tmp_path: Path) -> None:
    clock = FakeClock()
    subject = pacer(tmp_path, clock)
    subject.observe(limits('"minute";r=0;t=12, "hour";r=0;t=200, "day";r=5;t=9000'))
    subject.wait(Kind.READ, None)
    assert sum(clock.waits) == pytest.approx(200)


def test_many_threads_do_not_spend_the_same_token(tmp_path: Path) -> None:
    clock = FakeClock()
    subject = pacer(tmp_path, clock)
    subject.observe(limits('"minute";r=3;t=30', '"minute";q=60;w=60'))
    for _ in range(3):
        subject.wait(Kind.READ, None)
    assert clock.waits == []
    subject.wait(Kind.READ, None)
    assert clock.waits == [30.0]
    # A new window has its whole quota: one is spent.
    for _ in range(59):
        subject.wait(Kind.READ, None)
    assert clock.waits == [30.0]
    subject.wait(Kind.READ, None)
    assert clock.waits == [30.0, 60.0]


def test_an_answer_that_was_overtaken_gives_no_tokens_back(tmp_path: Path) -> None:
    clock = FakeClock()
    subject = pacer(tmp_path, clock)
    subject.observe(limits('"minute";r=1;t=30', '"minute";q=60;w=60'))
    subject.observe(limits('"minute";r=9;t=30', '"minute";q=60;w=60'))
    subject.wait(Kind.READ, None)
    subject.wait(Kind.READ, None)
    assert clock.waits == [30.0]


def test_retry_after_is_heard_by_every_pacer_of_the_key(tmp_path: Path) -> None:
    clock = FakeClock()
    first, second = pacer(tmp_path, clock), pacer(tmp_path, clock)
    first.observe(Answer.of(429, {"Retry-After": "12"}, b""))
    second.wait(Kind.READ, None)
    assert clock.waits == [12.0]


def test_a_wait_of_an_hour_is_an_error_that_says_so(tmp_path: Path) -> None:
    clock = FakeClock()
    subject = pacer(tmp_path, clock)
    subject.observe(limits('"hour";r=0;t=1812'))
    with pytest.raises(RateLimitedError, match="frees in 30 min") as caught:
        subject.wait(Kind.READ, None)
    assert caught.value.retry_after_s == pytest.approx(1812)
    assert clock.waits == []


def test_cancel_wakes_a_wait(tmp_path: Path) -> None:
    clock, cancel = FakeClock(), threading.Event()
    subject = pacer(tmp_path, clock)
    subject.observe(limits('"minute";r=0;t=12'))
    clock.on_sleep = lambda seconds: cancel.set()
    with pytest.raises(CancelledError):
        subject.wait(Kind.READ, cancel)


def test_one_request_a_second_and_one_launch_in_twelve(tmp_path: Path) -> None:
    clock = FakeClock(100.0)
    subject = FixedRatePacer(
        "Lambda", clock, SharedTimes(tmp_path / "l.json"), interval_s=1.0, create_interval_s=12.0
    )
    times = []
    for kind in (Kind.CREATE, Kind.READ, Kind.CREATE, Kind.CREATE):
        subject.wait(kind, None)
        times.append(clock.time())
    assert times == [100.0, 101.0, 112.0, 124.0]


def test_launches_keep_their_distance_when_one_of_them_had_to_wait_for_other_requests(tmp_path: Path) -> None:
    clock = FakeClock(start=100.0)
    shared = SharedTimes(tmp_path / "l.json")
    subject = FixedRatePacer("Lambda", clock, shared, interval_s=1.0, create_interval_s=12.0)
    for _ in range(5):
        shared.reserve("any", clock.time(), 1.0)
    times = []
    for _ in range(3):
        subject.wait(Kind.CREATE, None)
        times.append(clock.time())
    assert times == [105.0, 117.0, 129.0]


def test_a_turn_that_was_waited_for_is_kept_for_the_launch_of_the_same_thread(tmp_path: Path) -> None:
    clock = FakeClock(start=100.0)
    shared = SharedTimes(tmp_path / "l.json")
    subject = FixedRatePacer("Lambda", clock, shared, interval_s=1.0, create_interval_s=12.0)
    subject.wait(Kind.CREATE, None)
    subject.take_turn(None)
    assert clock.time() == 112.0
    subject.wait(Kind.READ, None)
    subject.wait(Kind.CREATE, None)
    assert clock.time() == 113.0
    subject.wait(Kind.CREATE, None)  # the turn was for one launch
    assert clock.time() == 124.0
    subject.take_turn(None)
    clock.sleep(12)  # too late: the next one's turn has come
    subject.wait(Kind.CREATE, None)
    assert clock.time() == 148.0


def test_a_slot_that_nobody_waits_for_is_not_taken(tmp_path: Path) -> None:
    clock = FakeClock(start=100.0)
    shared = SharedTimes(tmp_path / "l.json")
    subject = FixedRatePacer("Lambda", clock, shared, interval_s=1.0, create_interval_s=12.0)
    slots = [shared.reserve("create", clock.time(), 12.0) for _ in range(40)]
    assert max(slots) - 100.0 == 312.0
    with pytest.raises(RateLimitedError):
        subject.wait(Kind.CREATE, None)
    clock.sleep(12)
    subject.wait(Kind.CREATE, None)
    assert clock.time() == 412.0


def test_processes_take_different_slots(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gpu_clouds.pacing import SharedTimes\n"
        "times = SharedTimes(Path(sys.argv[1]))\n"
        "print([times.reserve('any', 0.0, 1.0) for _ in range(20)])"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "s.json")], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    slots = [slot for process in running for slot in json.loads(process.communicate()[0])]
    assert sorted(slots) == [float(slot) for slot in range(60)]


def test_without_a_writable_folder_it_paces_within_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    times = SharedTimes(tmp_path / "file" / "s.json")
    assert [times.reserve("any", 0.0, 1.0) for _ in range(3)] == [0.0, 1.0, 2.0]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"blocked": "x"}', '{"blocked": null}'])
def test_a_damaged_file_blocks_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    times = SharedTimes(tmp_path / "s.json")
    assert times.latest("blocked") == 0.0
    times.push("blocked", 5.0)
    assert SharedTimes(tmp_path / "s.json").latest("blocked") == 5.0


def test_connections_with_one_key_share_a_pacer_and_the_file_name_hides_the_key(tmp_path: Path) -> None:
    clock = FakeClock()
    first = header_pacer(connection(clock, state_dir=tmp_path), "RunPod")
    assert header_pacer(connection(clock, state_dir=tmp_path), "RunPod") is first
    assert header_pacer(connection(clock, key=KEY + "2", state_dir=tmp_path), "RunPod") is not first
    assert KEY not in str(pacing_file(tmp_path, "runpod", KEY))


def test_an_idle_pacer_costs_next_to_nothing(tmp_path: Path) -> None:
    subject = pacer(tmp_path, FakeClock())
    subject.observe(limits('"minute";r=1000000;t=60', '"minute";q=1000000;w=60'))
    started = time.thread_time()
    for _ in range(1000):
        subject.wait(Kind.READ, None)
    assert (time.thread_time() - started) / 1000 < 0.0002
