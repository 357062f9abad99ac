"""Requests, limits and probes."""

from __future__ import annotations

from typing import Any

import pytest

from policies.reading import UNKNOWN
from policies.workloads import look
from stack_config.policies import AdvisoryRule
from tests.policies.made import deployment, made

GOOD: dict[str, Any] = {
    "name": "web",
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
    "livenessProbe": {},
}


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({}, ""),
        ({"resources": UNKNOWN}, ""),
        ({"livenessProbe": None}, "a probe"),
        ({"livenessProbe": None, "readinessProbe": {}}, ""),
        ({"resources": {}}, "requests.cpu, requests.memory, limits.memory"),
        ({"resources": {**GOOD["resources"], "limits": {"cpu": "1"}}}, "limits.memory"),
    ],
)
def test_what_a_container_lacks_is_one_line(change: dict[str, Any], lacking: str) -> None:
    found = list(look(deployment({**GOOD, **change}), AdvisoryRule(), "none"))
    assert found == [f"has a container web without {lacking}"] * bool(lacking)


def test_only_what_answers_requests_needs_a_probe() -> None:
    container = {**GOOD, "livenessProbe": None}
    job = made("kubernetes:batch/v1:Job", spec={"template": {"spec": {"containers": [container]}}})
    assert not list(look(job, AdvisoryRule(), "none"))
    assert not list(look(deployment(GOOD, initContainers=[{"name": "first"}]), AdvisoryRule(), "none"))
