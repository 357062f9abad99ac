"""What a change of each input of a cluster does, and that its name on the server agrees."""

from __future__ import annotations

from typing import Any

import pytest

from dynamic_providers.host.sdk import unknown
from dynamic_providers.sky_pilot_diff import cluster_diff, needs_care
from dynamic_providers.sky_pilot_inputs import REPLACING, SkyPilotClusterInputs, split_accelerator

CHANGES: dict[str, tuple[Any, Any]] = {
    "credentials": ("main", "other"),
    "endpoint": ("https://a", "https://b"),
    "token": ("a", "b"),
    "user": ("a", "b"),
    "caFile": ("a", "b"),
    "allowInsecure": (False, True),
    "guard": ("teststck", "otherstk"),
    "node": ("a", "b"),
    "accelerators": (["H100:1"], ["H100:2"]),
    "infra": (["slurm"], ["slurm", "aws"]),
    "choose": ("any", "ordered"),
    "nodes": (1, 2),
    "instanceType": ("a", "b"),
    "cpus": ("4", "4+"),
    "memory": ("4", "8"),
    "diskGb": (100, 200),
    "diskTier": ("low", "best"),
    "ports": (["80"], ["80", "81"]),
    "image": ("docker:a", "docker:b"),
    "labels": ({"a": "1"}, {"a": "2"}),
    "spot": (False, True),
    "autostopMin": (5, 6),
    "autodown": (False, True),
    "whenStopped": ("start", "leave"),
    "setup": ("a", "b"),
    "run": ("a", "b"),
    "envs": ({"A": "1"}, {"A": "2"}),
    "secrets": ({"A": "1"}, {"A": "2"}),
    "workspace": ("a", "b"),
    "retryUntilUp": (False, True),
    "provisionDeadlineS": (60.0, 90.0),
    "keepOnFailure": (False, True),
    "maxHourlyUsd": (1.0, 2.0),
    "replaceTrigger": ("a", "b"),
}
"""Each input, and two values of it."""


def props(**more: Any) -> dict[str, Any]:
    given = {"node": "train", "guard": "teststck", "credentials": "main", **more}
    return SkyPilotClusterInputs.model_validate(given).as_props()


def test_no_input_is_forgotten():
    assert set(CHANGES) == {field.alias for field in SkyPilotClusterInputs.model_fields.values()}


@pytest.mark.parametrize("key", CHANGES)
def test_another_cluster_has_another_name(key: str):
    """What replaces is in the hash of the name, or a replacement would adopt what it replaces."""
    one, two = (props(**{key: value}) for value in CHANGES[key])
    found = cluster_diff(one, two)
    replaced = any(kind.replaces for kind in found.values())
    assert found and replaced == (key in REPLACING)
    specs = {SkyPilotClusterInputs.model_validate(each).spec() for each in (one, two)}
    assert (len(specs) == 2) == (replaced and key not in ("guard", "node"))
    assert cluster_diff(one, one) == {}


def test_fewer_ports_need_another_cluster():
    assert cluster_diff(props(ports=["80", "81"]), props(ports=["81"]))["ports[0]"].replaces
    assert not any(k.replaces for k in cluster_diff(props(ports=["81"]), props(ports=["80", "81"])).values())


def test_what_is_not_known_yet_is_decided_later_but_a_new_guard_is_not():
    news: dict[str, Any] = {**props(), "accelerators": unknown()}
    assert not any(kind.replaces for kind in cluster_diff(props(), news).values())
    news = {**props(), "guard": unknown()}
    assert cluster_diff(props(), news)["guard"].replaces


@pytest.mark.parametrize(
    ("state", "inputs", "care"),
    [
        ("READY", {}, False),
        ("", {}, False),
        ("RUNNING", {}, True),
        ("FAILED", {"whenStopped": "leave"}, True),
        ("REPLACED", {}, True),
        ("STOPPED", {}, True),
        ("STOPPED", {"autostopMin": 0}, False),
        ("STOPPING", {"autostopMin": 5}, False),
        ("STOPPED", {"autostopMin": 5, "whenStopped": "start"}, True),
        ("STOPPED", {"whenStopped": "leave"}, False),
    ],
)
def test_which_states_an_update_heals(state: str, inputs: dict[str, Any], care: bool):
    assert needs_care(state, props(**inputs)) is care
    model = SkyPilotClusterInputs.model_validate(props(**inputs))
    if state.startswith("STOP"):
        assert model.stopped_is_fine is not care


def test_a_job_that_was_never_started_is_a_difference():
    declared = props(run="a", setup="b")
    model = SkyPilotClusterInputs.model_validate(declared)
    ready = {**declared, "state": "READY"}
    assert cluster_diff(ready, declared).keys() == {"run", "setup"}
    assert cluster_diff({**ready, "jobName": model.job_name}, declared).keys() == {"setup"}
    done = {**ready, "jobName": model.job_name, "setupName": model.setup_name}
    assert cluster_diff(done, declared) == {}


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [("", "", 0), ("H100", "H100", 1), ("A100:8", "A100", 8), ("T4:0.5", "T4", 0.5)],
)
def test_accelerators(text: str, name: str, count: float):
    assert split_accelerator(text) == (name, count)
