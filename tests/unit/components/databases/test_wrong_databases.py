"""Every rule of databases, by a database that breaks it, and good ones that break none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.databases.rules import AZURE_DISKS, Engine, broken_rules
from components.stack_services import broken_rules as broken_rules_of
from stack_config import StackConfigError, load

AWS = {
    "region": "us-east-1",
    "vpcId": "vpc-0a1b",
    "subnetIds": ["subnet-0a1b", "subnet-0c2d"],
    "allowedSecurityGroups": ["sg-0a1b"],
}
GOOGLE = {"project": "p", "region": "us-central1", "network": "projects/p/global/networks/n"}
AZURE = {
    "resourceGroup": "g",
    "region": "eastus",
    "subnetId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/db",
    "dnsZoneId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/z",
}
URL = "postgresql://app:canary-4711@db.example.com/app?sslmode=require"

GOOD: dict[str, dict[str, Any]] = {
    "kubernetes": {"target": "kubernetes"},
    "rds": {"target": "rds", "aws": AWS},
    "cloud_sql": {"target": "cloud_sql", "google": GOOGLE},
    "azure": {"target": "azure", "azure": AZURE, "storageGb": 64},
    "external": {"target": "external", "url": URL},
}
GOOD_REDIS: dict[str, dict[str, Any]] = {
    "kubernetes": {"target": "kubernetes"},
    "elasticache": {"target": "elasticache", "aws": AWS},
    "memorystore": {"target": "memorystore", "google": GOOGLE},
    "azure": {"target": "azure", "azure": AZURE},
    "external": {"target": "external", "url": "rediss://:canary-4711@cache.example.com:6380/0"},
}


def problems(engine: Engine, server: dict[str, Any], name: str = "main", **sections: Any) -> list[str]:
    """Every broken rule as text, whoever found it."""
    section = "postgresServices" if engine == "postgres" else "redisServices"
    values = {"stackId": "teststck", section: {name: server}, **sections}
    try:
        config = load(values, "dev")
    except StackConfigError as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in broken_rules_of(config)]


@pytest.mark.parametrize("target", GOOD)
def test_a_good_postgres_breaks_no_rule(target: str) -> None:
    assert problems("postgres", GOOD[target]) == []


@pytest.mark.parametrize("target", GOOD_REDIS)
def test_a_good_redis_breaks_no_rule(target: str) -> None:
    assert problems("redis", GOOD_REDIS[target]) == []


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("kubernetes", {"aws": AWS}, "main.aws: is not used with target kubernetes"),
    ("rds", {"aws": None}, "main.aws: is required for target rds"),
    ("rds", {"aws": {**AWS, "allowedSecurityGroups": []}}, "main.aws: nobody may connect"),
    ("rds", {"aws": {**AWS, "allowedCidrs": ["0.0.0.0/0"]}}, "0.0.0.0/0 is not a private network"),
    ("rds", {"aws": {**AWS, "allowedCidrs": ["10.0.0.1/8"]}}, "'10.0.0.1/8' is not an IPv4 network"),
    ("rds", {"aws": {**AWS, "subnetIds": ["subnet-0a"]}}, "main.aws.subnetIds"),
    (
        "rds",
        {"aws": {**AWS, "shape": "t4g.medium"}},
        "aws.shape: 't4g.medium' is not a machine of rds; did you mean \"db.t4g.medium\"?",
    ),
    ("rds", {"storageGb": 10}, 'main.storageGb: RDS has at least 20 GB; did you mean "20"?'),
    ("rds", {"backups": {"enabled": False}}, "main.backups.enabled: a managed database has backups"),
    ("rds", {"backups": {"keep": 60}}, "main.backups.keep: a managed database keeps at most 35 days"),
    ("rds", {"user": "rdsadmin"}, "main.user: 'rdsadmin' is reserved"),
    ("rds", {"kubernetes": {"namespace": "x"}}, "main.kubernetes: is not used with target rds"),
    ("cloud_sql", {"google": {**GOOGLE, "network": "default"}}, "main.google.network"),
    ("cloud_sql", {"google": {**GOOGLE, "shape": "n1-standard-1"}}, 'did you mean "db-custom-2-8192"?'),
    ("cloud_sql", {"storageGb": 5}, "main.storageGb: Cloud SQL has at least 10 GB"),
    ("azure", {"storageGb": 100}, 'main.storageGb: Azure has no disk of this size; did you mean "128"?'),
    ("azure", {"backups": {"keep": 3}}, "main.backups.keep: Azure keeps at least 7 days"),
    ("azure", {"highAvailability": True, "azure": {**AZURE, "shape": "Standard_B2s"}}, "burstable machines"),
    ("kubernetes", {"highAvailability": True}, "main.highAvailability: target kubernetes has one server"),
    ("kubernetes", {"database": "postgres"}, "main.database: 'postgres' is PostgreSQL's own"),
    ("kubernetes", {"image": "postgres:latest"}, "main.image"),
    ("kubernetes", {"url": URL}, "main.url: is not used with target kubernetes"),
    (
        "kubernetes",
        {"kubernetes": {"cluster": "train"}},
        "main.kubernetes.cluster: this stack makes no cluster 'train'",
    ),
    (
        "kubernetes",
        {"kubernetes": {"cluster": "a", "context": "b"}},
        "has cluster, and kubeconfig or context",
    ),
    ("kubernetes", {"connection": {}}, "main.connection: is written there anyway"),
    ("external", {"url": None}, "main.url: is required for target external"),
    ("external", {"url": "mysql://app:canary-4711@db/app"}, "main.url: is no URL like postgresql://"),
    ("external", {"url": "postgresql://app:canary-4711@[::1/app"}, "main.url: is no URL like postgresql://"),
    ("external", {"url": URL.replace("require", "prefer")}, "main.url: does not ask for TLS"),
    ("external", {"url": URL.split("?")[0]}, "it needs sslmode=require"),
    ("external", {"passwordRotation": "2"}, "main.passwordRotation: the password of an external one"),
]


@pytest.mark.parametrize(("target", "changes", "said"), WRONG)
def test_a_wrong_postgres_is_one_line(target: str, changes: dict[str, Any], said: str) -> None:
    found = problems("postgres", {**GOOD[target], **changes})
    assert len(found) == 1, found
    assert said in found[0]
    assert found[0].startswith("gpuplane:postgresServices.main")
    assert "canary" not in found[0]


@pytest.mark.parametrize(
    ("target", "changes", "said"),
    [
        ("external", {"url": "redis://:canary-4711@cache:6379"}, "it needs the scheme rediss"),
        ("memorystore", {"google": {**GOOGLE, "shape": "M1"}}, "Memorystore has no shapes; use memoryGb"),
        ("memorystore", {"passwordRotation": "2"}, "the cloud itself makes this one's key"),
        ("azure", {"azure": {**AZURE, "shape": "C1"}}, 'did you mean "Balanced_B1"?'),
        ("elasticache", {"aws": {**AWS, "shape": "db.t4g.medium"}}, 'did you mean "cache.t4g.small"?'),
    ],
)
def test_a_wrong_redis_is_one_line(target: str, changes: dict[str, Any], said: str) -> None:
    found = problems("redis", {**GOOD_REDIS[target], **changes})
    assert len(found) == 1, found
    assert said in found[0]
    assert "canary" not in found[0]


def test_what_is_not_encrypted_may_be_accepted() -> None:
    plain = {"target": "external", "url": "redis://cache:6379", "tls": False}
    assert problems("redis", plain) == []


def test_a_name_is_used_once() -> None:
    found = problems("postgres", GOOD["kubernetes"], redisServices={"main": {"target": "kubernetes"}})
    assert found == ["gpuplane:redisServices.main: is a name in gpuplane:postgresServices already"]


def test_a_cluster_of_the_stack_may_be_named() -> None:
    eks = {"region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]}
    server = {"target": "kubernetes", "kubernetes": {"cluster": "train"}}
    assert problems("postgres", server, eksClusters={"train": eks}) == []


@given(st.text(min_size=1, max_size=60))
def test_any_name_is_good_for_every_cloud_or_refused(name: str) -> None:
    config = load({"stackId": "teststck", "postgresServices": {"main": GOOD["kubernetes"]}}, "dev")
    if not broken_rules("postgres", name, config.postgres_services["main"]):
        assert name.isascii() and name == name.lower() and len(f"{name}-teststck") <= 40


@given(st.integers(1, 16_000))
def test_the_disk_that_is_proposed_is_one_that_azure_has(size: int) -> None:
    found = problems("postgres", {**GOOD["azure"], "storageGb": size})
    if size in AZURE_DISKS:
        assert found == []
    else:
        (line,) = found
        proposed = int(line.rsplit('"', 2)[1])
        assert proposed in AZURE_DISKS
