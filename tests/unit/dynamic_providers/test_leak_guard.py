"""The guard, called as the host calls it."""

from __future__ import annotations

from typing import Any

import pytest

from dynamic_providers.gpu_node import GpuNodeProvider
from dynamic_providers.leak_guard import LeakGuardProvider
from gpu_clouds.errors import AuthError, TransientError
from gpu_clouds.models import Candidate
from tests.unit.dynamic_providers.conftest import node, told
from tests.unit.dynamic_providers.memory_cloud import STACK, MemoryCloud, shared_with

RTX = Candidate("runpod", "main", "", "RTX4090")


def inputs(**more: Any) -> dict[str, Any]:
    return {"stackId": STACK, "credentials": ["main"], "nodes": ["chat-0"], **more}


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        ({"stackId": "Nope"}, "stackId", "8 lower-case letters or digits"),
        ({"stackId": ""}, "stackId", "gpuplane init"),
        ({"nodes": ["chat-0", "Chat"]}, "nodes[1]", "lower-case"),
        ({"nodes": ["a", "b", "a"]}, "nodes[2]", "declared twice"),
        ({"credentials": ["mian"]}, "credentials", "did you mean 'main'"),
        ({"credential": []}, "credential", "did you mean 'credentials'"),
    ],
)
def test_mistakes(guard: LeakGuardProvider, change: dict[str, Any], where: str, words: str):
    ((place, text),) = told(guard.check({}, inputs(**change)))
    assert place == where and words in text


def test_a_bad_account_is_named_before_any_node(guard: LeakGuardProvider, cloud: MemoryCloud):
    cloud.errors["account"] = AuthError("the key is refused")
    ((place, text),) = told(guard.check(inputs(), inputs()))
    assert place == "credentials" and "credential set 'main' of runpod can't be used (auth)" in text


def test_create_touches_no_cloud(guard: LeakGuardProvider, cloud: MemoryCloud):
    result = guard.create({**inputs(), "__provider": "x"})
    assert result.id == STACK and result.outs == {**inputs(), "orphans": []}
    assert guard.create_preview(inputs()) == {}
    assert cloud.calls == []


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"stackId": "othertst"}, ["stackId"]),
        ({"nodes": ["chat-0", "chat-1"]}, []),
        ({"credentials": ["main", "spare"]}, []),
    ],
)
def test_only_another_stack_is_another_guard(
    guard: LeakGuardProvider, change: dict[str, Any], replaces: list[str]
):
    found = guard.diff(STACK, {**inputs(), "orphans": [{"id": "x"}], "__provider": "y"}, inputs(**change))
    assert found.changes and found.replaces == replaces
    assert not guard.diff(STACK, {**inputs(), "orphans": [{"id": "x"}]}, inputs()).changes


def test_update_records_names_and_keeps_what_was_found(guard: LeakGuardProvider, cloud: MemoryCloud):
    news = inputs(nodes=["chat-0", "chat-1"])
    result = guard.update(STACK, {**inputs(), "orphans": [{"id": "x"}]}, {**news, "__provider": "y"})
    assert result.outs == {**news, "orphans": [{"id": "x"}]}
    assert cloud.calls == []


def test_read_reports_and_ends_nothing(
    guard: LeakGuardProvider, cloud: MemoryCloud, capsys: pytest.CaptureFixture[str]
):
    names = ["chat-0-00000001", "chat-0-00000002", "old-00000003"]
    for name in names:
        cloud.plant(f"gp-p-{STACK}-{name}", RTX)
    for other in (f"gp-o-{STACK}-x-00000004", "gp-p-othertst-y-00000005", "somebody"):
        cloud.plant(other, RTX)
    result = guard.read(STACK, {**inputs(), "orphans": []})
    assert result.outs is not None and result.inputs == inputs()
    assert [(each["id"], each["reason"]) for each in result.outs["orphans"]] == [
        ("pod1", "exists twice"),
        ("pod2", "exists twice"),
        ("pod3", "not declared"),
    ]
    assert "pod3" in capsys.readouterr().err
    assert len(cloud.nodes) == 6 and set(cloud.calls) == {"list"}


def test_a_long_list_is_folded(
    guard: LeakGuardProvider, cloud: MemoryCloud, capsys: pytest.CaptureFixture[str]
):
    for number in range(30):
        cloud.plant(f"gp-p-{STACK}-old-{number}-00000003", RTX)
    guard.read(STACK, inputs())
    assert len(capsys.readouterr().err.splitlines()) == 9


def test_a_cloud_that_can_not_be_read_is_an_error(guard: LeakGuardProvider, cloud: MemoryCloud):
    cloud.errors["list"] = TransientError("HTTP 503")
    with pytest.raises(TransientError):
        guard.read(STACK, inputs())


def test_delete_ends_this_stack_and_nothing_else(guard: LeakGuardProvider, cloud: MemoryCloud):
    for name in (
        f"gp-p-{STACK}-old-00000003",
        f"gp-o-{STACK}-x-00000004",
        "gp-p-othertst-y-00000005",
        "mine",
    ):
        cloud.plant(name, RTX)
    guard.delete(STACK, {**inputs(), "orphans": []})
    assert sorted(each.name for each in cloud.nodes.values()) == [
        f"gp-o-{STACK}-x-00000004",
        "gp-p-othertst-y-00000005",
        "mine",
    ]


def test_delete_looks_into_every_account(provider: GpuNodeProvider):
    one, two = MemoryCloud("main"), MemoryCloud("spare")
    guard = LeakGuardProvider()
    guard._shared = shared_with(one, two)
    two.plant(f"gp-p-{STACK}-old-00000003", RTX)
    guard.delete(STACK, inputs(credentials=["main", "spare"]))
    assert two.nodes == {}


def test_delete_spares_nothing_that_a_node_resource_held(
    guard: LeakGuardProvider, provider: GpuNodeProvider, cloud: MemoryCloud
):
    """In a run of its own, as a destroy after a lost state is."""
    provider.create(node())
    guard.shared.run = type(guard.shared.run)(guard.shared.clock)
    guard.delete(STACK, inputs())
    assert cloud.nodes == {}
