from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.clock import rfc3339
from emulators.runpod.graphql_query import QueryError, parse
from tests.unit.emulators.driver import EIGHT_OCLOCK, L4, Driver, Reply

RENT = (
    "mutation($input: PodRentInterruptableInput!)"
    " { podRentInterruptable(input: $input) { id costPerHr podType } }"
)
RESUME = "mutation($input: PodBidResumeInput!) { podBidResume(input: $input) { id desiredStatus costPerHr } }"
DEPLOY = (
    "mutation go($input: PodFindAndDeployOnDemandInput!)"
    " { podFindAndDeployOnDemand(input: $input) { id machine { dataCenterId } } }"
)
LOWEST = (
    "query($id: String!) { gpuTypes(input: {id: $id})"
    " { lowestPrice(input: {gpuCount: 1, secureCloud: true}) { minimumBidPrice stockStatus } } }"
)


def ask(driver: Driver, query: str, **variables: Any) -> Reply:
    return driver.call("POST", "/graphql", {"query": query, "variables": variables})


def rent(driver: Driver, bid: float = 1.0, **more: Any) -> Any:
    asked = {"name": "node", "gpuTypeId": L4, "gpuCount": 1, "imageName": "vllm:1", "bidPerGpu": bid, **more}
    return ask(driver, RENT, input=asked).json()


def rented(driver: Driver, **more: Any) -> str:
    return str(rent(driver, **more)["data"]["podRentInterruptable"]["id"])


def phase(driver: Driver, pod_id: str) -> str:
    pods = driver.control("GET", "runpod/state")["pods"]
    return next((str(pod["phase"]) for pod in pods if pod["id"] == pod_id), "")


def test_a_pod_by_bid_costs_its_bid_and_shows_in_the_other_api() -> None:
    with Driver() as driver:
        made = rent(driver, bid=0.3, gpuCount=2)["data"]["podRentInterruptable"]
        assert made["costPerHr"] == 0.6 and made["podType"] == "INTERRUPTABLE"
        (pod,) = driver.pods()
        assert (pod["id"], pod["cost"], pod["gpu"]["count"]) == (made["id"], 0.6, 2)


def test_a_bid_below_the_minimum_finds_no_machine() -> None:
    with Driver(prices={L4: {"SECURE": 0.4}}) as driver:
        lowest = ask(driver, LOWEST, id=L4).json()["data"]["gpuTypes"][0]["lowestPrice"]
        assert lowest == {"minimumBidPrice": 0.2, "stockStatus": "High"}
        refused = rent(driver, bid=0.19)
        assert refused["data"] == {"podRentInterruptable": None}
        assert refused["errors"][0]["extensions"]["code"] == "RUNPOD"
        assert "no longer any instances" in refused["errors"][0]["message"]
        assert rent(driver, bid=0.2)["data"]["podRentInterruptable"]["id"]


def test_what_is_sold_out_has_no_price() -> None:
    with Driver(capacity={f"{L4}|*": 0}) as driver:
        lowest = ask(driver, LOWEST, id=L4).json()["data"]["gpuTypes"][0]["lowestPrice"]
        assert lowest == {"minimumBidPrice": None, "stockStatus": None}


@pytest.mark.parametrize(("gone", "left"), [(False, "EXITED"), (True, "")])
def test_a_pod_by_bid_is_taken_back_without_a_warning(gone: bool, left: str) -> None:
    with Driver(spot_reclaim_after_s=100.0, spot_reclaim_gone=gone) as driver:
        by_bid, kept = rented(driver), driver.create("kept")["id"]
        driver.advance(99)
        assert phase(driver, by_bid) == "RUNNING"
        driver.advance(1)
        assert (phase(driver, by_bid), phase(driver, kept)) == (left, "RUNNING")


def test_a_reclaim_by_hand_and_a_resume() -> None:
    with Driver() as driver:
        pod = rented(driver, bid=0.5)
        driver.control("POST", f"runpod/pods/{pod}/reclaim", {})
        assert phase(driver, pod) == "EXITED"
        again = ask(driver, RESUME, input={"podId": pod, "gpuCount": 1, "bidPerGpu": 0.7}).json()
        assert again["data"]["podBidResume"] == {"id": pod, "desiredStatus": "RUNNING", "costPerHr": 0.7}
        other = driver.create("other")["id"]
        assert driver.call("POST", f"/_emu/runpod/pods/{other}/reclaim", {}, key=None).status == 400


def test_a_pod_ends_at_its_time_even_over_a_restart(tmp_path: Path) -> None:
    at = rfc3339(EIGHT_OCLOCK + 600)
    asked = {"name": "ttl", "gpuTypeId": L4, "imageName": "vllm:1", "terminateAfter": at}
    with Driver(tmp_path) as driver:
        pod = ask(driver, DEPLOY, input=asked).json()["data"]["podFindAndDeployOnDemand"]["id"]
        driver.advance(100)
        driver.call("POST", f"/v2/pods/{pod}/action", {"action": "restart"})
    with Driver(tmp_path, start=EIGHT_OCLOCK + 100) as driver:
        driver.advance(499)
        assert phase(driver, pod) == "RUNNING"
        driver.advance(2)
        assert phase(driver, pod) == ""
        assert driver.control("GET", "runpod/state")["ended"][0]["reason"] == "terminateAfter has passed"


def test_the_balance_shrinks_with_what_runs() -> None:
    with Driver() as driver:
        driver.control("PATCH", "runpod/account", {"balance": 10.0, "spend_limit": 5.0})
        rented(driver, bid=2.0)
        driver.advance(1800)
        query = "{ myself { clientBalance currentSpendPerHr spendLimit pods { id } } }"
        me = ask(driver, query).json()["data"]["myself"]
        assert (me["clientBalance"], me["currentSpendPerHr"], me["spendLimit"]) == (9.0, 2.0, 5.0)
        assert len(me["pods"]) == 1
        assert "spend limit" in rent(driver, bid=4.0)["errors"][0]["message"]


def test_a_retired_api_says_410_and_leaves_rest_alone() -> None:
    with Driver(graphql_retired=True) as driver:
        assert ask(driver, "{ myself { id } }").status == 410
        assert driver.call("GET", "/v2/pods").status == 200


def test_keys_and_rights() -> None:
    with Driver() as driver:
        me = {"query": "{ myself { id } }"}
        assert driver.call("POST", "/graphql", me, key=None).status == 401
        assert driver.call("POST", "/graphql?api_key=emulator-key", me, key=None).status == 200
        driver.control("PATCH", "runpod/account", {"auth": "readonly"})
        assert ask(driver, "{ myself { id } }").status == 200
        assert ask(driver, RENT, input={"name": "n", "gpuTypeId": L4, "bidPerGpu": 1.0}).status == 403


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("{ myself { id balance } }", 'Cannot query field "balance" on type "myself"'),
        ("{ myself }", "must have a selection"),
        ('mutation { podTerminate(input: {podId: "x"}) { id } }', "must not have a selection"),
        ("{ myself { id }", "Syntax Error"),
        ("query($x: Int!) { myself { id } }", 'Variable "$x" of required type'),
        ('mutation { podStop(input: {id: "x"}) { id } }', 'Field "id" is not defined by type "PodInput"'),
    ],
)
def test_what_does_not_fit_the_schema(query: str, told: str) -> None:
    with Driver() as driver:
        reply = ask(driver, query)
        assert reply.status == 400
        assert told in reply.json()["errors"][0]["message"]


@pytest.mark.parametrize("env", [[{"name": "A", "value": "b"}], [{"key": "A"}], ["A=b"]])
def test_an_environment_has_keys_and_values(env: list[Any]) -> None:
    with Driver() as driver:
        asked = {"name": "n", "gpuTypeId": L4, "imageName": "i", "bidPerGpu": 1.0, "env": env}
        assert ask(driver, RENT, input=asked).status == 400
        assert driver.pods() == []


def test_an_internal_error_is_a_200_too() -> None:
    with Driver() as driver:
        driver.fault("graphql_internal_error", count=1)
        broken = rent(driver)
        assert broken["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        assert broken["data"] == {"podRentInterruptable": None}
        assert driver.pods() == []


def test_faults_of_creates_hit_this_api_too() -> None:
    with Driver() as driver:
        driver.fault("create_then_500", count=1, name="no*")
        reply = ask(driver, RENT, input={"name": "node", "gpuTypeId": L4, "imageName": "i", "bidPerGpu": 1.0})
        assert reply.status == 500
        assert [pod["name"] for pod in driver.pods()] == ["node"]
        end = "mutation($input: PodTerminateInput!) { podTerminate(input: $input) }"
        answer = ask(driver, end, input={"podId": driver.pods()[0]["id"]}).json()
        assert answer == {"data": {"podTerminate": None}} and driver.pods() == []


def test_a_mounted_volume_can_not_be_deleted() -> None:
    with Driver() as driver:
        body = {"name": "v", "size": 10, "dataCenter": "EU-RO-1"}
        volume = driver.call("POST", "/v2/network-volumes", body).json()["id"]
        asked = {"networkVolumeId": volume, "volumeMountPath": "/weights"}
        pod = rented(driver, **asked)
        assert driver.pods()[0]["mounts"] == {"network": [{"volumeId": volume, "path": "/weights"}]}
        assert driver.call("DELETE", f"/v2/network-volumes/{volume}").status == 400
        driver.call("DELETE", f"/v2/pods/{pod}")
        assert driver.call("DELETE", f"/v2/network-volumes/{volume}").status == 204
        assert driver.control("GET", "runpod/state")["volumes"]["default"] == []


@given(st.text(max_size=60))
def test_the_parser_never_fails_otherwise(text: str) -> None:
    try:
        parse(text, {})
    except QueryError:
        return


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.from_regex(r"[a-z ]{0,9}", fullmatch=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + " ".join(map(_literal, value)) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    return (
        {True: "true", False: "false", None: "null"}[value]
        if not isinstance(value, int) or isinstance(value, bool)
        else str(value)
    )


@given(VALUES)
def test_a_value_is_the_same_as_literal_and_as_variable(value: Any) -> None:
    literal = parse(f"{{ pod(input: {_literal(value)}) {{ id }} }}", {})
    variable = parse("query q($v: Any) { pod(input: $v) { id } }", {"v": value})
    assert literal.fields[0].arguments == variable.fields[0].arguments == {"input": value}
