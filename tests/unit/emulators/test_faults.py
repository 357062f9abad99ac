from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.clock import SettingError
from emulators.faults import Faults
from emulators.runpod.problems import BACKEND_BROKEN, NO_CAPACITY, NO_FREE_GPU
from emulators.runpod.trouble import FAULT_KINDS
from tests.unit.emulators.driver import Driver, pod_body

POD = pod_body()


@pytest.mark.parametrize(
    ("kind", "args", "status", "made"),
    [
        ("error", {"status": 503, "detail": "later"}, 503, 0),
        ("html_error_page", {}, 502, 0),
        ("cloudflare_403_html", {}, 403, 0),
        ("rate_limited", {"retry_after_s": 7}, 429, 0),
        ("create_refused", {}, 400, 0),
        ("pool_refused", {}, 403, 0),
        ("no_capacity", {}, 400, 0),
        ("create_then_500", {}, 500, 1),
        ("error_after", {"status": 504}, 504, 1),
    ],
)
def test_creates_fail_with_or_without_effect(kind: str, args: dict[str, Any], status: int, made: int) -> None:
    with Driver() as driver:
        driver.fault(kind, count=1, method="POST", args=args)
        reply = driver.call("POST", "/v2/pods", POD)
        assert reply.status == status
        if kind == "rate_limited":
            assert reply.headers["retry-after"] == "7"
        if kind == "create_refused":
            assert reply.detail == BACKEND_BROKEN
        if kind == "no_capacity":
            assert reply.detail == NO_CAPACITY
        if "html" in kind:
            assert reply.headers["content-type"].startswith("text/html")
        assert len(driver.pods()) == made
        assert driver.call("POST", "/v2/pods", POD).status == 201  # the fault was for once


@pytest.mark.parametrize(
    ("kind", "made"),
    [("hang", 0), ("cut", 0), ("create_then_hang", 1), ("hang_after", 1), ("cut_after", 1)],
)
def test_creates_without_an_answer(kind: str, made: int) -> None:
    with Driver() as driver:
        driver.fault(kind, count=1, method="POST")
        reply = driver.call("POST", "/v2/pods", POD, advance=60)
        assert (reply.status, reply.cut) == (0, True)
        assert len(driver.pods()) == made


def test_slow_answers_take_emulated_time() -> None:
    with Driver() as driver:
        driver.fault("slow", count=1, args={"seconds": 90})
        before = driver.control("GET", "health")["now"]
        assert driver.call("GET", "/v2/pods", advance=10).status == 200
        assert driver.control("GET", "health")["now"] - before == pytest.approx(90)


def test_faults_are_counted_skipped_and_only_for_what_they_name() -> None:
    with Driver() as driver:
        driver.fault("error", count=2, skip=1, method="POST", name="gp-*", args={"status": 500})
        answers = [driver.call("POST", "/v2/pods", pod_body(name)).status for name in ["x", *["gp-a"] * 4]]
        assert answers == [201, 201, 500, 500, 201]
        assert driver.control("GET", "faults")["faults"][0]["hits"] == 2


def test_a_lasting_fault_ends_when_cleared() -> None:
    with Driver() as driver:
        fault = driver.fault("error", path="/v2/catalog/*")
        assert driver.call("GET", "/v2/catalog/gpus").status == 500
        assert driver.call("GET", "/v2/pods").status == 200
        assert driver.control("DELETE", f"faults/{fault}") == {"cleared": 1}
        assert driver.call("GET", "/v2/catalog/gpus").status == 200


def test_deletes_that_fail_and_deletes_that_only_look_so() -> None:
    with Driver() as driver:
        pod = driver.create()["id"]
        driver.fault("delete_refused", count=2)
        assert [driver.call("DELETE", f"/v2/pods/{pod}").status for _ in range(2)] == [409, 409]
        driver.fault("delete_5xx_but_deleted", count=1)
        assert driver.call("DELETE", f"/v2/pods/{pod}").status == 500
        assert driver.call("DELETE", f"/v2/pods/{pod}").status == 404


def test_a_stuck_pod_never_serves() -> None:
    with Driver(mode="specified") as driver:
        driver.fault("stuck_provisioning", count=1, name="bad*")
        driver.create("bad-1")
        driver.create("good-1")
        driver.advance(86400)
        assert [pod["status"] for pod in driver.pods()] == ["PROVISIONING", "RUNNING"]


def test_a_boot_that_fails_ends_in_error_and_a_start_may_heal_it() -> None:
    with Driver(ready_after_s=10) as driver:
        driver.fault("boot_fails", count=1)
        pod = driver.create()["id"]
        driver.advance(11)
        assert driver.pods()[0]["status"] == "ERROR"
        assert driver.call("POST", f"/v2/pods/{pod}/action", {"action": "start"}).status == 200
        driver.advance(11)
        assert driver.pods()[0]["runtime"] is not None


def test_containers_exit_by_fault_and_by_setting() -> None:
    with Driver(ready_after_s=10, exit_after_s=100) as driver:
        driver.fault("exits", count=1, args={"after_s": 5})
        driver.create()
        driver.create()
        driver.advance(16)
        assert [pod["status"] for pod in driver.pods()] == ["EXITED", "RUNNING"]
        driver.advance(100)
        assert [pod["status"] for pod in driver.pods()] == ["EXITED", "EXITED"]


def test_unknown_states_can_be_shown() -> None:
    with Driver() as driver:
        driver.fault("unknown_state", count=1, args={"status": "DEFRAGMENTING"})
        pod = driver.create()
        assert (pod["status"], pod["actions"]) == ("DEFRAGMENTING", [])
        driver.control("PATCH", f"runpod/pods/{pod['id']}", {"reported_status": ""})
        assert driver.pods()[0]["status"] == "RUNNING"


def test_a_start_without_free_gpu_and_one_that_comes_back_with_none() -> None:
    with Driver() as driver:
        pod = driver.create()["id"]
        action = f"/v2/pods/{pod}/action"
        driver.call("POST", action, {"action": "stop"})
        driver.fault("start_no_free_gpu", count=1)
        assert driver.call("POST", action, {"action": "start"}).detail == NO_FREE_GPU
        driver.fault("start_without_gpu", count=1)
        assert driver.call("POST", action, {"action": "start"}).json()["gpu"]["count"] == 0


def test_lists_lag_and_ended_pods_linger_as_set() -> None:
    with Driver(list_lag_s=20, terminated_listed_s=30) as driver:
        pod = driver.create()["id"]
        assert driver.pods() == []
        assert driver.call("GET", f"/v2/pods/{pod}").status == 200
        driver.advance(20)
        assert len(driver.pods()) == 1
        driver.call("DELETE", f"/v2/pods/{pod}")
        assert [(p["status"], p["actions"]) for p in driver.pods()] == [("TERMINATED", [])]
        assert driver.call("DELETE", f"/v2/pods/{pod}").status == 404
        driver.advance(31)
        assert driver.pods() == []


def test_listed_but_refused_is_a_share_drawn_by_the_seed() -> None:
    def run(seed: int) -> list[int]:
        with Driver(listed_but_refused=0.5, seed=seed) as driver:
            gpu = driver.call("GET", "/v2/catalog/gpus/NVIDIA L4?include=AVAILABILITY&product=POD").json()
            assert gpu["availability"] == "HIGH"
            return [driver.call("POST", "/v2/pods", POD).status for _ in range(40)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 8 < run(1).count(400) < 32


def test_pages_carry_every_pod_once_even_while_pods_end() -> None:
    with Driver(pagination=True, page_size=3) as driver:
        names = [f"n{i}" for i in range(8)]
        for name in names:
            driver.create(name)
        seen: list[str] = []
        cursor = ""
        while True:
            page = driver.call("GET", f"/v2/pods?cursor={cursor}").json()
            seen += [pod["name"] for pod in page["pods"]]
            driver.call("DELETE", f"/v2/pods/{page['pods'][-1]['id']}")
            cursor = page["pagination"]["nextCursor"]
            if not page["pagination"]["hasNextPage"]:
                break
        assert sorted(seen) == names


def test_clock_skew_moves_time_stamps_only() -> None:
    with Driver() as driver:
        straight = driver.create()["createdAt"]
        driver.control("PATCH", "runpod/settings", {"clock_skew_s": -3600})
        skewed = driver.pods()[0]["createdAt"]
        assert int(straight[11:13]) - int(skewed[11:13]) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {},
        [],
        {"kind": "create_then_501"},
        {"kind": "error", "times": 3},
        {"kind": "error", "count": "3"},
        {"kind": "error", "count": True},
    ],
)
def test_misspelt_faults_are_refused(fault: Any) -> None:
    with pytest.raises(SettingError):
        Faults(FAULT_KINDS).add(fault)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 15))
def test_a_counted_fault_hits_exactly_its_share(skip: int, count: int, requests: int) -> None:
    faults = Faults(FAULT_KINDS)
    faults.add({"kind": "error", "skip": skip, "count": count})
    hits = [faults.take("error", cloud="runpod", method="GET", path="/v2/pods") for _ in range(requests)]
    assert [hit is not None for hit in hits] == [skip <= i < skip + count for i in range(requests)]
