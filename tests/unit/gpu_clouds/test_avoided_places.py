"""Launches keep away from places where a run has found bad machines, as long as there are others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds import catalog
from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Candidate, InstanceSpec, InstanceTemplate
from gpu_clouds.registry import CLOUDS
from tests.unit.gpu_clouds.harness import Net, answer, runpod
from tests.unit.gpu_clouds.lambda_harness import SPEC, data, lambda_cloud, ready_to_launch
from tests.unit.gpu_clouds.paperspace_harness import World, spec

GROUPS = ("us-east", "us-central", "us-west", "ca", "eu-central", "eu-north", "asia-pacific", "middle-east")


# SkyPilot's places are in no table, so there are no others to go to.
@given(st.sampled_from(sorted({*CLOUDS} - {"skypilot"})), st.sampled_from(("", *GROUPS)), st.data())
def test_places_without_those_to_avoid(cloud: str, region: str, drawn: st.DataObject) -> None:
    try:
        wanted = catalog.resolve_region(cloud, region)
    except ValidationError:
        return
    known = [own for group in GROUPS for own in _own(cloud, group)]
    avoid = drawn.draw(st.sets(st.sampled_from(known)))
    found = catalog.places(cloud, region, avoid)
    assert set(found) <= set(wanted or known)
    everything_is_bad = set(wanted or known) <= avoid
    if everything_is_bad:
        assert found == wanted
    else:
        assert not set(found) & avoid
        assert found == wanted if not avoid & set(wanted or known) else found


def _own(cloud: str, group: str) -> tuple[str, ...]:
    try:
        return catalog.resolve_region(cloud, group)
    except ValidationError:
        return ()


@pytest.mark.parametrize(
    ("region", "avoid", "centers"),
    [
        ("eu-central", {"EU-NL-1"}, ["EU-CZ-1", "EU-FR-1", "EU-RO-1"]),
        ("eu-central", {"US-GA-1"}, ["EU-CZ-1", "EU-NL-1", "EU-FR-1", "EU-RO-1"]),
        ("EU-RO-1", {"EU-RO-1"}, ["EU-RO-1"]),
        ("", set(), None),
    ],
)
def test_runpod(region: str, avoid: set[str], centers: list[str] | None) -> None:
    net = Net(answer(201, {"id": "p1", "name": "n", "status": "PROVISIONING"}))
    candidate = Candidate("runpod", "main", region, "RTX4090")
    launch = InstanceSpec("n", candidate, InstanceTemplate(image="i"), avoid_regions=frozenset(avoid))
    runpod(net).create(launch)
    assert json.loads(net.requests[-1].content).get("dataCenterIds") == centers


def test_runpod_anywhere_is_anywhere_else() -> None:
    net = Net(answer(201, {"id": "p1", "name": "n", "status": "PROVISIONING"}))
    candidate = Candidate("runpod", "main", "", "RTX4090")
    launch = InstanceSpec("n", candidate, InstanceTemplate(image="i"), avoid_regions=frozenset({"EU-RO-1"}))
    runpod(net).create(launch)
    centers = json.loads(net.requests[-1].content)["dataCenterIds"]
    assert "EU-RO-1" not in centers and {"EU-CZ-1", "US-GA-1", "AP-JP-1"} <= set(centers)


@pytest.mark.parametrize("region", ["us-east", ""])
def test_lambda(region: str) -> None:
    net = ready_to_launch(data({"instance_ids": ["i1"]}), regions=("us-east-1", "us-east-3"))
    launch = replace(
        SPEC, candidate=replace(SPEC.candidate, region=region), avoid_regions=frozenset({"us-east-1"})
    )
    lambda_cloud(net).create(launch)
    sent = [json.loads(r.content) for r in net.requests if r.url.path.endswith("/launch")]
    assert [body["region_name"] for body in sent] == ["us-east-3"]


def test_paperspace() -> None:
    launch = spec(candidate=Candidate("paperspace", "main", "", "RTX-A4000"))
    cloud = World().connect()
    assert cloud.create(launch).region == "ny2"
    assert cloud.create(replace(launch, avoid_regions=frozenset({"ny2"}))).region == "ca1"
