"""What is decided about EKS's pools without AWS."""

from __future__ import annotations

import pytest

from components.eks.autoscaler import CLUSTER_RULES, command
from components.eks.pools import CAPACITY, ami_type, template_tags
from components.eks.rules import image_of
from components.kubernetes_pools.plan import PoolPlan
from stack_config.kubernetes_clusters import EksPool
from tests.unit.components.kubernetes_pools.clusters import cluster, plans, stack

PREFIX = "k8s.io/cluster-autoscaler/node-template"


def one(pool: dict[str, object]) -> tuple[PoolPlan, EksPool]:
    made = cluster("eks", pool)
    found, problems = plans("eks", made)
    assert problems == []
    return found[0], stack("eks", made).eks_clusters["train"].pools["small"]


@pytest.mark.parametrize(
    ("pool", "image", "ami"),
    [
        ({}, "bottlerocket", "BOTTLEROCKET_x86_64_NVIDIA"),
        ({"image": "al2023"}, "al2023", "AL2023_x86_64_NVIDIA"),
        ({"gpu": "T4G"}, "al2023", "AL2023_ARM_64_NVIDIA"),
        ({"driver": "none"}, "al2023", "AL2023_x86_64_STANDARD"),
    ],
)
def test_images(pool, image, ami):
    plan, asked = one(pool)
    assert image_of(plan, asked) == image
    assert ami_type(plan, asked) == ami


def test_a_pool_at_zero_says_what_its_nodes_would_be():
    plan, _ = one({"gpu": "H200", "rdma": True, "zones": ["us-east-1a"]})
    assert template_tags(plan, [plan]) == {
        f"{PREFIX}/label/gpuplane/pool": "small",
        f"{PREFIX}/taint/nvidia.com/gpu": "present:NoSchedule",
        f"{PREFIX}/resources/nvidia.com/gpu": "8",
        f"{PREFIX}/resources/vpc.amazonaws.com/efa": "32",
    }


def test_every_way_of_renting_has_a_name():
    assert set(CAPACITY) == {"on_demand", "reserved", "spot", "block"}


def test_the_autoscaler_finds_the_groups_of_its_cluster_alone():
    assert "--node-group-auto-discovery=asg:tag=kubernetes.io/cluster/x=owned" in command("us-east-1", "x")


def test_the_autoscaler_may_do_nothing_with_everything():
    for _, resources, verbs in CLUSTER_RULES:
        assert "*" not in resources
        assert "*" not in verbs
        assert "secrets" not in resources
