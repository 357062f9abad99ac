"""Deliberately wrong pools: each is refused by one line that says where and why."""

from __future__ import annotations

import pytest

from tests.unit.components.kubernetes_pools.clusters import RESERVATIONS, Wrong, cluster, ids, plans, refusal

AUTO = {"nodeAutoProvisioning": True}
BLOCK = {"capacity": "block", "reservation": "cr-0123456789abcdef0", "zones": ["us-east-1a"]}
EXISTING_EKS = {"name": "old", "subnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]}
EXISTING_AKS = {"name": "old", "resourceGroup": "old"}

WRONG: list[Wrong] = [
    # A machine or GPU that does not exist, or not here.
    ("eks", {}, {"gpu": None, "shape": "p5.48xlarg"}, ".shape", "no GPU machine 'p5.48xlarg'", "p5.48xlarge"),
    ("eks", {}, {"gpu": None, "shape": "m7i.large"}, ".shape", "no GPU machine", ""),
    ("gke", {}, {"gpu": None, "shape": "a3-highgpu-9g"}, ".shape", "GKE has no GPU machine", "a3-highgpu-8g"),
    (
        "aks",
        {},
        {"gpu": None, "shape": "Standard_NC41ads_H100_v5"},
        ".shape",
        "AKS has no GPU machine",
        "Standard_NC40ads_H100_v5",
    ),
    ("eks", {}, {"gpu": "H1000"}, ".gpu", "GPU 'H1000' is unknown", "H100-SXM"),
    ("eks", {}, {"gpu": "RTX4090"}, ".gpu", "EKS has no machine with RTX4090", ""),
    ("aks", {}, {"gpu": "L4"}, ".gpu", "AKS has no machine with L4", ""),
    ("eks", {}, {"gpu": "H100", "gpuCount": 3}, ".gpuCount", "no machine of EKS has 3 H100", "1"),
    ("gke", {}, {"gpu": "L4", "gpuCount": 3}, ".gpuCount", "no machine of GKE has 3 L4", "2"),
    (
        "eks",
        {},
        {"gpu": None, "shape": "p5.48xlarge", "gpuCount": 4},
        ".gpuCount",
        "has 8 H100-SXM, not 4",
        "8",
    ),
    ("eks", {}, {"shape": "g6.xlarge"}, "", "has gpu and shape", ""),
    ("eks", {}, {"gpu": None}, "", "has neither gpu nor shape", ""),
    ("eks", {}, {"gpu": "RTX-PRO-4500"}, ".gpu", "EKS has no GPU image for g7.2xlarge", ""),
    # A way of renting that the cloud does not sell, at all or for this machine.
    ("eks", {}, {"capacity": "flex"}, ".capacity", "flex is Google's: AWS does not sell it", "on_demand"),
    ("gke", {}, {"capacity": "block", "reservation": "r"}, ".capacity", "block is AWS's", "on_demand"),
    (
        "aks",
        {},
        {"capacity": "block", "reservation": "r"},
        ".capacity",
        "Azure does not sell it",
        "on_demand",
    ),
    ("aks", {}, {"capacity": "flex"}, ".capacity", "Azure does not sell it", "on_demand"),
    ("eks", {}, BLOCK, ".capacity", "EKS does not sell L4 as asked for here as block", "on_demand"),
    ("gke", {}, {"gpu": "H200"}, ".capacity", "does not sell a3-ultragpu-8g as on_demand", "spot"),
    (
        "gke",
        {},
        {"gpu": "H100", "gpuCount": 1},
        ".capacity",
        "does not sell a3-highgpu-1g as on_demand",
        "spot",
    ),
    ("gke", {}, {"gpu": "B200"}, ".capacity", "does not sell a4-highgpu-8g as on_demand", "spot"),
    ("eks", {}, {"gpu": "GB200"}, ".capacity", "does not sell p6e-gb200.36xlarge as on_demand", "block"),
    ("eks", {}, {"capacity": "preemptible"}, ".capacity", "is not a valid value", ""),
    # Reservations.
    (
        "eks",
        {},
        {"capacity": "reserved", "zones": ["us-east-1a"]},
        ".reservation",
        "is required for capacity reserved",
        "",
    ),
    (
        "eks",
        {},
        {"reservation": "cr-0123456789abcdef0"},
        ".reservation",
        "is not used with capacity on_demand",
        "",
    ),
    (
        "eks",
        {},
        {**BLOCK, "gpu": "H100", "reservation": "my-block"},
        ".reservation",
        "is not the id of a capacity",
        "",
    ),
    (
        "eks",
        {},
        {**BLOCK, "gpu": "H100", "zones": None},
        ".zones",
        "a capacity reservation is in one zone",
        "",
    ),
    (
        "gke",
        {},
        {"capacity": "reserved", "reservation": "My_One"},
        ".reservation",
        "is not the name of a res",
        "",
    ),
    (
        "aks",
        {},
        {"capacity": "reserved", "reservation": "mine"},
        ".reservation",
        "is not the id of a capacity",
        "",
    ),
    # Numbers of nodes.
    ("eks", {}, {"min": 5}, ".min", "is above max (4)", "4"),
    ("eks", {}, {"max": 0}, ".max", "must be at least 1", ""),
    ("gke", {}, {"capacity": "flex", "min": 1}, ".min", "none always runs", "0"),
    (
        "gke",
        {},
        {"min": 3, "max": 3, "zones": ["us-central1-a", "us-central1-b"]},
        ".max",
        "is no multiple",
        "4",
    ),
    ("aks", AUTO, {}, ".max", "no autoscaled pool beside node auto-provisioning", "1"),
    (
        "aks",
        {"existing": {**EXISTING_AKS, **AUTO}, "adminGroupIds": None},
        {"min": 2},
        ".max",
        "no autoscaled pool",
        "2",
    ),
    ("eks", {"existing": {**EXISTING_EKS, "autoscaler": False}}, {}, ".max", "nothing would scale it", "1"),
    # What does not fit together.
    (
        "eks",
        {},
        {"gpu": None, "shape": "g6.xlarge", "rdma": True, "zones": ["us-east-1a"]},
        ".rdma",
        "g6.xlarge has no fast interconnect",
        "g6.8xlarge",
    ),
    ("gke", {}, {"rdma": True}, ".rdma", "g2-standard-4 has no fast interconnect", "a3-highgpu-8g"),
    ("aks", {}, {"rdma": True}, ".rdma", "has no fast interconnect", "Standard_ND96asr_v4"),
    ("eks", {}, {"gpu": "H200", "rdma": True}, ".zones", "a placement group does not span two", ""),
    (
        "gke",
        {},
        {"gpu": "H200", "capacity": "spot", "rdma": True, "zones": ["us-central1-a", "us-central1-b"]},
        ".zones",
        "compact placement",
        "us-central1-a",
    ),
    ("aks", {}, {"gpu": "H200", "rdma": True, "zones": ["1", "2"]}, ".zones", "does not span two", "1"),
    ("eks", {}, {"gpu": "H200", "rdma": True, "zones": ["us-east-1a"], "max": 1}, ".rdma", "max is 1", ""),
    ("eks", {}, {"driver": "operator"}, ".driver", "it has one owner", "cloud"),
    (
        "eks",
        {},
        {"driver": "none", "image": "bottlerocket"},
        ".image",
        "carries a driver; driver is none",
        "al2023",
    ),
    (
        "eks",
        {},
        {"gpu": "T4G", "image": "bottlerocket"},
        ".image",
        "bottlerocket has no GPU image for g5g",
        "al2023",
    ),
    ("aks", {}, {"gpu": "MI300X"}, ".driver", "the cloud installs no driver for MI300X", "none"),
    (
        "aks",
        {},
        {"gpu": "MI300X", "driver": "operator"},
        ".driver",
        "NVIDIA's operator has no driver for MI300X",
        "none",
    ),
    (
        "gke",
        {},
        {"gpu": "GB200", "capacity": "spot", "driver": "operator"},
        ".driver",
        "is not for arm64",
        "cloud",
    ),
    ("gke", {}, {"gpuPartition": "1g.10gb"}, ".gpuPartition", "L4 can't be cut into slices", ""),
    ("aks", {}, {"mig": "MIG1g"}, ".mig", "T4 can't be cut into slices", ""),
    ("aks", {}, {"mig": "MIG5g"}, ".mig", "is not a valid value", "MIG7g"),
    ("gke", {}, {"maxRunS": 3600}, ".maxRunS", "is for capacity flex, not on_demand", ""),
    ("gke", {}, {"queued": True}, ".queued", "is for capacity flex, not on_demand", ""),
    ("gke", {}, {"capacity": "flex", "maxRunS": 700_000}, ".maxRunS", "must be at most 604800", ""),
    # Places.
    ("eks", {}, {"zones": ["us-east-1c"]}, ".zones[0]", "is not a zone of the cluster", "us-east-1b"),
    ("gke", {}, {"zones": None}, ".zones", "are required", ""),
    ("gke", {}, {"zones": ["us-east1-b"]}, ".zones[0]", "is not a zone of us-central1", "us-central1-b"),
    ("aks", {}, {"zones": ["eastus-1"]}, ".zones[0]", "is not a zone of Azure", "1"),
    # Names, taints, labels.
    ("eks", {}, {"taints": [{"key": "a b"}]}, ".taints[0].key", "is not a Kubernetes key", ""),
    (
        "eks",
        {},
        {"taints": [{"key": "a", "effect": "NO_SCHEDULE"}]},
        ".taints[0].effect",
        "is not a valid value",
        "NoSchedule",
    ),
    ("eks", {}, {"taints": [{"key": "a"}, {"key": "a", "value": "b"}]}, ".taints[1]", "is there twice", ""),
    ("eks", {}, {"labels": {"gpuplane/pool": "x"}}, ".labels.gpuplane/pool", "is set by gpuplane", ""),
    (
        "eks",
        {},
        {"labels": {"node.kubernetes.io/x": "y"}},
        ".labels.node.kubernetes.io/x",
        "belongs to Kubernetes",
        "",
    ),
    ("eks", {}, {"labels": {"team": "a b"}}, ".labels.team", "is not the value of a Kubernetes label", ""),
    # Money.
    (
        "eks",
        {},
        {"gpu": None, "shape": "p5.48xlarge", "max": 2, "budgetHourlyUsd": 100.0},
        ".budgetHourlyUsd",
        "100 USD per hour is less than 2 x 55.04 = 110.08",
        "",
    ),
    (
        "eks",
        {},
        {"capacity": "spot", "budgetHourlyUsd": 100.0},
        ".budgetHourlyUsd",
        "price of g6.xlarge is unknown",
        "",
    ),
    # Words.
    ("eks", {}, {"maxNodes": 2}, ".maxNodes", "unknown key", "max"),
    (
        "gke",
        {},
        {"gpu": "H100", "capacity": "spot", "gpuPartition": "3g.20gb"},
        ".gpuPartition",
        "H100-SXM has no slice of 3g.20gb",
        "3g.40gb",
    ),
]


@pytest.mark.parametrize(("cloud", "changes", "pool", "where", "rule", "nearest"), WRONG, ids=ids(WRONG))
def test_one_line_names_the_property_the_rule_and_the_nearest_valid_value(
    cloud, changes, pool, where, rule, nearest
):
    problem = refusal(cloud, cluster(cloud, pool, **changes), where)
    assert rule in problem
    if nearest:
        assert f'did you mean "{nearest}"?' in problem


@pytest.mark.parametrize(
    ("cloud", "pool"),
    [
        ("eks", {"gpu": "H100", "gpuCount": 8, **BLOCK}),
        ("eks", {"gpu": "H200", "rdma": True, "zones": ["us-east-1b"], "max": 16}),
        ("eks", {"gpu": "GB200", **BLOCK}),
        ("eks", {"driver": "none"}),
        ("gke", {"gpu": "H200", "capacity": "flex", "queued": True, "maxRunS": 86_400}),
        ("gke", {"gpu": "B200", "capacity": "reserved", "reservation": "projects/shared/reservations/b200"}),
        ("gke", {"gpu": "H100", "capacity": "spot", "gpuPartition": "3g.40gb"}),
        ("gke", {"min": 2, "max": 2, "zones": ["us-central1-a", "us-central1-b"]}),
        ("aks", {"gpu": "H100", "capacity": "reserved", "reservation": RESERVATIONS}),
        ("aks", {"gpu": "A100", "mig": "MIG1g"}),
        ("aks", {"gpu": "MI300X", "driver": "none"}),
        ("aks", {"capacity": "spot", "taints": []}),
    ],
)
def test_what_is_sold_is_taken(cloud, pool):
    assert plans(cloud, cluster(cloud, pool))[1] == []


def test_a_fixed_pool_may_stand_beside_node_auto_provisioning():
    assert plans("aks", cluster("aks", {"min": 4}, **AUTO))[1] == []
