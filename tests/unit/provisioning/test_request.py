"""Which change of a request means another node."""

from dataclasses import replace

import pytest

from gpu_clouds.marker import Marker
from gpu_clouds.models import CapacityType, InstanceTemplate
from gpu_clouds.readiness import Readiness
from tests.unit.provisioning.world import A100, H100, L40S, LAMBDA, RUNPOD, request

BASE = request()


@pytest.mark.parametrize(
    ("changed", "candidate"),
    [
        (replace(BASE, stack_id="zzzzzzzz"), H100),
        (replace(BASE, node="n1"), H100),
        (replace(BASE, replace_trigger="again"), H100),
        (BASE, A100),
        (BASE, replace(H100, region="us-west")),
        (BASE, replace(H100, gpu_count=2)),
        (BASE, replace(H100, capacity=CapacityType.SPOT)),
        (replace(BASE, template=replace(BASE.template, disk_gb=99)), H100),
        (replace(BASE, template=replace(BASE.template, ssh_public_keys=("k",))), H100),
    ],
)
def test_means_another_node(changed, candidate) -> None:
    assert changed.spec8(candidate, RUNPOD.updatable) != BASE.spec8(H100, RUNPOD.updatable)


@pytest.mark.parametrize(
    ("changed", "candidate"),
    [
        (replace(BASE, candidates=(A100, H100, L40S), order="price"), H100),
        (BASE, replace(H100, credentials="renamed")),
        (replace(BASE, template=replace(BASE.template, image="vllm:2", env={"A": "b"}, args="-x")), H100),
        (replace(BASE, keep_on_failure=True, max_hourly_usd=9.0, wait_for_capacity_min=5, settle_s=9), H100),
        (
            replace(BASE, readiness=Readiness("tcp", 8000), provision_deadline_s=5, first_listing_once=True),
            H100,
        ),
    ],
)
def test_means_the_same_node(changed, candidate) -> None:
    assert changed.spec8(candidate, RUNPOD.updatable) == BASE.spec8(H100, RUNPOD.updatable)


def test_what_one_cloud_changes_in_place_another_replaces() -> None:
    changed = replace(BASE, template=InstanceTemplate(image="vllm:2", ports=BASE.template.ports))
    assert changed.spec8(H100, RUNPOD.updatable) == BASE.spec8(H100, RUNPOD.updatable)
    assert changed.spec8(L40S, LAMBDA.updatable) != BASE.spec8(L40S, LAMBDA.updatable)


def test_the_hash_is_frozen() -> None:
    """Living nodes carry it: a change here would replace every one of them."""
    assert str(BASE.marker(H100, RUNPOD.updatable)) == "gp-p-abcd1234-n0-a951fb23"
    assert Marker.parse(BASE.spec(H100, RUNPOD.updatable).name) == BASE.marker(H100, RUNPOD.updatable)


def test_the_deadline_is_that_of_the_cloud_unless_asked_otherwise() -> None:
    assert BASE.deadline_s(H100, RUNPOD) == 900
    assert BASE.deadline_s(replace(H100, gpu_count=8), RUNPOD) == 1200
    assert replace(BASE, provision_deadline_s=5).deadline_s(H100, RUNPOD) == 5
