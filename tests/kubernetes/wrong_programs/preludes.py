"""What every wrong program of a cloud begins with: functions that declare something right.

A wrong program changes one thing of it, so that the thing is what is refused.
"""

AWS = """
import pulumi
from pulumi_aws import ec2, eks, iam

ROLE = "arn:aws:iam::123456789012:role/nodes"


def node_group(**more):
    right = {
        "cluster_name": "gpu",
        "node_role_arn": ROLE,
        "subnet_ids": ["subnet-0123456789abcdef0"],
        "scaling_config": {"min_size": 0, "max_size": 2, "desired_size": 0},
        "ami_type": "AL2023_x86_64_NVIDIA",
    }
    eks.NodeGroup("pool", **{**right, **more})


def template(**more):
    ec2.LaunchTemplate("template", **{"instance_type": "p5.48xlarge", **more})


def reservation(identifier):
    return {"capacity_reservation_target": {"capacity_reservation_id": identifier}}


def interfaces(*kinds):
    return [
        {"interface_type": kind, "network_card_index": index, "device_index": min(index, 1)}
        for index, kind in enumerate(kinds)
    ]
"""

GCP = """
import pulumi
from pulumi_gcp import container


def node_pool(node=None, **more):
    gpu = {
        "type": "nvidia-l4",
        "count": 1,
        "gpu_driver_installation_config": {"gpu_driver_version": "LATEST"},
    }
    right = {
        "cluster": "gpu",
        "location": "us-central1-a",
        "node_config": {"machine_type": "g2-standard-8", "guest_accelerators": [gpu], **(node or {})},
    }
    container.NodePool("pool", **{**right, **more})


def accelerator(kind, count):
    return [{"type": kind, "count": count}]
"""

AZURE = """
import pulumi
from pulumi_azure_native import containerservice


def agent_pool(**more):
    right = {
        "resource_group_name": "group",
        "resource_name_": "gpu",
        "agent_pool_name": "gpu",
        "mode": "User",
        "vm_size": "Standard_NC24ads_A100_v4",
        "count": 1,
    }
    containerservice.AgentPool("pool", **{**right, **more})


def cluster(pool=None, **more):
    right = {
        "resource_group_name": "group",
        "dns_prefix": "gpu",
        "identity": {"type": "SystemAssigned"},
        "agent_pool_profiles": [
            {"name": "system", "mode": "System", "count": 1, "vm_size": "Standard_D4ds_v5", **(pool or {})}
        ],
    }
    containerservice.ManagedCluster("cluster", **{**right, **more})
"""

PRELUDES = {"aws": AWS, "gcp": GCP, "azure-native": AZURE}

RIGHT = {
    "aws": 'node_group()\ntemplate(network_interfaces=interfaces("efa", "efa-only"))',
    "gcp": "node_pool()",
    "azure-native": "agent_pool()\ncluster()",
}
"""Programs that are not refused: what the wrong ones are made from."""
