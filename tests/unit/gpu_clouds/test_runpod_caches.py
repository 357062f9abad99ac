"""RunPod's network volumes as weights caches."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gpu_clouds import errors
from gpu_clouds.models import CacheMount, CacheVolume, Candidate, CapacityType, InstanceSpec, InstanceTemplate
from gpu_clouds.registry import CLOUDS
from gpu_clouds.runpod.launch_bodies import graphql_body
from gpu_clouds.weights_cache import KeepsCaches
from tests.unit.gpu_clouds.harness import Net, answer, problem, runpod

VOLUME = {"id": "v1", "name": "gp-p-abcdefgh-cache-small-1a2b3c4d", "size": 200, "dataCenter": "EU-RO-1"}
CACHE = CacheVolume("v1", "gp-p-abcdefgh-cache-small-1a2b3c4d", "runpod", "EU-RO-1", 200)
SPEC = InstanceSpec(
    "gp-p-abcdefgh-n-12345678",
    Candidate("runpod", "main", "eu-central", "RTX4090"),
    InstanceTemplate(image="vllm:1"),
    cache=CacheMount(CACHE, "/weights"),
)


def test_a_pod_goes_to_its_cache_and_mounts_it() -> None:
    net = Net(answer(201, {"id": "p1", "status": "RUNNING"}))
    runpod(net).create(SPEC)
    body = json.loads(net.requests[0].content)
    assert body["dataCenterIds"] == ["EU-RO-1"]
    assert body["mounts"] == {"network": [{"volumeId": "v1", "path": "/weights"}]}


def test_through_the_old_api_too() -> None:
    spot = replace(SPEC, candidate=replace(SPEC.candidate, capacity=CapacityType.SPOT))
    body = graphql_body(spot, "NVIDIA GeForce RTX 4090", "EU-RO-1")
    assert (body["networkVolumeId"], body["volumeMountPath"]) == ("v1", "/weights")


def test_caches_are_volumes_by_their_name() -> None:
    net = Net(answer(200, {"networkVolumes": [VOLUME, VOLUME | {"id": "x", "name": "other"}]}))
    assert runpod(net).list_caches("gp-p-abcdefgh-cache-") == [CACHE]


def test_making_one() -> None:
    net = Net(answer(201, VOLUME))
    assert runpod(net).create_cache(CACHE.name, "EU-RO-1", 200) == CACHE
    assert json.loads(net.requests[0].content) == {"name": CACHE.name, "size": 200, "dataCenter": "EU-RO-1"}


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (problem(500, "x"), errors.AmbiguousError),
        (answer(201, {"name": "no id"}), errors.AmbiguousError),
        (problem(400, "data center has no network volumes"), errors.ValidationError),
    ],
)
def test_what_answers_to_a_create_mean(response: object, error: type[errors.GpuCloudError]) -> None:
    net = Net(response)
    with pytest.raises(error):
        runpod(net).create_cache(CACHE.name, "EU-RO-1", 200)
    assert len(net.requests) == 1  # sent once, whatever comes


def test_absent_is_success_when_one_ends() -> None:
    net = Net(problem(404, "resource not found"))
    runpod(net).delete_cache("v1")
    assert net.sent == ["DELETE /v2/network-volumes/v1"]


def test_the_flag_and_the_methods_agree() -> None:
    assert isinstance(runpod(Net()), KeepsCaches) and CLOUDS["runpod"].capabilities.weights_cache
    assert all(info.capabilities.weights_cache for info in CLOUDS.values() if info.cache_price)
