"""What is declared on nodes, and what pods are told."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.kubernetes_pools.addresses import divide, zonal
from components.kubernetes_pools.kubeconfig import kubeconfig
from components.kubernetes_pools.naming import physical_name, tags
from components.kubernetes_pools.nodes import NO_GKE_PLUGIN, NO_OPERANDS, node_labels
from components.kubernetes_pools.outputs import pool_outputs
from tests.unit.components.kubernetes_pools.clusters import cluster, plans


def one(cloud: str, pool: dict[str, object]):
    found, problems = plans(cloud, cluster(cloud, pool))
    assert problems == []
    return found[0]


@pytest.mark.parametrize(
    ("cloud", "pool", "taints"),
    [
        ("eks", {}, ["nvidia.com/gpu=present:NoSchedule"]),
        ("gke", {}, []),
        ("aks", {}, ["sku=gpu:NoSchedule"]),
        (
            "aks",
            {"capacity": "spot"},
            ["sku=gpu:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"],
        ),
        (
            "aks",
            {
                "capacity": "spot",
                "taints": [{"key": "kubernetes.azure.com/scalesetpriority", "value": "spot"}],
            },
            ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"],
        ),
        ("eks", {"taints": []}, []),
        ("gke", {"taints": [{"key": "team", "value": "a", "effect": "NoExecute"}]}, ["team=a:NoExecute"]),
    ],
)
def test_taints(cloud, pool, taints):
    assert [f"{t.key}={t.value}:{t.effect}" for t in one(cloud, pool).taints] == taints


def test_pods_are_told_how_to_get_there():
    found = pool_outputs(one("gke", {"taints": [{"key": "team", "value": "a"}]}))
    assert found["nodeSelector"] == {"gpuplane/pool": "small"}
    assert [each["key"] for each in found["tolerations"]] == ["team", "nvidia.com/gpu"]
    assert found["resource"] == "nvidia.com/gpu"
    assert (found["machine"], found["gpu"], found["gpusPerNode"]) == ("g2-standard-4", "L4", 1)
    assert pool_outputs(one("aks", {"gpu": "MI300X", "driver": "none"}))["resource"] == "amd.com/gpu"


def test_every_gpu_has_one_driver():
    pools = {
        "own": {"gpu": "L4", "max": 1, "zones": ["us-central1-a"]},
        "ops": {
            "gpu": "L4",
            "max": 1,
            "zones": ["us-central1-a"],
            "driver": "operator",
            "labels": {"a": "b"},
        },
    }
    found, _ = plans("gke", cluster("gke", pools=pools))
    labels = {plan.name: node_labels(plan, found) for plan in found}
    assert labels["own"] == {"gpuplane/pool": "own", NO_OPERANDS: "false"}
    assert labels["ops"] == {"gpuplane/pool": "ops", "a": "b", NO_GKE_PLUGIN: "true"}
    assert node_labels(found[0], found[:1]) == {"gpuplane/pool": "own"}


CIDRS = st.sampled_from(["10.0.0.0/12", "172.16.0.0/14", "10.64.0.0/16", "192.168.0.0/18", "10.64.64.0/18"])


@given(CIDRS)
def test_the_parts_of_a_network_are_inside_it_and_apart(cidr: str):
    parts = divide(cidr)
    each = [parts.nodes, parts.services, parts.control_plane, parts.pods]
    assert all(part.subnet_of(IPv4Network(cidr)) for part in each)
    assert not any(a.overlaps(b) for n, a in enumerate(each) for b in each[n + 1 :])
    assert parts.control_plane.prefixlen == 28


@given(CIDRS, st.integers(1, 8))
def test_the_subnets_of_zones_are_inside_and_apart(cidr: str, zones: int):
    found = zonal(cidr, zones)
    assert len(found) == zones
    each = [net for pair in found for net in pair]
    assert all(part.subnet_of(IPv4Network(cidr)) for part in each)
    assert not any(a.overlaps(b) for n, a in enumerate(each) for b in each[n + 1 :])
    assert all(inner.num_addresses >= 1024 and outer.num_addresses >= 16 for inner, outer in found)


def test_a_kubeconfig_holds_no_credential():
    text = kubeconfig("train", "203.0.113.9", "Y2E=", "aws", ["eks", "get-token"], "Install it.")
    document = json.loads(text)
    assert document["clusters"][0]["cluster"]["server"] == "https://203.0.113.9"
    user = document["users"][0]["user"]
    assert list(user) == ["exec"]
    assert (user["exec"]["command"], user["exec"]["args"]) == ("aws", ["eks", "get-token"])
    assert document["current-context"] == document["contexts"][0]["name"] == "train"


def test_two_stacks_have_two_names():
    assert physical_name("train", "k3v9x2pq") == "train-k3v9x2pq"
    assert physical_name("train", "") == "train"
    assert tags("train", "k3v9x2pq") == {"gpuplane-cluster": "train", "gpuplane-stack": "k3v9x2pq"}
