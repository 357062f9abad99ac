"""What IAM lets the parts of an EKS cluster do. Pure.

Every action and every resource is named. The few with a star are in `STARS`, each with its reason; a test
holds all documents to that list. AWS's own managed policies are named here too: their text is AWS's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STARS: Mapping[str, str] = {
    "autoscaling:DescribeAutoScalingGroups": "AWS knows no resource for it: it lists",
    "autoscaling:DescribeAutoScalingInstances": "AWS knows no resource for it: it lists",
    "autoscaling:DescribeLaunchConfigurations": "AWS knows no resource for it: it lists",
    "autoscaling:DescribeScalingActivities": "AWS knows no resource for it: it lists",
    "autoscaling:DescribeTags": "AWS knows no resource for it: it lists",
    "ec2:DescribeImages": "AWS knows no resource for it: it lists",
    "ec2:DescribeInstanceTypes": "AWS knows no resource for it: it lists",
    "ec2:DescribeLaunchTemplateVersions": "AWS knows no resource for it: it lists",
    "ec2:GetInstanceTypesFromInstanceRequirements": "AWS knows no resource for it: it lists",
}
"""Actions whose resource is `*`, and why. All of them only read."""

CLUSTER_POLICIES = ("AmazonEKSClusterPolicy",)
NODE_POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")
CNI_POLICIES = ("AmazonEKS_CNI_Policy",)
DISK_POLICIES = ("service-role/AmazonEBSCSIDriverPolicy",)


GROUP_NAMES = "autoScalingGroupName/eks-*"
"""Scaling groups that EKS makes: it chooses their names, and that of the middle part."""


def partition(region: str) -> str:
    """AWS's partition of a region."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(
        "us-gov" if region.startswith("us-gov-") else region.split("-")[0], "aws"
    )


def managed(region: str, name: str) -> str:
    """ARN of one of AWS's managed policies."""
    return f"arn:{partition(region)}:iam::aws:policy/{name}"


def trust_service(service: str, *actions: str) -> dict[str, Any]:
    """Who may take a role on: one service of AWS.

    Args:
        service: `eks`, `ec2`, or `pods.eks` for a service account of the cluster (EKS Pod Identity).
        actions: What it may do; `sts:AssumeRole` if none is given.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": f"{service}.amazonaws.com"},
                "Action": list(actions) or ["sts:AssumeRole"],
            }
        ],
    }


def trust_pods() -> dict[str, Any]:
    """Who may take a role on: pods, by EKS Pod Identity, which tags the session."""
    return trust_service("pods.eks", "sts:AssumeRole", "sts:TagSession")


def autoscaler_policy(region: str, account: str, cluster: str) -> dict[str, Any]:
    """What the cluster autoscaler may do: read groups, and change the size of this cluster's own.

    Args:
        region: Region of the cluster.
        account: AWS account.
        cluster: Name of the cluster in AWS.
    """
    arn = f"arn:{partition(region)}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Look", "Effect": "Allow", "Action": sorted(STARS), "Resource": "*"},
            {
                "Sid": "ReadPools",
                "Effect": "Allow",
                "Action": ["eks:DescribeNodegroup"],
                "Resource": f"{arn}:eks:{region}:{account}:nodegroup/{cluster}/*/*",
            },
            {
                "Sid": "Scale",
                "Effect": "Allow",
                "Action": [
                    "autoscaling:SetDesiredCapacity",
                    "autoscaling:TerminateInstanceInAutoScalingGroup",
                ],
                # EKS makes the groups and chooses their names: eks-<pool>-<id>.
                "Resource": f"{arn}:autoscaling:{region}:{account}:autoScalingGroup:*:{GROUP_NAMES}",
                "Condition": {"StringEquals": {f"aws:ResourceTag/kubernetes.io/cluster/{cluster}": "owned"}},
            },
        ],
    }
