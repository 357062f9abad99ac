"""Programs with a cluster and a GPU pool of a fixed name, on each cloud."""

AWS = """
import json

import pulumi
from pulumi_aws import ec2, eks, get_availability_zones_output, iam

config = pulumi.Config()
zones = get_availability_zones_output(state="available").names
vpc = ec2.Vpc("vpc", cidr_block="10.0.0.0/16")
subnets = [
    ec2.Subnet(f"subnet-{i}", vpc_id=vpc.id, cidr_block=f"10.0.{i}.0/24", availability_zone=zones[i])
    for i in range(2)
]
trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "eks.amazonaws.com"}}
role = iam.Role("role", assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
ids = [subnet.id for subnet in subnets]
cluster = eks.Cluster("cluster", name="gpu", role_arn=role.arn, vpc_config={"subnet_ids": ids})
template = ec2.LaunchTemplate("template", instance_type="p5.48xlarge", description=config.get("text") or "a")
eks.NodeGroup(
    "pool",
    cluster_name=config.get("cluster") or cluster.name,
    node_group_name="gpu",
    node_role_arn=role.arn,
    subnet_ids=ids,
    ami_type=config.get("image") or "AL2023_x86_64_NVIDIA",
    launch_template={"id": template.id, "version": template.latest_version.apply(str)},
    scaling_config={"min_size": 0, "max_size": config.get_int("most") or 2, "desired_size": 0},
    opts=pulumi.ResourceOptions(
        ignore_changes=["scalingConfig.desiredSize"],
        delete_before_replace=config.get_bool("dbr") is not False,
    ),
)
pulumi.export("endpoint", cluster.endpoint)
pulumi.export("group", cluster.vpc_config.cluster_security_group_id)
pulumi.export("zone", zones[0])
"""

GCP = """
import pulumi
from pulumi_gcp import container, serviceaccount

config = pulumi.Config()
account = serviceaccount.Account("nodes", account_id="gpu-nodes")
cluster = container.Cluster(
    "cluster", name="gpu", location="us-central1-a", initial_node_count=1, remove_default_node_pool=True
)
container.NodePool(
    "pool",
    name="gpu",
    cluster=cluster.name,
    location="us-central1-a",
    initial_node_count=0,
    autoscaling={"total_min_node_count": 0, "total_max_node_count": config.get_int("most") or 2},
    node_config={
        "machine_type": config.get("machine") or "g2-standard-8",
        "service_account": account.email,
        "spot": config.get_bool("spot") is True,
        "guest_accelerators": [{"type": "nvidia-l4", "count": 1}],
    },
    opts=pulumi.ResourceOptions(delete_before_replace=True, ignore_changes=["initialNodeCount"]),
)
pulumi.export("endpoint", cluster.endpoint)
"""

AZURE = """
import pulumi
from pulumi_azure_native import containerservice as aks
from pulumi_azure_native import dbforpostgresql, resources

config = pulumi.Config()
group = resources.ResourceGroup("group", location="eastus")
cluster = aks.ManagedCluster(
    "cluster",
    resource_group_name=group.name,
    resource_name_="gpu",
    dns_prefix="gpu",
    identity={"type": "SystemAssigned"},
    agent_pool_profiles=[{"name": "system", "mode": "System", "count": 1, "vm_size": "Standard_D4ds_v5"}],
)
spot = config.get_bool("spot")
frozen = ["scaleSetPriority", "scaleSetEvictionPolicy"]
aks.AgentPool(
    "pool",
    resource_group_name=group.name,
    resource_name_=cluster.name,
    agent_pool_name="gpu",
    mode="User",
    vm_size="Standard_NC24ads_A100_v4",
    enable_auto_scaling=True,
    min_count=0,
    max_count=2,
    count=0,
    scale_set_priority="Spot" if spot else None,
    scale_set_eviction_policy="Delete" if spot else None,
    opts=pulumi.ResourceOptions(
        ignore_changes=["count"],
        delete_before_replace=True,
        replace_on_changes=frozen if config.get_bool("replace") else [],
    ),
)
if config.get("password"):
    dbforpostgresql.Server(
        "database",
        resource_group_name=group.name,
        administrator_login="gpuplane",
        administrator_login_password=config.require_secret("password"),
        sku={"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"},
    )
credentials = aks.list_managed_cluster_user_credentials_output(
    resource_group_name=group.name, resource_name=cluster.name
)
pulumi.export("kubeconfig", credentials.kubeconfigs[0].value)
"""
