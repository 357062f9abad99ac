"""Every kind of pool on every cloud: what is declared has the SDK's types and keeps the known rules."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.aks_gpu_cluster import AksGpuCluster, AksGpuClusterArgs
from components.eks_gpu_cluster import EksGpuCluster, EksGpuClusterArgs
from components.gke_gpu_cluster import GkeGpuCluster, GkeGpuClusterArgs
from tests.kubernetes.components.declared import Declared, declare
from tests.unit.components.kubernetes_pools.clusters import RESERVATIONS, cluster, stack

# The SDKs say so of themselves when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning")

BLOCK = {"capacity": "block", "reservation": "cr-0123456789abcdef0", "zones": ["us-east-1a"]}
EKS_ARN = "arn:aws:kms:us-east-1:123456789012:key/7b2f9c1e"
GKE_KEY = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
FIXED_AKS = {"pools": {"fixed": {"gpu": "T4", "min": 2, "max": 2}}}
GKE_ZONES = ["us-central1-a", "us-central1-b"]

CLUSTERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("eks", {}, {}),
    ("eks", {"nat": "each", "version": "1.33", "kmsKeyArn": EKS_ARN}, {"image": "al2023"}),
    ("eks", {"endpoint": "public", "allowedSources": ["203.0.113.0/24"]}, {"capacity": "spot"}),
    ("eks", {"adminRoleArns": ["arn:aws:iam::123456789012:role/admin"]}, {"min": 2, "max": 2}),
    ("eks", {}, {"gpu": "H100", "gpuCount": 8, **BLOCK}),
    ("eks", {}, {"gpu": "H200", "rdma": True, **BLOCK, "capacity": "reserved"}),
    ("eks", {}, {"gpu": "B300", "rdma": True, "zones": ["us-east-1b"]}),
    ("eks", {}, {"gpu": "T4G", "driver": "none"}),
    ("eks", {}, {"gpu": "GB200", **BLOCK}),
    ("eks", {"pools": {}}, {}),
    ("gke", {}, {}),
    (
        "gke",
        {"kmsKey": GKE_KEY, "version": "1.33", "releaseChannel": "RAPID"},
        {"capacity": "spot", "min": 1},
    ),
    ("gke", {"endpoint": "public", "allowedSources": ["203.0.113.0/24"]}, {"driver": "none"}),
    ("gke", {}, {"gpu": "H200", "capacity": "flex", "queued": True, "rdma": True}),
    ("gke", {}, {"gpu": "B200", "capacity": "reserved", "reservation": "b200", "rdma": True}),
    ("gke", {}, {"gpu": "H100", "capacity": "spot", "gpuPartition": "1g.10gb"}),
    ("gke", {}, {"driver": "operator", "min": 4, "max": 4, "zones": GKE_ZONES}),
    ("gke", {"pools": {}}, {}),
    ("aks", {}, {}),
    ("aks", {"hostEncryption": True, "version": "1.33"}, {"capacity": "spot"}),
    ("aks", {"endpoint": "public", "allowedSources": ["203.0.113.0/24"]}, {"driver": "operator"}),
    ("aks", {}, {"gpu": "H100", "capacity": "reserved", "reservation": RESERVATIONS}),
    ("aks", {}, {"gpu": "H100-SXM", "rdma": True, "zones": ["1"], "image": "AzureLinux"}),
    ("aks", {}, {"gpu": "A100", "mig": "MIG1g"}),
    ("aks", {"nodeAutoProvisioning": True, **FIXED_AKS}, {}),
    ("aks", {"pools": {}}, {}),
]


def built(cloud: str, made: dict[str, Any], **options: Any) -> Declared:
    config = stack(cloud, made)

    def build() -> pulumi.ComponentResource:
        if cloud == "eks":
            return EksGpuCluster(
                "train", EksGpuClusterArgs(cluster=config.eks_clusters["train"], stack_id="teststck")
            )
        if cloud == "gke":
            return GkeGpuCluster(
                "train", GkeGpuClusterArgs(cluster=config.gke_clusters["train"], stack_id="teststck")
            )
        return AksGpuCluster(
            "train", AksGpuClusterArgs(cluster=config.aks_clusters["train"], stack_id="teststck")
        )

    return declare(build, "kubeconfig", "cluster_name", "estimated_hourly", **options)


@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
@pytest.mark.parametrize(("cloud", "changes", "pool"), CLUSTERS)
def test_the_inputs_have_the_types_of_the_sdk_and_keep_the_rules(cloud, changes, pool, preview):
    made = cluster(cloud, None if "pools" in changes else pool, **changes)
    found = built(cloud, made, preview=preview)
    assert found.findings == []
    assert "kubeconfig" in found.secrets
    assert len(found.inputs) > 8


POOL_TYPES = {"eks": "NodeGroup", "gke": "NodePool", "aks": "AgentPool"}
COUNTS = {
    "eks": ["scalingConfig.desiredSize"],
    "gke": ["initialNodeCount"],
    "aks": ["count"],
}


@pytest.mark.parametrize("cloud", POOL_TYPES)
def test_pools_have_fixed_names_end_before_their_replacement_and_leave_the_number_to_the_autoscaler(cloud):
    found = built(cloud, cluster(cloud))
    kind = POOL_TYPES[cloud]
    told = found.told(kind, "train-small")
    assert told.deleteBeforeReplace
    assert told.ignoreChanges == COUNTS[cloud]
    name = {"eks": "nodeGroupName", "gke": "name", "aks": "agentPoolName"}[cloud]
    assert found.one(kind, "train-small")[name] == "small"


def test_a_fixed_number_of_an_aks_pool_is_held():
    found = built("aks", cluster("aks", {"min": 3, "max": 3}))
    assert found.told("AgentPool", "train-small").ignoreChanges == []
    assert found.one("AgentPool", "train-small")["count"] == 3


@pytest.mark.parametrize("cloud", POOL_TYPES)
def test_everything_is_a_child_of_the_component(cloud):
    found = built(cloud, cluster(cloud))
    for (_, name), told in found.options.items():
        assert name == "train" or told.parent, name


@pytest.mark.parametrize("cloud", POOL_TYPES)
def test_a_wrong_cluster_registers_nothing(cloud):
    registered = Declared()
    with pytest.raises(pulumi.RunError, match=r"pools.small.capacity: .*did you mean"):
        registered = built(cloud, cluster(cloud, {"capacity": "flex" if cloud != "gke" else "block"}))
    assert registered.inputs == {}


@pytest.mark.parametrize("cloud", POOL_TYPES)
def test_the_estimate_is_an_output(cloud):
    found = built(cloud, cluster(cloud, {"hourlyUsd": 2.5, "min": 1}))
    estimate = found.outputs["estimated_hourly"]
    assert (estimate["min"], estimate["max"], estimate["source"]) == (2.5, 10.0, "hourlyUsd")
