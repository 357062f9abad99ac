"""Nodes that share a disk, and the guard that ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from dynamic_providers.cache_costs import cache_cost
from dynamic_providers.gpu_node import GpuNodeProvider
from dynamic_providers.host.results import Kind
from dynamic_providers.leak_guard import LeakGuardProvider
from gpu_clouds.errors import ConflictError, DeadlineError
from gpu_clouds.intents import IntentLog
from gpu_clouds.models import CacheVolume
from gpu_clouds.registry import CLOUDS
from gpu_clouds.weights_cache import cache_name
from tests.unit.dynamic_providers.conftest import candidate, node, told
from tests.unit.dynamic_providers.memory_cloud import STACK, MemoryCloud

CACHE = {"name": "small", "sizeGb": 200}
NAME = cache_name("p", STACK, "cache-small", "runpod", "EU-RO-1")


@dataclass
class CachingCloud(MemoryCloud):
    """A cloud that has disks too."""

    volumes: dict[str, CacheVolume] = field(default_factory=dict)

    def list_caches(self, name_prefix: str) -> Sequence[CacheVolume]:
        self._call("list_caches")
        return [v for v in self.volumes.values() if v.name.startswith(name_prefix)]

    def create_cache(self, name: str, region: str, size_gb: int) -> CacheVolume:
        self._call("create_cache")
        volume = CacheVolume(f"v{len(self.volumes) + 1}", name, self.name, region, size_gb)
        self.volumes[volume.id] = volume
        return volume

    def delete_cache(self, cache_id: str) -> None:
        self._call("delete_cache")
        self.volumes.pop(cache_id, None)

    def plant_cache(self, node_class: str, cache_id: str, region: str = "EU-RO-1") -> None:
        name = cache_name("p", STACK, f"cache-{node_class}", "runpod", region)
        self.volumes[cache_id] = CacheVolume(cache_id, name, "runpod", region, 100)


@pytest.fixture
def cloud() -> CachingCloud:
    return CachingCloud()


def made_node(provider: GpuNodeProvider, **inputs: Any) -> tuple[str, dict[str, Any]]:
    checked = provider.check({}, node(**inputs))
    assert not checked.failures, checked.failures
    result = provider.create(checked.inputs)
    assert result.outs is not None
    return result.id, result.outs


def guard_inputs(**caches: bool) -> dict[str, Any]:
    return {"stackId": STACK, "credentials": ["main"], "nodes": ["chat-0"], "caches": caches}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr("dynamic_providers.leak_guard.progress", lambda text, **_: found.append(text))
    return found


def test_nodes_share_a_cache(provider: GpuNodeProvider, cloud: CachingCloud) -> None:
    for name in ("chat-0", "chat-1"):
        made_node(provider, node=name, weightsCache=CACHE)
    assert cloud.volumes == {"v1": CacheVolume("v1", NAME, "runpod", "EU-RO-1", 200)}
    mounts = [spec.cache for spec in cloud.sent]
    assert all(mount and (mount.volume.id, mount.path) == ("v1", "/weights") for mount in mounts)


def test_a_region_becomes_its_places(provider: GpuNodeProvider) -> None:
    given = node(weightsCache=CACHE, candidates=[candidate(region="eu-central")])
    found = provider.check({}, given).inputs["candidates"]
    assert [c["region"] for c in found] == ["EU-CZ-1", "EU-NL-1", "EU-FR-1", "EU-RO-1"]
    new = [candidate(region="native:EU-NEW-1")]
    kept = provider.check({}, node(weightsCache=CACHE, candidates=new)).inputs["candidates"]
    assert [c["region"] for c in kept] == ["native:EU-NEW-1"]


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    (
        {"candidates": [candidate(region="")]},
        "candidates[0]",
        "is in one place: give this candidate a region",
    ),
    ({"volumeGb": 20}, "volumeGb", "not both"),
    ({"weightsCache": CACHE | {"sizeGb": 5}}, "weightsCache.sizeGb", "greater than or equal to 10"),
    ({"weightsCache": CACHE | {"path": "weights"}}, "weightsCache.path", "pattern"),
    ({"weightsCache": CACHE | {"name": "x" * 19}}, "weightsCache.name", "pattern"),
    ({"weightsCache": CACHE | {"keep": True}}, "weightsCache.keep", "unknown input"),
]


@pytest.mark.parametrize(("change", "place", "words"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_mistakes(provider: GpuNodeProvider, change: dict[str, Any], place: str, words: str) -> None:
    failures = told(provider.check({}, node(**{"weightsCache": CACHE, **change})))
    assert len(failures) == 1 and failures[0][0] == place and words in failures[0][1], failures


@pytest.mark.parametrize("name", [n for n, info in CLOUDS.items() if not info.capabilities.weights_cache])
def test_a_cloud_without_caches_is_refused(provider: GpuNodeProvider, name: str) -> None:
    from dynamic_providers.inputs import CandidateInput
    from dynamic_providers.node_check import _places
    from gpu_clouds.errors import ValidationError

    given = CandidateInput(cloud=name, credentials="main", gpu="A10", region="us-west")
    with pytest.raises(ValidationError, match="has no weights cache: remove weightsCache"):
        _places(given, [given])


CHANGES: list[tuple[dict[str, Any] | None, bool]] = [
    (CACHE | {"sizeGb": 400}, False),
    (CACHE | {"path": "/models"}, True),
    (CACHE | {"name": "other"}, True),
    (None, True),
]


@pytest.mark.parametrize(("cache", "replaces"), CHANGES, ids=["size", "path", "class", "removed"])
def test_what_a_change_of_the_cache_does(
    provider: GpuNodeProvider, cache: dict[str, Any] | None, replaces: bool
) -> None:
    node_id, outs = made_node(provider, weightsCache=CACHE)
    news = provider.check(outs, node(**({"weightsCache": cache} if cache else {}))).inputs
    kinds = set(provider.diff(node_id, outs, news).detailed.values())
    assert kinds and all("REPLACE" in kind.name for kind in kinds) == replaces, kinds
    if not replaces:
        assert kinds == {Kind.UPDATE}


def test_the_guard_ends_caches_after_the_nodes(
    provider: GpuNodeProvider, guard: LeakGuardProvider, cloud: CachingCloud, lines: list[str]
) -> None:
    made_node(provider, weightsCache=CACHE)
    cloud.plant_cache("gone", "v8")
    cloud.plant_cache("big", "v9")
    provider.shared.run._returned.clear()  # the destroy is another run
    guard.delete(STACK, guard_inputs(small=False, big=True))
    assert cloud.nodes == {} and list(cloud.volumes) == ["v9"]
    assert cloud.calls.index("delete") < cloud.calls.index("delete_cache")
    assert [line.split(" (")[0] for line in lines[-3:]] == [
        "ended weights cache v1",
        "ended weights cache v8",
        "weights cache v9",
    ]
    assert "stays and costs money" in lines[-1]


def test_a_destroy_waits_for_a_cache_that_a_killed_run_may_have_asked_for(
    guard: LeakGuardProvider, cloud: CachingCloud, lines: list[str]
) -> None:
    killed = IntentLog(STACK, None, guard.shared.clock)
    killed.open(NAME, "runpod")
    start = guard.shared.clock.monotonic()
    guard.delete(STACK, guard_inputs())
    assert guard.shared.clock.monotonic() - start >= guard.shared.settings.settle_s
    assert cloud.calls[-1] == "list_caches"  # after the wait


def test_a_cache_that_can_not_end_keeps_the_guard(guard: LeakGuardProvider, cloud: CachingCloud) -> None:
    cloud.plant_cache("small", "v1")
    cloud.errors["delete_cache"] = ConflictError("in use")
    with pytest.raises(DeadlineError, match=r"v1 .* in use"):
        guard.delete(STACK, guard_inputs(small=False))


def test_a_refresh_tells_caches_that_nobody_declares(
    guard: LeakGuardProvider, cloud: CachingCloud, lines: list[str]
) -> None:
    cloud.plant_cache("small", "v1")
    cloud.plant_cache("small", "v2")
    cloud.plant_cache("old", "v3")
    outs = guard.read(STACK, guard_inputs(small=False)).outs
    assert outs is not None
    assert [(o["id"], o["reason"]) for o in outs["orphans"]] == [
        ("v3", "not declared"),
        ("v2", "exists twice"),
    ]
    assert len(cloud.volumes) == 3 and "v3" in lines[0] and "costs money" in lines[0]


def test_the_guard_records_caches(guard: LeakGuardProvider) -> None:
    checked = guard.check({}, guard_inputs(small=False))
    assert checked.failures == [] and checked.inputs["caches"] == {"small": False}
    assert guard.check({}, guard_inputs(Bad_Name=False)).failures
    outs = guard.create(checked.inputs).outs
    assert outs is not None
    changed = guard.check(outs, guard_inputs(small=True)).inputs
    assert guard.diff(STACK, outs, changed).detailed == {"caches.small": Kind.UPDATE}


def test_what_a_preview_says_of_the_cost() -> None:
    line = cache_cost("small", 200, ["runpod", "runpod"], keep=False)
    assert line == (
        "weights cache of small: 200 GB, 14.00 USD/month on RunPod in each place that has a node "
        f"(RunPod's documentation, {date(2026, 11, 21)}); ends with the stack"
    )
    assert "; no price written down for Lambda; ends" in cache_cost(
        "small", 200, ["runpod", "lambda"], keep=False
    )
    assert cache_cost("small", 200, ["runpod"], keep=True).endswith("; stays when the stack is destroyed")
