"""Nodes by bid, what an account can pay, and an end that the cloud keeps by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from dynamic_providers.accounts import open_account
from dynamic_providers.clouds import Shared
from dynamic_providers.gpu_node import GpuNodeProvider
from dynamic_providers.host.results import Kind
from gpu_clouds import runpod
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.models import AccountStatus, CapacityType, InstanceState
from gpu_clouds.run import Run
from stack_config import CredentialSource, Settings
from tests.unit.dynamic_providers.conftest import candidate, node, told
from tests.unit.dynamic_providers.memory_cloud import STACK, MemoryCloud, QuickClock

AT, LATER = "2099-01-31T18:00:00Z", "2099-02-28T18:00:00Z"


def opened(cloud: MemoryCloud) -> Callable[..., GpuCloud]:
    return lambda name, source, clock: cloud


@pytest.fixture
def by_bid(cloud: MemoryCloud) -> GpuNodeProvider:
    """A provider whose credential set has the old API switched on."""
    cloud.capabilities = runpod.INFO.with_features([runpod.GRAPHQL])
    source = CredentialSource(cloud="runpod", api_key=SecretStr("key"), features=("graphql",))
    made = GpuNodeProvider()
    made._shared = Shared({"main": source}, Settings(), STACK, QuickClock(), opened(cloud))
    return made


def spot(**more: Any) -> dict[str, Any]:
    return candidate(capacity="spot", **more)


def made_node(provider: GpuNodeProvider, **inputs: Any) -> tuple[str, dict[str, Any]]:
    checked = provider.check({}, node(**inputs))
    assert not checked.failures, checked.failures
    result = provider.create(checked.inputs)
    return result.id, known(result.outs)


def known(outs: dict[str, Any] | None) -> dict[str, Any]:
    assert outs is not None
    return outs


def test_without_the_feature_the_error_says_what_to_add(provider: GpuNodeProvider) -> None:
    ((place, text),) = told(provider.check({}, node(candidates=[spot()])))
    assert place == "candidates[0]"
    assert "add features: [graphql] to credential set 'main', or use capacity on_demand" in text


def test_the_feature_reaches_the_client() -> None:
    source = CredentialSource(cloud="runpod", api_key=SecretStr("key"), features=("graphql",))
    assert open_account("main", source).features == {runpod.GRAPHQL}


def test_a_node_by_bid(by_bid: GpuNodeProvider, cloud: MemoryCloud) -> None:
    _, outs = made_node(by_bid, candidates=[spot(bidPerGpuUsd=0.2)], maxHourlyUsd=1, expiresAt=AT)
    (spec,) = cloud.sent
    assert (spec.candidate.capacity, spec.candidate.bid_per_gpu_usd) == (CapacityType.SPOT, 0.2)
    assert spec.max_hourly_usd == 1
    assert spec.expires_at is not None and spec.expires_at.isoformat() == "2099-01-31T18:00:00+00:00"
    assert outs["candidate"]["bidPerGpuUsd"] == 0.2


def test_no_bid_no_trace_of_one(provider: GpuNodeProvider) -> None:
    _, outs = made_node(provider)
    assert "bidPerGpuUsd" not in outs["candidate"]


def test_a_bid_needs_spot(by_bid: GpuNodeProvider) -> None:
    ((_, text),) = told(by_bid.check({}, node(candidates=[candidate(bidPerGpuUsd=0.2)])))
    assert text == "a bid is for capacity spot, not on_demand: remove bidPerGpuUsd"
    assert by_bid.check({}, node(candidates=[spot(bidPerGpuUsd=0)])).failures


def test_another_bid_replaces_nothing(by_bid: GpuNodeProvider, cloud: MemoryCloud) -> None:
    node_id, outs = made_node(by_bid, candidates=[spot(bidPerGpuUsd=0.2)])
    news = by_bid.check(outs, node(candidates=[spot(bidPerGpuUsd=0.3)])).inputs
    found = by_bid.diff(node_id, outs, news).detailed
    assert set(found.values()) == {Kind.UPDATE}, found
    assert known(by_bid.update(node_id, outs, news).outs)["candidate"]["bidPerGpuUsd"] == 0.3
    assert cloud.calls.count("create") == 1


def test_a_node_that_was_taken_back_is_failed_and_made_anew(
    by_bid: GpuNodeProvider, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("dynamic_providers.gpu_node.progress", lambda text, **_: lines.append(text))
    node_id, outs = made_node(by_bid, candidates=[spot()])
    cloud.nodes[node_id] = replace(cloud.nodes[node_id], state=InstanceState.STOPPED, native_state="EXITED")
    read = known(by_bid.read(node_id, outs).outs)
    assert read["state"] == "FAILED"
    assert lines == [f"[chat-0] spot node {node_id} was taken back: the next up makes it anew"]
    news = by_bid.check(read, node(candidates=[spot()])).inputs
    assert by_bid.diff(node_id, read, news).detailed == {"state": Kind.UPDATE}
    by_bid.shared.run = Run(by_bid.shared.clock)  # the next up is another run
    again = known(by_bid.update(node_id, read, news).outs)
    assert again["state"] == "READY" and cloud.calls.count("create") == 2
    assert list(cloud.nodes) == [again["instanceId"]]


def test_a_stopped_node_on_demand_is_only_stopped(provider: GpuNodeProvider, cloud: MemoryCloud) -> None:
    node_id, outs = made_node(provider)
    cloud.nodes[node_id] = replace(cloud.nodes[node_id], state=InstanceState.STOPPED)
    assert known(provider.read(node_id, outs).outs)["state"] == "STOPPED"


MONEY: list[tuple[AccountStatus, str]] = [
    (
        AccountStatus(balance_usd=0.49),
        "has 0.49 USD left, and an hour of runpod EU-RO-1 RTX4090 x1 costs 0.50",
    ),
    (AccountStatus(balance_usd=0.5), ""),
    (
        AccountStatus(spend_hourly_usd=79.6, spend_limit_hourly_usd=80.0),
        "spends 79.60 of at most 80.00 USD/h",
    ),
    (AccountStatus(spend_hourly_usd=79.5, spend_limit_hourly_usd=80.0), ""),
    (AccountStatus(), ""),
]


@pytest.mark.parametrize(("status", "words"), MONEY, ids=range(len(MONEY)))
def test_what_the_account_can_pay(
    provider: GpuNodeProvider, cloud: MemoryCloud, status: AccountStatus, words: str
) -> None:
    cloud.status = status
    failures = told(provider.check({}, node()))
    assert len(failures) == bool(words)
    for place, text in failures:
        assert place == "candidates" and words in text


def test_a_living_node_needs_no_credit_for_a_change(provider: GpuNodeProvider, cloud: MemoryCloud) -> None:
    _, outs = made_node(provider)
    cloud.status = AccountStatus(balance_usd=0.1)
    assert provider.check(outs, node(env={"A": "b"})).failures == []


@pytest.mark.parametrize("told_at_launch", [True, False])
def test_an_end_that_the_cloud_keeps_is_told_when_it_moves(
    by_bid: GpuNodeProvider,
    provider: GpuNodeProvider,
    cloud: MemoryCloud,
    monkeypatch: pytest.MonkeyPatch,
    told_at_launch: bool,
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("dynamic_providers.gpu_node.progress", lambda text, **_: lines.append(text))
    used = by_bid if told_at_launch else provider
    if not told_at_launch:
        cloud.capabilities = runpod.INFO.capabilities
    node_id, outs = made_node(used, expiresAt=AT)
    news = used.check(outs, node(expiresAt=LATER)).inputs
    assert set(used.diff(node_id, outs, news).detailed.values()) == {Kind.UPDATE}
    used.update(node_id, outs, news)
    assert [AT in line and "all the same" in line for line in lines] == [True] * told_at_launch
