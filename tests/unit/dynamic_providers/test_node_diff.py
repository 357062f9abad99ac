"""What a change of inputs does to a living node."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamic_providers.host import sdk
from dynamic_providers.inputs import NodeInputs, RunFacts
from dynamic_providers.node_diff import node_diff
from dynamic_providers.node_outputs import imported, node_outputs
from gpu_clouds import runpod
from gpu_clouds.models import Candidate, Instance, InstanceState
from tests.unit.dynamic_providers.conftest import candidate, node

UPDATABLE = runpod.INFO.capabilities.updatable
WON = Candidate("runpod", "main", "EU-RO-1", "RTX4090")


def outputs(inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Outputs of a ready node that was made from these inputs."""
    seen = Instance(
        "pod1", "gp-p-teststck-chat-0-00000000", "runpod", InstanceState.READY, "RUNNING", "EU-RO-1"
    )
    return {
        **node_outputs(inputs or node(), WON, seen, ready=True, hourly_usd=0.5),
        "__provider": "a",
        **more,
    }


SAME, UPDATE, REPLACE = "same", "update", "replace"
CHANGES: list[tuple[dict[str, Any], str, str]] = [
    ({}, SAME, ""),
    ({"__provider": "another pickle"}, SAME, ""),
    ({"budgetHourlyUsd": 9.0, "clusterNodes": 3}, SAME, ""),
    ({"image": "vllm:2"}, UPDATE, "image"),
    ({"env": {"MODEL": "x"}}, UPDATE, "env"),
    ({"args": "--model x"}, UPDATE, "args"),
    ({"ports": ["8000/http", "22/tcp"]}, UPDATE, "ports[1]"),
    ({"diskGb": 80}, UPDATE, "diskGb"),
    ({"maxHourlyUsd": 2.0}, UPDATE, "maxHourlyUsd"),
    ({"keepOnFailure": True}, UPDATE, "keepOnFailure"),
    ({"readiness": {"kind": "http", "port": 8000}}, UPDATE, "readiness"),
    ({"expiresAt": "2030-01-01T00:00:00Z"}, UPDATE, "expiresAt"),
    ({"candidates": [candidate(), candidate("L4")]}, UPDATE, "candidates[1]"),
    ({"candidates": [candidate("L4"), candidate()]}, UPDATE, "candidates[0].gpu"),
    ({"candidates": [candidate() | {"credentials": "renamed"}]}, UPDATE, "candidates[0].credentials"),
    ({"order": "price"}, UPDATE, "order"),
    ({"adoptId": "pod1"}, UPDATE, "adoptId"),
    ({"adoptId": "pod2"}, REPLACE, "adoptId"),
    ({"candidates": [candidate("L4")]}, REPLACE, "candidates[0].gpu"),
    ({"candidates": [candidate(region="EU-SE-1")]}, REPLACE, "candidates[0].region"),
    ({"candidates": [candidate(gpuCount=2)]}, REPLACE, "candidates[0].gpuCount"),
    ({"volumeGb": 100}, REPLACE, "volumeGb"),
    ({"sshPublicKeys": ["ssh-ed25519 A"]}, REPLACE, "sshPublicKeys"),
    ({"startup": "x"}, REPLACE, "startup"),
    ({"replaceTrigger": "again"}, REPLACE, "replaceTrigger"),
    ({"node": "chat-1"}, REPLACE, "node"),
    ({"guard": "othertst"}, REPLACE, "guard"),
    ({"guard": sdk.unknown()}, REPLACE, "guard"),
    ({"image": sdk.unknown()}, UPDATE, "image"),
    ({"startup": sdk.unknown()}, UPDATE, "startup"),
    ({"candidates": sdk.unknown()}, UPDATE, "candidates"),
]


def what(found: dict[str, Any]) -> str:
    if not found:
        return SAME
    return REPLACE if any(kind.replaces for kind in found.values()) else UPDATE


@pytest.mark.parametrize(
    ("change", "expected", "path"), CHANGES, ids=[f"{c[1]}-{list(c[0])}" for c in CHANGES]
)
def test_changes(change: dict[str, Any], expected: str, path: str):
    found = node_diff(outputs(), node(**change), UPDATABLE)
    assert what(found) == expected, found
    assert not path or path in found


def test_every_template_field_replaces_where_the_cloud_can_change_nothing():
    for change in ({"image": "vllm:2"}, {"env": {"A": "b"}}, {"diskGb": 80}):
        assert what(node_diff(outputs(), node(**change), frozenset())) == REPLACE


@pytest.mark.parametrize("state", ["RUNNING", "FAILED", "STOPPED", "GONE"])
def test_a_node_that_is_not_ready_is_taken_up_again(state: str):
    assert list(node_diff(outputs(state=state), node(), UPDATABLE)) == ["state"]


def test_prices_and_addresses_are_no_change():
    moved = outputs(hourlyUsd=9.9, endpoints=[], ssh="x@y:1", estimatedHourlyUsd=3.3)
    assert node_diff(moved, node(), UPDATABLE) == {}


def test_a_drifted_image_is_set_again():
    assert list(node_diff(outputs(image="somebody:else"), node(), UPDATABLE)) == ["image"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([candidate()], SAME),
        ([candidate(region="eu-central")], SAME),
        ([candidate("L4"), candidate(region="")], SAME),
        ([candidate("L4")], REPLACE),
        ([candidate(region="us-east")], REPLACE),
    ],
)
def test_an_imported_node_fits_whatever_could_have_made_it(asked: list[dict[str, Any]], expected: str):
    seen = Instance(
        "pod9",
        "made-by-hand",
        "runpod",
        InstanceState.READY,
        "RUNNING",
        "EU-RO-1",
        "RTX4090",
        1,
        image="vllm:1",
    )
    outs = imported(seen, "main", "teststck", "chat-0")
    # The cloud tells neither environment nor disk: they are taken from the program without a change.
    found = node_diff(outs, node(candidates=asked, env={"A": "b"}, diskGb=80), UPDATABLE)
    assert what(found) == expected, found


TEXT = st.text("abc", max_size=2)
NODES = st.fixed_dictionaries(
    {
        "candidates": st.lists(
            st.builds(candidate, st.sampled_from(["RTX4090", "L4"])), min_size=1, max_size=3
        )
    },
    optional={
        "image": st.sampled_from(["vllm:1", "vllm:2"]),
        "env": st.dictionaries(TEXT, TEXT, max_size=2),
        "volumeGb": st.sampled_from([10, 20]),
        "replaceTrigger": TEXT,
        "startup": TEXT,
        "maxHourlyUsd": st.sampled_from([1.0, 2.0]),
    },
)


@given(NODES, NODES, st.data())
def test_it_replaces_exactly_when_the_marker_would_change(
    old: dict[str, Any], new: dict[str, Any], data: st.DataObject
):
    """The same rule as the one that decides which node is adopted, or a node would be lost or doubled."""
    before, after = (NodeInputs.model_validate(node(**each)) for each in (old, new))
    run = RunFacts(settle_s=60)
    won = data.draw(st.sampled_from(before.candidates)).candidate()
    seen = Instance("pod1", "x", "runpod", InstanceState.READY, "RUNNING")
    outs = node_outputs(before.as_props(), won, seen, ready=True, hourly_usd=None)
    marker = before.request(run).spec8(won, UPDATABLE)
    request = after.request(run)
    kept = marker in {request.spec8(c, UPDATABLE) for c in request.candidates}
    assert (what(node_diff(outs, after.as_props(), UPDATABLE)) != REPLACE) == kept
