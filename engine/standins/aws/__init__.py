"""AWS, for the stand-in of its plugin."""

from pathlib import Path

from engine.standins.aws import accounts, ec2, eks
from engine.standins.aws.functions import FUNCTIONS
from engine.standins.cloud import Cloud, Settings, text
from engine.standins.values import Values


def settings(config: Values) -> Settings:
    """The region of the provider, and the account that AWS's documentation uses."""
    return {"region": text(config, "region", "us-east-1"), "account": "123456789012"}


CLOUD = Cloud(
    package="aws",
    title="AWS",
    folder=Path(__file__).resolve().parent,
    settings=settings,
    rules={
        "aws:eks/nodeGroup:NodeGroup": (
            eks.node_group_template,
            eks.node_group_capacity,
            eks.node_group_scaling,
            eks.node_group_machines,
            eks.node_group_names,
        ),
        "aws:eks/cluster:Cluster": (eks.cluster,),
        "aws:eks/accessEntry:AccessEntry": (eks.access_entry,),
        "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": (eks.access_policy,),
        "aws:ec2/launchTemplate:LaunchTemplate": (
            ec2.template_machine,
            ec2.template_interfaces,
            ec2.template_market,
            ec2.template_disks,
            ec2.template_text,
        ),
        "aws:ec2/placementGroup:PlacementGroup": (ec2.placement_group,),
        "aws:ec2/vpc:Vpc": (ec2.vpc,),
        "aws:ec2/subnet:Subnet": (ec2.vpc,),
        "aws:ec2/capacityReservation:CapacityReservation": (ec2.capacity_reservation,),
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": (ec2.security_group_rule,),
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": (ec2.security_group_rule,),
        "aws:iam/role:Role": (accounts.role,),
        "aws:iam/policy:Policy": (accounts.policy,),
        "aws:iam/rolePolicy:RolePolicy": (accounts.policy,),
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment": (accounts.attachment,),
        "aws:rds/instance:Instance": (accounts.database,),
        "aws:elasticache/replicationGroup:ReplicationGroup": (accounts.cache,),
    },
    functions=FUNCTIONS,
)
