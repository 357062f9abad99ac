"""RunPod's old API, with a network that is a function."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from gpu_clouds import errors, runpod
from gpu_clouds.models import (
    Availability,
    Candidate,
    CapacityType,
    InstanceSpec,
    InstanceState,
    InstanceTemplate,
)
from gpu_clouds.runpod.cloud import RunPodCloud
from tests.unit.gpu_clouds.harness import Net, answer, connection

SPOT = Candidate("runpod", "main", "EU-RO-1", "RTX4090", 2, CapacityType.SPOT)
ON_DEMAND = replace(SPOT, capacity=CapacityType.ON_DEMAND)
SECRET = "canary-" + "value-of-env"
TEMPLATE = InstanceTemplate(
    image="vllm:1", ports=("8000/http", "22/tcp"), env={"TOKEN": SECRET}, args="--model x", disk_gb=80
)
NO_CAPACITY = "There are no longer any instances available with the request specifications."
AT = datetime(2027, 1, 31, 19, 0, tzinfo=timezone(timedelta(hours=1)))


def with_old_api(net: Any, **options: Any) -> RunPodCloud:
    opened = connection(**options)
    credentials = replace(opened.credentials, features=frozenset({runpod.GRAPHQL}))
    return RunPodCloud(replace(opened, credentials=credentials), httpx.MockTransport(net))


def data(field: str, value: Any) -> httpx.Response:
    return answer(200, {"data": {field: value}})


def refused(field: str, message: str, code: str = "RUNPOD") -> httpx.Response:
    error = {"message": message, "path": [field], "extensions": {"code": code}}
    return answer(200, {"errors": [error], "data": {field: None}})


def made(pod_id: str = "p1", field: str = "podRentInterruptable") -> httpx.Response:
    return data(field, {"id": pod_id, "desiredStatus": "RUNNING", "costPerHr": 0.4})


def price(least: float | None, stock: str | None = "High") -> httpx.Response:
    return data("gpuTypes", [{"lowestPrice": {"minimumBidPrice": least, "stockStatus": stock}}])


def spec(candidate: Candidate = SPOT, **more: Any) -> InstanceSpec:
    return InstanceSpec("gp-p-abcdefgh-n-12345678", candidate, TEMPLATE, **more)


def sent(net: Net, number: int = -1) -> dict[str, Any]:
    body = json.loads(net.requests[number].content)
    given: dict[str, Any] = body["variables"].get("input", body["variables"])
    return given


def test_a_launch_by_bid_sends_the_least_bid_and_the_whole_node() -> None:
    net = Net(price(0.2), made())
    instance = with_old_api(net).create(spec())
    assert net.sent == ["POST /graphql", "POST /graphql"]
    assert sent(net) == {
        "name": "gp-p-abcdefgh-n-12345678",
        "cloudType": "SECURE",
        "gpuTypeId": "NVIDIA GeForce RTX 4090",
        "gpuCount": 2,
        "containerDiskInGb": 80,
        "volumeInGb": 0,
        "imageName": "vllm:1",
        "dataCenterId": "EU-RO-1",
        "ports": "8000/http,22/tcp",
        "dockerArgs": "--model x",
        "env": [{"key": "TOKEN", "value": SECRET}],
        "bidPerGpu": 0.2,
    }
    assert (instance.id, instance.state, instance.hourly_usd) == ("p1", InstanceState.PENDING, 0.4)
    assert instance.name == "gp-p-abcdefgh-n-12345678"


def test_a_bid_that_was_given_is_sent_as_it_is() -> None:
    net = Net(made())
    with_old_api(net).create(spec(replace(SPOT, bid_per_gpu_usd=0.33)))
    assert sent(net)["bidPerGpu"] == 0.33


@pytest.mark.parametrize("bid", [None, 0.3])
def test_no_bid_goes_above_the_cap(bid: float | None) -> None:
    net = Net(*([price(0.3)] if bid is None else []))
    with pytest.raises(errors.PriceCapExceededError, match=r"0\.600 USD/h is above maxHourlyUsd 0\.500"):
        with_old_api(net).create(spec(replace(SPOT, bid_per_gpu_usd=bid), max_hourly_usd=0.5))


def test_an_end_at_a_set_time_goes_with_the_launch() -> None:
    net = Net(made(field="podFindAndDeployOnDemand"))
    with_old_api(net).create(spec(ON_DEMAND, expires_at=AT))
    assert sent(net)["terminateAfter"] == "2027-01-31T18:00:00Z"
    assert "bidPerGpu" not in sent(net)


def test_what_rest_can_do_goes_through_rest() -> None:
    net = Net(answer(201, {"id": "p1", "status": "RUNNING"}))
    with_old_api(net).create(spec(ON_DEMAND))
    assert net.sent == ["POST /v2/pods"]


def test_without_the_feature_nothing_changes() -> None:
    cloud = RunPodCloud(connection(), httpx.MockTransport(Net()))
    assert not cloud.capabilities.spot and not cloud.capabilities.ttl
    assert cloud.offers([SPOT]) == []
    with pytest.raises(errors.ValidationError, match="use on_demand"):
        cloud.create(spec())
    assert with_old_api(Net()).capabilities.spot and with_old_api(Net()).capabilities.ttl


def test_data_centres_are_tried_one_by_one() -> None:
    region = replace(SPOT, region="eu-central", bid_per_gpu_usd=0.3)
    net = Net(refused("podRentInterruptable", NO_CAPACITY), data("podRentInterruptable", None), made("p3"))
    assert with_old_api(net).create(spec(region)).id == "p3"
    places = [sent(net, number)["dataCenterId"] for number in range(3)]
    assert places == ["EU-CZ-1", "EU-NL-1", "EU-FR-1"]


def test_nothing_more_is_sent_after_an_answer_that_says_nothing() -> None:
    region = replace(SPOT, region="eu-central", bid_per_gpu_usd=0.3)
    net = Net(refused("podRentInterruptable", "Something went wrong.", "INTERNAL_SERVER_ERROR"))
    with pytest.raises(errors.AmbiguousError):
        with_old_api(net).create(spec(region))
    assert len(net.requests) == 1


ANSWERS: list[tuple[httpx.Response, type[errors.GpuCloudError]]] = [
    (refused("podRentInterruptable", NO_CAPACITY), errors.CapacityError),
    (
        refused("podRentInterruptable", "No longer any instances with enough disk space."),
        errors.CapacityError,
    ),
    (data("podRentInterruptable", None), errors.CapacityError),
    (refused("podRentInterruptable", "Your balance is too low"), errors.BillingError),
    (refused("podRentInterruptable", "spend limit would be exceeded"), errors.QuotaError),
    (refused("podRentInterruptable", "port is not valid"), errors.ValidationError),
    (refused("podRentInterruptable", "?", "NEW_CODE"), errors.AmbiguousError),
    (answer(200, {"data": {}}), errors.AmbiguousError),
    (answer(200, {"data": None}), errors.AmbiguousError),
    (answer(200, ["odd"]), errors.AmbiguousError),
    (data("podRentInterruptable", {"name": "no id"}), errors.AmbiguousError),
    (answer(500, {"errors": [{"message": "broken"}]}), errors.AmbiguousError),
    (answer(400, {"errors": [{"message": 'Cannot query field "x"'}]}), errors.ValidationError),
    (answer(401), errors.AuthError),
    (answer(410), errors.RetiredError),
]


@pytest.mark.parametrize(("response", "error"), ANSWERS)
def test_what_the_answers_to_a_launch_mean(
    response: httpx.Response, error: type[errors.GpuCloudError]
) -> None:
    with pytest.raises(errors.GpuCloudError) as caught:
        with_old_api(Net(response)).create(spec(replace(SPOT, bid_per_gpu_usd=0.3)))
    assert type(caught.value) is error
    assert "'main'" in caught.value.message


def test_a_rule_that_is_broken_counts_as_a_bad_request() -> None:
    with pytest.raises(errors.ValidationError) as caught:
        with_old_api(Net(refused("podRentInterruptable", "port is not valid"))).create(
            spec(replace(SPOT, bid_per_gpu_usd=0.3))
        )
    assert caught.value.status == 400  # so the next candidate is tried, and "all of them" is told apart


def test_a_pod_that_was_made_is_held_whatever_else_went_wrong() -> None:
    pod = {"id": "p1", "desiredStatus": "RUNNING", "costPerHr": None}
    errors_too = {"errors": [{"message": "costPerHr", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}
    net = Net(answer(200, {**errors_too, "data": {"podRentInterruptable": pod}}))
    assert with_old_api(net).create(spec(replace(SPOT, bid_per_gpu_usd=0.3))).id == "p1"


def test_no_error_carries_the_environment() -> None:
    net = Net(refused("podRentInterruptable", f"env TOKEN={SECRET} is odd"))
    with pytest.raises(errors.ValidationError) as caught:
        with_old_api(net).create(spec(replace(SPOT, bid_per_gpu_usd=0.3)))
    assert SECRET not in str(caught.value) + repr(caught.value)


def test_a_retired_api_says_what_to_change_and_is_asked_once() -> None:
    net = Net(answer(200, {"pods": []}), answer(410))
    with pytest.raises(errors.RetiredError) as caught:
        with_old_api(net).account()
    assert "remove 'graphql' from the features of credential set 'main'" in caught.value.message
    assert len(net.requests) == 2


def test_the_account_shows_its_money() -> None:
    me = {"clientBalance": 12.5, "currentSpendPerHr": 1.5, "spendLimit": 80}
    status = with_old_api(Net(answer(200, {"pods": [{"id": "a"}]}), data("myself", me))).account()
    assert (status.balance_usd, status.spend_hourly_usd, status.spend_limit_hourly_usd) == (12.5, 1.5, 80.0)
    assert status.machines_in_use == 1


@pytest.mark.parametrize(
    ("bid", "least", "stock", "hourly", "free"),
    [
        (None, 0.2, "Medium", 0.4, Availability.MEDIUM),
        (0.3, 0.2, "Low", 0.6, Availability.LOW),
        (0.1, 0.2, "High", 0.2, Availability.NONE),
        (0.3, None, None, 0.6, Availability.NONE),
    ],
)
def test_offers(
    bid: float | None, least: float | None, stock: str | None, hourly: float, free: Availability
) -> None:
    (offer,) = with_old_api(Net(price(least, stock))).offers([replace(SPOT, bid_per_gpu_usd=bid)])
    assert (offer.hourly_usd, offer.availability) == (hourly, free)
    assert offer.as_of <= datetime.now(UTC)


def test_no_price_is_no_offer_and_no_launch() -> None:
    assert with_old_api(Net(price(None, None))).offers([SPOT]) == []
    assert with_old_api(Net(data("gpuTypes", []))).offers([SPOT]) == []
    with pytest.raises(errors.CapacityError, match="names no minimum bid for RTX4090 x2 in EU-RO-1"):
        with_old_api(Net(price(None, None))).create(spec())


def test_prices_are_asked_once_for_equal_nodes() -> None:
    net = Net(price(0.2), made("a"), made("b"))
    cloud = with_old_api(net)
    assert {cloud.create(spec()).id, cloud.create(spec()).id} == {"a", "b"}
    assert cloud.offers([SPOT])[0].hourly_usd == 0.4
