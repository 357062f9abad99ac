"""The provider of nodes, called as the host calls it, against a cloud in memory."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from dynamic_providers.gpu_node import GpuNodeProvider
from dynamic_providers.host.call import Call, as_current
from dynamic_providers.host.results import PartialState
from dynamic_providers.leak_guard import LeakGuardProvider
from gpu_clouds.errors import BillingError, CancelledError, GpuCloudError, ValidationError
from gpu_clouds.models import Candidate, InstanceState
from gpu_clouds.provisioning import ProvisioningError
from tests.unit.dynamic_providers.conftest import candidate, node
from tests.unit.dynamic_providers.memory_cloud import STACK, MemoryCloud

RTX = Candidate("runpod", "main", "EU-RO-1", "RTX4090")
NEVER = {"readiness": {"kind": "tcp", "port": 8000}, "ports": ["8000/tcp"], "provisionDeadlineS": 30}
"""The cloud in memory gives http addresses only, so this probe never has an answer."""


def made(provider: GpuNodeProvider, **more: Any) -> tuple[str, dict[str, Any]]:
    """A node that lives, in a run that is over."""
    result = provider.create(node(**more))
    provider.shared.run = type(provider.shared.run)(provider.shared.clock)
    assert result.outs is not None
    return result.id, result.outs


def test_the_pickled_provider_holds_nothing_but_its_class(provider: GpuNodeProvider):
    pickled = serialize_provider(GpuNodeProvider())
    assert len(pickled) < 120
    assert serialize_provider(provider) == pickled, "also after it was configured with keys"
    assert GpuNodeProvider.serialize_as_secret_always is False


def test_create(provider: GpuNodeProvider, cloud: MemoryCloud):
    result = provider.create({**node(), "__provider": "x"})
    assert result.id == "pod1"
    marker = cloud.sent[0].name
    assert marker.startswith(f"gp-p-{STACK}-chat-0-")
    assert result.outs == {
        **node(),
        "candidate": {
            "cloud": "runpod",
            "credentials": "main",
            "region": "EU-RO-1",
            "gpu": "RTX4090",
            "gpuCount": 1,
            "capacity": "on_demand",
        },
        "instanceId": "pod1",
        "marker": marker,
        "state": "READY",
        "cloud": "runpod",
        "region": "EU-RO-1",
        "gpu": "RTX4090",
        "gpuCount": 1,
        "hourlyUsd": 0.5,
        "endpoints": [{"port": 8000, "protocol": "http", "url": "https://pod1.example"}],
        "ssh": "",
    }


def test_create_refuses_a_price_above_the_cap(provider: GpuNodeProvider, cloud: MemoryCloud):
    with pytest.raises(ProvisioningError, match="above maxHourlyUsd"):
        provider.create(node(maxHourlyUsd=0.4))
    assert cloud.nodes == {}


def test_the_share_of_a_budget_is_a_cap(provider: GpuNodeProvider, cloud: MemoryCloud):
    with pytest.raises(ProvisioningError, match=r"above maxHourlyUsd 0\.450"):
        provider.create(node(budgetHourlyUsd=0.9, clusterNodes=2, maxHourlyUsd=3))
    assert cloud.nodes == {}


def test_preview_estimates_the_first_candidate_that_is_free(provider: GpuNodeProvider, cloud: MemoryCloud):
    cloud.sold_out = {"H100-SXM"}
    outs = provider.create_preview(node(candidates=[candidate("H100-SXM"), candidate()]))
    assert (outs["candidate"]["gpu"], outs["estimatedHourlyUsd"]) == ("RTX4090", 0.5)
    assert outs["estimatedMonthlyUsd"] == 365
    assert (outs["estimateSource"], outs["estimateDate"]) == ("catalogue", "2026-01-02")
    assert set(cloud.calls) == {"offers"}


def test_a_node_that_is_kept_is_held_by_the_state(provider: GpuNodeProvider, cloud: MemoryCloud):
    with pytest.raises(PartialState) as caught:
        provider.create(node(**NEVER, keepOnFailure=True))
    assert caught.value.id == "pod1"
    assert caught.value.outs["state"] == "RUNNING" and caught.value.outs["instanceId"] == "pod1"
    assert "not ready" in str(caught.value)
    assert list(cloud.nodes) == ["pod1"]

    outs = caught.value.outs
    provider.shared.run = type(provider.shared.run)(provider.shared.clock)
    good = node(ports=["8000/tcp"], provisionDeadlineS=30, keepOnFailure=True)
    result = provider.update("pod1", outs, good)
    assert result.outs is not None and result.outs["state"] == "READY"
    assert list(cloud.nodes) == ["pod1"] and cloud.calls.count("create") == 1


def test_a_node_that_is_not_kept_is_gone(provider: GpuNodeProvider, cloud: MemoryCloud):
    with pytest.raises(ProvisioningError) as caught:
        provider.create(node(**NEVER))
    assert cloud.nodes == {} and "pod1" in str(caught.value)


def test_cancel_cleans_up(provider: GpuNodeProvider, cloud: MemoryCloud):
    cancel = threading.Event()
    cancel.set()
    with as_current(Call(cancel=cancel, hosted=True)), pytest.raises(CancelledError):
        provider.create(node())
    assert cloud.nodes == {}


def test_custom_time_outs_limit_a_launch(provider: GpuNodeProvider, cloud: MemoryCloud):
    with (
        as_current(Call(timeout_s=45, hosted=True)),
        pytest.raises(ProvisioningError, match="not ready after 4"),
    ):
        provider.create(node(**{**NEVER, "provisionDeadlineS": 900}))


def test_custom_time_outs_limit_a_deadline_of_a_candidate(provider: GpuNodeProvider, cloud: MemoryCloud):
    slow = {**NEVER, "candidates": [candidate(provisionDeadlineS=900)]}
    with (
        as_current(Call(timeout_s=45, hosted=True)),
        pytest.raises(ProvisioningError, match="not ready after 4"),
    ):
        provider.create(node(**slow))


def test_a_deadline_of_a_candidate_replaces_nothing(provider: GpuNodeProvider, cloud: MemoryCloud):
    node_id, outs = made(provider)
    news = node(candidates=[candidate(provisionDeadlineS=900)])
    assert not provider.diff(node_id, outs, news).replaces
    cloud.calls.clear()
    new = provider.update(node_id, outs, news).outs
    assert new is not None and new["candidate"]["provisionDeadlineS"] == 900
    assert cloud.calls == []


def test_update_in_place(provider: GpuNodeProvider, cloud: MemoryCloud):
    node_id, outs = made(provider)
    cloud.calls.clear()
    result = provider.update(node_id, outs, node(image="vllm:2"))
    assert "update" in cloud.calls and "create" not in cloud.calls
    assert result.outs == {**outs, "image": "vllm:2"}


def test_bookkeeping_writes_and_reads_nothing(provider: GpuNodeProvider, cloud: MemoryCloud):
    node_id, outs = made(provider)
    cloud.calls.clear()
    news = node(maxHourlyUsd=2, candidates=[candidate("L4"), candidate()])
    result = provider.update(node_id, outs, news)
    assert result.outs == {**outs, **news}
    assert cloud.calls == []


def test_an_update_is_not_judged_by_a_cap_below_what_the_node_costs(
    provider: GpuNodeProvider, cloud: MemoryCloud
):
    node_id, outs = made(provider)
    result = provider.update(node_id, outs, node(image="vllm:2", maxHourlyUsd=0.1))
    assert result.outs is not None and result.outs["instanceId"] == node_id


def test_an_update_of_a_node_that_is_gone_makes_it_anew(provider: GpuNodeProvider, cloud: MemoryCloud):
    node_id, outs = made(provider)
    cloud.nodes.clear()
    result = provider.update(node_id, outs, node(image="vllm:2"))
    assert result.outs is not None
    new = result.outs["instanceId"]
    assert list(cloud.nodes) == [new]
    # The engine keeps the id of a resource through an update; what counts is the output.
    provider.shared.run = type(provider.shared.run)(provider.shared.clock)
    provider.delete("pod0", result.outs)
    assert cloud.nodes == {}


def test_a_failed_update_does_not_leave_a_ready_node_in_the_state(
    provider: GpuNodeProvider, cloud: MemoryCloud
):
    node_id, outs = made(provider)
    cloud.nodes.clear()
    cloud.errors["create"] = BillingError("no credit")
    with pytest.raises(PartialState) as caught:
        provider.update(node_id, outs, node(image="vllm:2"))
    assert caught.value.outs["state"] == "GONE"
    assert not provider.diff(node_id, caught.value.outs, node(image="vllm:2")).replaces
    assert provider.diff(node_id, caught.value.outs, node(image="vllm:2")).changes


def test_an_update_in_preview_only_looks_at_the_state(provider: GpuNodeProvider, cloud: MemoryCloud):
    node_id, outs = made(provider)
    cloud.calls.clear()
    known = provider.update_preview(node_id, outs, node(image="vllm:2"))
    assert known["hourlyUsd"] == 0.5 and "endpoints" not in known
    assert "endpoints" in provider.update_preview(node_id, outs, node(maxHourlyUsd=2))
    assert cloud.calls == []


@pytest.mark.parametrize("state", [InstanceState.GONE, InstanceState.DELETING])
def test_read_tells_that_a_node_is_gone(provider: GpuNodeProvider, cloud: MemoryCloud, state: InstanceState):
    node_id, outs = made(provider)
    cloud.nodes.pop(node_id)
    if state is InstanceState.DELETING:
        cloud.boots_to = state
        cloud.plant(outs["marker"], RTX)
    assert provider.read(node_id, outs).id == ""


def test_read_tells_drift(provider: GpuNodeProvider, cloud: MemoryCloud):
    node_id, outs = made(provider)
    cloud.nodes.clear()
    cloud.boots_to = InstanceState.STOPPED
    cloud.plant(outs["marker"], RTX, image="somebody:else")
    cloud.nodes[node_id] = cloud.nodes.pop("pod1")
    result = provider.read(node_id, {**outs, "__provider": "x"})
    assert result.outs is not None and result.inputs is not None
    assert (result.outs["state"], result.outs["image"]) == ("STOPPED", "somebody:else")
    assert result.inputs == {**node(), "image": "somebody:else"}
    assert set(provider.diff(node_id, result.outs, node()).detailed) == {"state", "image"}


def test_a_refresh_of_many_nodes_is_one_listing(provider: GpuNodeProvider, cloud: MemoryCloud):
    outs = [made(provider, node=f"chat-{n}")[1] for n in range(5)]
    cloud.calls.clear()
    for each in outs:
        provider.read(each["instanceId"], each)
    assert set(cloud.calls) == {"list"}


def test_import_finds_the_account_and_what_the_cloud_tells(provider: GpuNodeProvider, cloud: MemoryCloud):
    found = cloud.plant("made-by-hand", RTX, image="vllm:1")
    with as_current(Call(urn="urn:pulumi:t::p::pulumi-python:dynamic/gpu:GpuNode::chat-0", hosted=True)):
        result = provider.read(found.id, {})
    assert result.id == found.id and result.outs is not None
    assert result.outs["guard"] == STACK and result.outs["node"] == "chat-0"
    assert not provider.diff(found.id, result.outs, node(env={"A": "b"})).changes
    # From now on it is found by its id, never by a name that is not ours: a change makes no second one.
    updated = provider.update(found.id, result.outs, node(image="vllm:2"))
    assert updated.outs is not None and "imported" not in updated.outs
    assert list(cloud.nodes) == [found.id]
    provider.shared.run = type(provider.shared.run)(provider.shared.clock)
    again = provider.update(found.id, updated.outs, node(image="vllm:3"))
    assert list(cloud.nodes) == [found.id] and again.outs is not None
    provider.shared.run = type(provider.shared.run)(provider.shared.clock)
    provider.delete(found.id, again.outs)
    assert cloud.nodes == {}


def test_import_of_what_nobody_has(provider: GpuNodeProvider):
    assert provider.read("nothing", {}).id == ""


def test_adopting_a_named_node(provider: GpuNodeProvider, cloud: MemoryCloud):
    found = cloud.plant("made-by-hand", RTX)
    result = provider.create(node(adoptId=found.id))
    assert result.id == found.id and "create" not in cloud.calls


def test_delete_is_done_when_the_node_is_gone(provider: GpuNodeProvider, cloud: MemoryCloud):
    node_id, outs = made(provider)
    provider.delete(node_id, outs)
    assert cloud.nodes == {}
    provider.delete(node_id, outs)  # absent is success


def test_a_node_of_an_account_that_is_not_declared_any_more(provider: GpuNodeProvider):
    node_id, outs = made(provider)
    outs["candidate"]["credentials"] = "removed"
    with pytest.raises(ValidationError, match="credential set 'removed', which is not declared"):
        provider.delete(node_id, outs)


def test_only_a_new_stack_is_listed_once(
    provider: GpuNodeProvider, guard: LeakGuardProvider, cloud: MemoryCloud
):
    guard.create({"stackId": STACK, "credentials": ["main"], "nodes": ["chat-0"]})
    started = provider.shared.clock.monotonic()
    provider.create(node())
    assert provider.shared.clock.monotonic() - started < 5


def test_unknown_inputs_never_reach_a_create(provider: GpuNodeProvider):
    with pytest.raises(GpuCloudError, match="image"):
        provider.create(node(image=""))


def test_a_provider_that_was_not_configured_says_so():
    with pytest.raises(RuntimeError, match="configured"):
        GpuNodeProvider().delete("x", {"candidate": {"cloud": "runpod", "credentials": "m", "gpu": "L4"}})
