"""A new EKS cluster: control plane, rights, add-ons and the machines without GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.eks import policies
from components.eks.launch_template import disk, metadata_options
from components.eks.network import EksNetwork
from components.eks.roles import Role, make_role
from stack_config.kubernetes_clusters import EksCluster

SYSTEM_SHAPE = "m7i.large"
"""Machines of a system pool that names none."""

LOGS = ("api", "audit", "authenticator")
"""What the control plane writes to CloudWatch."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A cluster that pools can be added to.

    Attributes:
        resource: The cluster as a resource; None for one that somebody else made.
        name: Its name in AWS.
        arn: Its ARN.
        endpoint: URL of its API server.
        ca: Certificate of its authority, base64.
        security_group: The security group that every node has to be in.
        vpc_id: Its network.
        ready: What has to exist before a pool.
    """

    resource: pulumi.Resource | None
    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    ca: pulumi.Output[str]
    security_group: pulumi.Output[str]
    vpc_id: pulumi.Output[str]
    ready: Sequence[pulumi.Resource]


def make_control_plane(
    name: str,
    physical: str,
    cluster: EksCluster,
    network: EksNetwork,
    nodes: Role,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> ControlPlane:
    """A cluster with private nodes, an encrypted store of secrets, and Pod Identity.

    EKS encrypts secrets by itself with a key of AWS; `kmsKeyArn` puts an own one in its place.

    Args:
        name: Name of the cluster, for the resources' names.
        physical: Its name in AWS.
        cluster: The cluster.
        network: Its network.
        nodes: Role of its nodes.
        tags: Tags of everything.
        opts: Options of every resource.
    """
    from pulumi_aws import eks

    region = cluster.region
    role = make_role(
        f"{name}-cluster", region, policies.trust_service("eks"), policies.CLUSTER_POLICIES, tags, opts
    )
    public = cluster.endpoint == "public"
    made = eks.Cluster(
        name,
        name=physical,
        role_arn=role.arn,
        version=cluster.version or None,
        vpc_config=eks.ClusterVpcConfigArgs(
            subnet_ids=list(network.subnets.values()),
            endpoint_private_access=True,
            endpoint_public_access=public,
            public_access_cidrs=list(cluster.allowed_sources) if public else None,
        ),
        access_config=eks.ClusterAccessConfigArgs(
            authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
        ),
        bootstrap_self_managed_addons=False,
        enabled_cluster_log_types=list(LOGS),
        encryption_config=eks.ClusterEncryptionConfigArgs(
            provider=eks.ClusterEncryptionConfigProviderArgs(key_arn=cluster.kms_key_arn),
            resources=["secrets"],
        )
        if cluster.kms_key_arn
        else None,
        region=region,
        tags=tags,
        opts=_after(opts, role.ready),
    )
    for index, admin in enumerate(cluster.admin_role_arns):
        _admin(f"{name}-admin-{index}", region, made.name, admin, opts)
    addons = _addons(name, cluster, made.name, nodes, network, tags, opts)
    return ControlPlane(
        resource=made,
        name=made.name,
        arn=made.arn,
        endpoint=made.endpoint,
        ca=made.certificate_authority.data,
        security_group=made.vpc_config.cluster_security_group_id,
        vpc_id=network.vpc_id,
        ready=[made, *addons],
    )


def find_control_plane(name: str, region: str, opts: pulumi.ResourceOptions) -> ControlPlane:
    """A cluster that is there already, read from AWS.

    Args:
        name: Its name in AWS.
        region: Its region.
        opts: Options of the component's children; its parent reads.
    """
    from pulumi_aws import eks

    found = eks.get_cluster_output(
        name=name, region=region, opts=pulumi.InvokeOutputOptions(parent=opts.parent)
    )
    return ControlPlane(
        resource=None,
        name=pulumi.Output.from_input(name),
        arn=found.arn,
        endpoint=found.endpoint,
        ca=found.certificate_authorities[0].data,
        security_group=found.vpc_config.cluster_security_group_id,
        vpc_id=found.vpc_config.vpc_id,
        ready=[],
    )


def _admin(
    name: str, region: str, cluster: pulumi.Output[str], role: str, opts: pulumi.ResourceOptions
) -> None:
    """Lets a role administer the cluster."""
    from pulumi_aws import eks

    entry = eks.AccessEntry(name, cluster_name=cluster, principal_arn=role, region=region, opts=opts)
    eks.AccessPolicyAssociation(
        name,
        cluster_name=cluster,
        principal_arn=entry.principal_arn,
        policy_arn=f"arn:{policies.partition(region)}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        access_scope=eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
        region=region,
        opts=opts,
    )


def _addons(
    name: str,
    cluster: EksCluster,
    physical: pulumi.Output[str],
    nodes: Role,
    network: EksNetwork,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """What every node needs, then the machines without GPUs, then what runs on those."""
    from pulumi_aws import eks

    def addon(
        short: str, after: Sequence[pulumi.Resource], account: str = "", role: Role | None = None
    ) -> pulumi.Resource:
        made: pulumi.Resource = eks.Addon(
            f"{name}-{short}",
            addon_name=short,
            cluster_name=physical,
            pod_identity_associations=[
                eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=account)
            ]
            if role
            else None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="PRESERVE",
            region=cluster.region,
            tags=tags,
            opts=_after(opts, [*after, *(role.ready if role else ())]),
        )
        return made

    cni = make_role(f"{name}-cni", cluster.region, policies.trust_pods(), policies.CNI_POLICIES, tags, opts)
    disks = make_role(
        f"{name}-disks", cluster.region, policies.trust_pods(), policies.DISK_POLICIES, tags, opts
    )
    agent = addon("eks-pod-identity-agent", [])
    first = [agent, addon("kube-proxy", []), addon("vpc-cni", [agent], "aws-node", cni)]
    template = _system_template(name, cluster, tags, opts)
    system = eks.NodeGroup(
        f"{name}-system",
        node_group_name="system",
        cluster_name=physical,
        node_role_arn=nodes.arn,
        subnet_ids=list(network.subnets.values()),
        ami_type="BOTTLEROCKET_x86_64",
        scaling_config=eks.NodeGroupScalingConfigArgs(
            min_size=cluster.system.min, max_size=cluster.system.max, desired_size=cluster.system.min
        ),
        update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
        node_repair_config=eks.NodeGroupNodeRepairConfigArgs(enabled=True),
        launch_template=template,
        labels={"gpuplane/pool": "system"},
        region=cluster.region,
        tags=tags,
        opts=_after(
            opts,
            [*first, *nodes.ready],
            ignore_changes=["scalingConfig.desiredSize"],
            delete_before_replace=True,
        ),
    )
    last = [
        addon("coredns", [system]),
        addon("aws-ebs-csi-driver", [system, agent], "ebs-csi-controller-sa", disks),
    ]
    return [*first, system, *last]


def _system_template(
    name: str, cluster: EksCluster, tags: dict[str, str], opts: pulumi.ResourceOptions
) -> object:
    from pulumi_aws import ec2, eks

    template = ec2.LaunchTemplate(
        f"{name}-system",
        instance_type=cluster.system.shape or SYSTEM_SHAPE,
        block_device_mappings=[disk("/dev/xvda", 4, cluster), disk("/dev/xvdb", 50, cluster)],
        metadata_options=metadata_options(),
        tag_specifications=[
            ec2.LaunchTemplateTagSpecificationArgs(
                resource_type="instance", tags={**tags, "Name": f"{name}-system"}
            ),
            ec2.LaunchTemplateTagSpecificationArgs(resource_type="volume", tags=tags),
        ],
        update_default_version=True,
        region=cluster.region,
        tags=tags,
        opts=opts,
    )
    return eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version.apply(_whole))


def _whole(version: float) -> str:
    """`3.0` -> `3`: numbers come from the engine with a fraction."""
    return str(int(version))


def _after(
    opts: pulumi.ResourceOptions, resources: Sequence[pulumi.Resource], **more: Any
) -> pulumi.ResourceOptions:
    """The options, and what has to be there before."""
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(resources), **more))
