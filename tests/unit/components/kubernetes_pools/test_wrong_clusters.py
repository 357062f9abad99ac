"""Deliberately wrong clusters: each is refused by one line that says where and why."""

from __future__ import annotations

import pytest

from tests.unit.components.kubernetes_pools.clusters import GROUP, Wrong, cluster, ids, plans, refusal

EXISTING_EKS = {"name": "old", "subnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]}
EXISTING_GKE = {"name": "old", "location": "us-central1"}
EXISTING_AKS = {"name": "old", "resourceGroup": "old"}

WRONG: list[Wrong] = [
    # Places.
    (
        "eks",
        {"zones": ["us-east-1a", "us-west-2b"]},
        {},
        "@zones[1]",
        "is not a zone of us-east-1",
        "us-east-1b",
    ),
    ("eks", {"zones": ["us-east-1a"]}, {}, "@zones", "at least two zones", ""),
    ("gke", {"region": "us-central1-a"}, {}, "@region", "is not a region", "us-central1"),
    ("aks", {"region": "East US"}, {}, "@region", "is not the name of a region", "eastus"),
    # The cluster.
    ("eks", {"version": "1.33.2"}, {}, "@version", "is not a minor version", ""),
    ("eks", {"networkCidr": "10.64.1.0/16"}, {}, "@networkCidr", "is not an IPv4 network", "10.64.0.0/16"),
    ("eks", {"networkCidr": "10.64.0.0/14"}, {}, "@networkCidr", "at most a /16", "10.64.0.0/16"),
    (
        "gke",
        {"networkCidr": "10.64.0.0/24"},
        {},
        "@networkCidr",
        "a /24 network does not fit",
        "10.64.0.0/16",
    ),
    ("aks", {"networkCidr": "8.8.0.0/16"}, {}, "@networkCidr", "is not a private network", "10.64.0.0/16"),
    ("eks", {"endpoint": "public"}, {}, "@allowedSources", "is required for a public endpoint", ""),
    (
        "eks",
        {"endpoint": "public", "allowedSources": ["0.0.0.0/0"]},
        {},
        "@allowedSources[0]",
        "whole internet",
        "",
    ),
    ("eks", {"allowedSources": ["203.0.113.0/24"]}, {}, "@allowedSources", "is for a public endpoint", ""),
    ("eks", {"system": {"min": 5, "max": 2}}, {}, "@system.min", "is above max (2)", "2"),
    ("eks", {"kmsKeyArn": "alias/mine"}, {}, "@kmsKeyArn", "is not the ARN of a KMS key", ""),
    ("eks", {"adminRoleArns": ["admin"]}, {}, "@adminRoleArns[0]", "is not the ARN of an IAM role", ""),
    ("gke", {"project": "My Project"}, {}, "@project", "is not the id of a project", ""),
    ("gke", {"kmsKey": "mine"}, {}, "@kmsKey", "is not the full name of a key", ""),
    ("aks", {"adminGroupIds": None}, {}, "@adminGroupIds", "is required", ""),
    ("aks", {"adminGroupIds": ["admins"]}, {}, "@adminGroupIds[0]", "is not the object id of a group", ""),
    (
        "eks",
        {"existing": {**EXISTING_EKS, "subnetIds": ["subnet-0123456789abcdef0"]}},
        {},
        "@existing.subnetIds",
        "has 1 subnets for 2 zones",
        "",
    ),
    ("eks", {"existing": EXISTING_EKS, "version": "1.33"}, {}, "@version", "belongs to a new cluster", ""),
    (
        "gke",
        {"existing": EXISTING_GKE, "releaseChannel": "RAPID"},
        {},
        "@releaseChannel",
        "belongs to a new",
        "",
    ),
    (
        "gke",
        {"existing": {**EXISTING_GKE, "location": "us-west1"}},
        {},
        "@existing.location",
        "is not in us-central1",
        "us-central1",
    ),
    (
        "aks",
        {"existing": EXISTING_AKS, "adminGroupIds": [GROUP]},
        {},
        "@adminGroupIds",
        "belongs to a new",
        "",
    ),
    (
        "aks",
        {"existing": {**EXISTING_AKS, "subnetId": "nodes"}, "adminGroupIds": None},
        {},
        "@existing.subnetId",
        "is not the id of a subnet",
        "",
    ),
    # Money.
    ("eks", {"budgetHourlyUsd": 3.0}, {}, "@budgetHourlyUsd", "3 USD per hour is less than 4 x 0.8048", ""),
    # Words.
    ("gke", {"regoin": "x"}, {}, "@regoin", "unknown key", "region"),
]


@pytest.mark.parametrize(("cloud", "changes", "pool", "where", "rule", "nearest"), WRONG, ids=ids(WRONG))
def test_one_line_names_the_property_the_rule_and_the_nearest_valid_value(
    cloud, changes, pool, where, rule, nearest
):
    problem = refusal(cloud, cluster(cloud, pool, **changes), where)
    assert rule in problem
    if nearest:
        assert f'did you mean "{nearest}"?' in problem


@pytest.mark.parametrize("cloud", ["eks", "gke", "aks"])
def test_the_clusters_that_are_changed_are_good_themselves(cloud):
    found, problems = plans(cloud, cluster(cloud))
    assert problems == []
    assert [plan.name for plan in found] == ["small"]


@pytest.mark.parametrize(
    ("cloud", "name", "near"),
    [
        ("eks", "Big_One", "big-one"),
        ("gke", "9-lives", "lives"),
        ("aks", "train-big", "trainbig"),
        ("aks", "averyverylongname", "averyverylon"),
        ("eks", "system", ""),
    ],
)
def test_names_of_pools(cloud, name, near):
    made = cluster(cloud)
    made["pools"] = {name: made["pools"]["small"]}
    _, problems = plans(cloud, made)
    assert len(problems) == 1
    assert problems[0].startswith(f"gpuplane:{cloud}Clusters.train.pools.{name}: ")
    assert not near or f'did you mean "{near}"?' in problems[0]


@pytest.mark.parametrize("cloud", ["eks", "gke", "aks"])
def test_names_of_clusters(cloud):
    _, problems = plans(cloud, cluster(cloud), "Training_Cluster")
    assert len(problems) == 1
    assert 'did you mean "training-cluster"?' in problems[0]


def test_every_mistake_is_told_at_once():
    made = cluster("eks", {"gpu": "H1000", "min": 9}, version="1", zones=["us-east-1a"])
    made["pools"]["Other"] = {"shape": "g6.xlarge", "max": 1, "capacity": "flex"}
    _, problems = plans("eks", made)
    assert len(problems) == 5
