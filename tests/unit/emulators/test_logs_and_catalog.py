from __future__ import annotations

import json

import pytest

from tests.unit.emulators.driver import H100, L4, Driver


def test_logs_follow_a_pod_to_its_end_and_resume_by_id() -> None:
    with Driver(ready_after_s=10) as driver:
        pod = driver.create()["id"]
        driver.advance(11)
        driver.call("POST", f"/v2/pods/{pod}/action", {"action": "stop"})
        path = f"/v2/pods/{pod}/logs"
        reply = driver.call("GET", path)
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["x-accel-buffering"] == "no"
        events = reply.events()
        lines = [json.loads(event["data"]) for event in events]
        assert {line["source"] for line in lines} == {"container", "system"}
        for index in range(len(events)):
            rest = driver.call("GET", path, headers={"last-event-id": events[index]["id"]}).events()
            assert rest == events[index + 1 :]
        assert driver.call("GET", f"{path}?tail=2").events() == events[-2:]
        assert driver.call("GET", f"{path}?tail=0").events() == []
        only = driver.call("GET", f"{path}?source=container").events()
        assert only == [e for e, line in zip(events, lines, strict=True) if line["source"] == "container"]
        since = driver.call("GET", f"{path}?since={lines[1]['ts']}").events()
        assert since == [e for e, line in zip(events, lines, strict=True) if line["ts"] >= lines[1]["ts"]]
        assert driver.call("GET", f"{path}?tail=5001").status == 422
        assert driver.call("GET", "/v2/pods/none/logs").status == 404


def test_a_live_stream_shows_what_comes_later() -> None:
    with Driver(ready_after_s=30, exit_after_s=20) as driver:
        pod = driver.create()["id"]
        reply = driver.call("GET", f"/v2/pods/{pod}/logs", advance=1)
        lines = [json.loads(event["data"])["line"] for event in reply.events()]
        assert lines[0].startswith("create container")
        assert lines[-1] == "stop container: container exited"


def test_a_stream_ends_with_its_client() -> None:
    with Driver() as driver:
        pod = driver.create()["id"]
        reply = driver.call("GET", f"/v2/pods/{pod}/logs", leave=True)
        assert (reply.status, reply.cut) == (200, False)


def test_a_stream_can_be_made_to_drop() -> None:
    with Driver(ready_after_s=1, sse_drop_after_n=2) as driver:
        pod = driver.create()["id"]
        driver.advance(2)
        reply = driver.call("GET", f"/v2/pods/{pod}/logs")
        assert reply.cut
        assert len(reply.events()) == 2


def test_logs_show_no_environment() -> None:
    with Driver(ready_after_s=1) as driver:
        pod = driver.create(env={"VLLM_API_KEY": "canary"})["id"]
        driver.advance(2)
        driver.call("POST", f"/v2/pods/{pod}/action", {"action": "stop"})
        assert b"canary" not in driver.call("GET", f"/v2/pods/{pod}/logs").body
        assert "canary" not in json.dumps(driver.control("GET", "state"))


@pytest.mark.parametrize(
    ("free", "count", "level"),
    [(0, 1, "NONE"), (1, 1, "LOW"), (1, 2, "NONE"), (3, 1, "MEDIUM"), (8, 1, "HIGH"), (None, 8, "HIGH")],
)
def test_availability_follows_capacity(free: int | None, count: int, level: str) -> None:
    with Driver(capacity={f"{H100}|*": free}) as driver:
        query = f"include=AVAILABILITY&product=POD&count={count}"
        gpu = driver.call("GET", f"/v2/catalog/gpus/{H100}?{query}").json()
        assert gpu["availability"] == level
        assert {center["availability"] for center in gpu["dataCenters"]} == {level}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("include=AVAILABILITY", 400),
        ("product=POD", 400),
        ("countryCodes=US", 400),
        ("include=AVAILABILITY&product=POD&countryCodes=us", 422),
        ("include=PRICES&product=POD", 422),
        ("include=AVAILABILITY&product=POD&count=0", 422),
        ("include=AVAILABILITY&product=POD&cudaVersions=12.8&minCudaVersion=12", 400),
        ("include=AVAILABILITY&product=POD&minCudaVersion=12", 200),
    ],
)
def test_filters_of_the_catalogue_are_checked(query: str, status: int) -> None:
    with Driver() as driver:
        assert driver.call("GET", f"/v2/catalog/gpus?{query}").status == status


def test_country_codes_narrow_the_list_but_not_the_single_gpu() -> None:
    with Driver() as driver:
        query = "include=AVAILABILITY&product=POD&countryCodes=JP"
        gpus = driver.call("GET", f"/v2/catalog/gpus?{query}").json()["gpus"]
        assert H100 in {gpu["id"] for gpu in gpus}
        assert {center["id"] for gpu in gpus for center in gpu["dataCenters"]} == {"AP-JP-1"}
        single = driver.call("GET", f"/v2/catalog/gpus/{L4}?{query}").json()
        assert single["availability"] == "NONE"
        assert "dataCenters" not in single


def test_data_centers_filter_and_carry_availability() -> None:
    with Driver() as driver:
        path = "/v2/catalog/datacenters?regions=EUROPE&include=GPU_AVAILABILITY"
        centers = driver.call("GET", path).json()["dataCenters"]
        assert {center["region"] for center in centers} == {"EUROPE"}
        roumania = next(center for center in centers if center["id"] == "EU-RO-1")
        assert L4 in {gpu["id"] for gpu in roumania["gpuAvailability"]}
        assert driver.call("GET", "/v2/catalog/datacenters?regions=MARS").status == 422
