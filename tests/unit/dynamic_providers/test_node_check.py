"""What is wrong with a node's inputs, and what check makes of those that are right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamic_providers.gpu_node import GpuNodeProvider
from dynamic_providers.host import sdk
from gpu_clouds.errors import AuthError, TransientError
from gpu_clouds.models import AccountStatus
from tests.unit.dynamic_providers.conftest import candidate, node, told
from tests.unit.dynamic_providers.memory_cloud import MemoryCloud, shared_with

PAST = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"candidates": [candidate("RTX4900")]}, "candidates[0]", "RTX4090"),
    ({"candidates": [candidate(), candidate("A10")]}, "candidates[1]", "RunPod has no GPU A10; it has: "),
    ({"candidates": [candidate(region="EU-R0-1")]}, "candidates[0]", "EU-RO-1"),
    ({"candidates": [candidate(region="middle-east")]}, "candidates[0]", "middle-east"),
    ({"candidates": [candidate(capacity="spot")]}, "candidates[0]", "rents no spot nodes"),
    ({"candidates": [candidate(capacity="block")]}, "candidates[0]", "rents no block nodes"),
    ({"candidates": [candidate(credentials="mian")]}, "candidates[0]", "did you mean 'main'?"),
    ({"candidates": [candidate() | {"cloud": "runpot"}]}, "candidates[0]", "nearest: runpod"),
    ({"candidates": [candidate(gpuCount=0)]}, "candidates[0].gpuCount", "greater than or equal to 1"),
    ({"candidates": []}, "candidates", "at least 1"),
    ({"maxHourlyUsd": 0.4}, "maxHourlyUsd", "costs 0.50 USD/h, above the cap of 0.40"),
    (
        {"maxHourlyUsd": 1, "candidates": [candidate(), candidate("H100-SXM")]},
        "maxHourlyUsd",
        "H100-SXM x1 costs 4.00 USD/h",
    ),
    ({"budgetHourlyUsd": 1.4, "clusterNodes": 3}, "budgetHourlyUsd", "3 node(s)"),
    ({"maxHourlyUsd": -1}, "maxHourlyUsd", "greater than 0"),
    ({"image": ""}, "image", "give an image"),
    ({"templateId": "tpl"}, "image", "not both"),
    ({"ports": ["8000"]}, "ports[0]", "8000/http"),
    ({"ports": ["70000/http"]}, "ports[0]", "8000/http"),
    ({"readiness": {"kind": "http", "port": 9}}, "readiness.port", "9/http is not one of ports (8000/http)"),
    ({"readiness": {"kind": "htp", "port": 8000}}, "readiness.kind", "'none', 'http', 'tcp' or 'command'"),
    ({"node": "Chat_0"}, "node", "lower-case"),
    ({"node": "x" * 25}, "node", "at most 24"),
    ({"guard": "short"}, "guard", "8 lower-case letters or digits"),
    ({"guard": ""}, "guard", "is required"),
    ({"expiresAt": PAST}, "expiresAt", "has passed"),
    ({"expiresAt": "tomorrow"}, "expiresAt", "datetime"),
    ({"imagge": "x"}, "imagge", "unknown input; did you mean 'image'?"),
    ({"diskGb": 0}, "diskGb", "greater than or equal to 1"),
]


@pytest.mark.parametrize(
    ("change", "where", "words"), MISTAKES, ids=[f"{m[1]}-{m[2][:12]}" for m in MISTAKES]
)
def test_mistakes(provider: GpuNodeProvider, change: dict[str, Any], where: str, words: str):
    ((place, text),) = told(provider.check({}, node(**change)))
    assert place == where and words in text
    assert "\n" not in text


def test_no_mistake_writes_to_the_cloud(provider: GpuNodeProvider, cloud: MemoryCloud):
    for change, _, _ in MISTAKES:
        provider.check({}, node(**change))
    assert set(cloud.calls) <= {"account", "offers"}
    assert cloud.calls.count("account") == 1


def test_the_inputs_are_normalised(provider: GpuNodeProvider):
    given_inputs = node(
        diskGb=50.0, order="listed", candidates=[candidate("rtx 4090", gpuCount=1.0)], keepOnFailure=False
    )
    result = provider.check({}, {**given_inputs, "__provider": "x"})
    assert result.failures == []
    assert result.inputs == node()
    assert provider.check({}, result.inputs).inputs == result.inputs


def test_an_ambiguous_name_becomes_several_candidates(provider: GpuNodeProvider):
    result = provider.check({}, node(candidates=[candidate("H100"), candidate()]))
    gpus = [each["gpu"] for each in result.inputs["candidates"]]
    assert gpus == ["H100-SXM", "H100-NVL", "H100-PCIe", "RTX4090"]


def test_a_bad_account_is_named_and_read_once(provider: GpuNodeProvider, cloud: MemoryCloud):
    cloud.errors["account"] = AuthError("the key is refused")
    for name in ("chat-0", "chat-1"):
        ((_, text),) = told(provider.check({}, node(node=name)))
        assert text == "credential set 'main' of runpod can't be used (auth): the key is refused"
    assert cloud.calls == ["account"]


def test_an_account_that_can_not_be_read_now_is_no_mistake(
    provider: GpuNodeProvider, cloud: MemoryCloud, capsys: pytest.CaptureFixture[str]
):
    cloud.errors["account"] = TransientError("HTTP 503")
    assert provider.check({}, node()).failures == []
    assert "could not be checked now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (AccountStatus(balance_usd=0.0), "balance of 0.00 USD"),
        (AccountStatus(machine_limit=3, machines_in_use=3), "3 of 3 allowed machines"),
    ],
)
def test_limits_of_the_account(
    provider: GpuNodeProvider, cloud: MemoryCloud, status: AccountStatus, words: str
):
    cloud.status = status
    ((_, text),) = told(provider.check({}, node()))
    assert words in text
    # A node that lives needs no further room.
    assert provider.check(node(), node(replaceTrigger="x")).failures == []


def test_an_unchanged_node_costs_no_call(provider: GpuNodeProvider, cloud: MemoryCloud):
    inputs = provider.check({}, node(maxHourlyUsd=0.6)).inputs
    cloud.calls.clear()
    cloud.prices["RTX4090"] = 9.0
    assert provider.check({**inputs, "__provider": "x"}, {**node(maxHourlyUsd=0.6)}).failures == []
    assert cloud.calls == []


def test_prices_fall_back_to_the_list(provider: GpuNodeProvider, cloud: MemoryCloud):
    cloud.errors["offers"] = TransientError("HTTP 503")
    ((place, text),) = told(provider.check({}, node(candidates=[candidate("H100-SXM")], maxHourlyUsd=2)))
    assert place == "maxHourlyUsd" and "costs 3.99 USD/h" in text


@given(st.sets(st.sampled_from(["guard", "image", "env", "args", "readiness", "candidates", "diskGb"])))
def test_what_is_not_known_yet_is_accepted_and_kept(unknown: set[str]):
    provider = GpuNodeProvider()
    provider._shared = shared_with(MemoryCloud())
    props = {**node(), **{key: sdk.unknown() for key in unknown}}
    if "env" in unknown:
        props["env"] = {"TOKEN": sdk.unknown(), "MODEL": "x"}
    result = provider.check({}, props)
    assert result.failures == []
    assert result.inputs == props


def test_what_is_known_is_still_checked(provider: GpuNodeProvider):
    props = node(image=sdk.unknown(), candidates=[candidate("RTX4900")])
    ((place, _),) = told(provider.check({}, props))
    assert place == "candidates[0]"
