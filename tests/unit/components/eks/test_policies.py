"""IAM of EKS: no star but those that are listed, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.eks import policies

DOCUMENTS: dict[str, dict[str, Any]] = {
    "autoscaler": policies.autoscaler_policy("us-east-1", "123456789012", "train-k3v9x2pq"),
    "trust of the cluster": policies.trust_service("eks"),
    "trust of nodes": policies.trust_service("ec2"),
    "trust of pods": policies.trust_pods(),
}
RESOURCES = {
    "arn:aws:eks:us-east-1:123456789012:nodegroup/train-k3v9x2pq/*/*",
    f"arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:{policies.GROUP_NAMES}",
}
"""Resources with a star inside: AWS chooses that part, and the rest names account, region and cluster."""


def statements(document: dict[str, Any]) -> Iterator[tuple[list[str], list[str], dict[str, Any]]]:
    for statement in document["Statement"]:
        actions, resources = statement["Action"], statement.get("Resource", [])
        yield (
            [actions] if isinstance(actions, str) else actions,
            [resources] if isinstance(resources, str) else resources,
            statement,
        )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_star_but_the_listed_ones(name):
    for actions, resources, statement in statements(DOCUMENTS[name]):
        assert statement["Effect"] == "Allow"
        assert not [action for action in actions if "*" in action]
        assert "NotAction" not in statement
        assert "NotResource" not in statement
        if "*" in resources:
            assert set(actions) <= set(policies.STARS)
        assert [each for each in resources if "*" in each and each != "*" and each not in RESOURCES] == []
        assert "*" not in str(statement.get("Principal", ""))


def test_what_has_a_star_only_reads():
    for action, reason in policies.STARS.items():
        assert action.split(":")[1].startswith(("Describe", "Get"))
        assert reason


def test_what_changes_something_is_held_to_this_cluster():
    changing = [
        statement
        for actions, _, statement in statements(DOCUMENTS["autoscaler"])
        if not all(action.split(":")[1].startswith(("Describe", "Get")) for action in actions)
    ]
    assert len(changing) == 1
    assert changing[0]["Condition"] == {
        "StringEquals": {"aws:ResourceTag/kubernetes.io/cluster/train-k3v9x2pq": "owned"}
    }


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("us-east-1", "aws"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("ca-central-1", "aws"),
    ],
)
def test_partitions(region, partition):
    assert policies.partition(region) == partition
    assert policies.managed(region, "X") == f"arn:{partition}:iam::aws:policy/X"
