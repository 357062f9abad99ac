"""A new GKE cluster (Standard): private nodes, Workload Identity, and machines without GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.gke.network import PODS, SERVICES, GkeNetwork
from components.kubernetes_pools.addresses import divide
from stack_config.kubernetes_clusters import GkeCluster

SYSTEM_SHAPE = "e2-standard-4"
"""Machines of a system pool that names none."""

NODE_ROLES = ("roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader")
"""What a node's service account may do: write logs and metrics, and pull images. GKE's default account could
edit the whole project."""

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""Scope of nodes' tokens. Rights are those of the service account, above; scopes only ever narrow them."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A cluster that pools can be added to.

    Attributes:
        resource: The cluster as a resource; None for one that somebody else made.
        name: Its name in Google Cloud.
        location: Its region or zone.
        endpoint: Address of its API server.
        ca: Certificate of its authority, base64.
        ready: What has to exist before a pool.
    """

    resource: pulumi.Resource | None
    name: pulumi.Output[str]
    location: str
    endpoint: pulumi.Output[str]
    ca: pulumi.Output[str]
    ready: Sequence[pulumi.Resource]


@dataclass(frozen=True, slots=True)
class NodeAccount:
    """The service account of all nodes.

    Attributes:
        email: Its address.
        ready: Its rights.
    """

    email: pulumi.Output[str]
    ready: Sequence[pulumi.Resource]


def make_node_account(name: str, physical: str, project: str, opts: pulumi.ResourceOptions) -> NodeAccount:
    """A service account for nodes, with `NODE_ROLES` and nothing else.

    Args:
        name: Name of the cluster, for the resources' names.
        physical: Its name in Google Cloud; the account's is made of it.
        project: The project.
        opts: Options of every resource.
    """
    from pulumi_gcp import projects, serviceaccount

    account = serviceaccount.Account(
        f"{name}-nodes",
        # At most 30 characters.
        account_id=account_id(physical),
        project=project,
        display_name=f"Nodes of {physical}",
        opts=opts,
    )
    rights = [
        projects.IAMMember(
            f"{name}-nodes-{role.rsplit('.', 1)[-1]}",
            project=project,
            role=role,
            member=account.email.apply(lambda email: f"serviceAccount:{email}"),
            opts=opts,
        )
        for role in NODE_ROLES
    ]
    return NodeAccount(account.email, rights)


def account_id(physical: str) -> str:
    """Id of the nodes' service account: the cluster's name, cut in the middle where it is too long."""
    return physical if len(physical) <= 30 else f"{physical[:21].rstrip('-')}{physical[-9:]}"


def make_control_plane(
    name: str,
    physical: str,
    cluster: GkeCluster,
    network: GkeNetwork,
    account: NodeAccount,
    labels: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> ControlPlane:
    """A regional cluster whose default pool is removed at once, and a pool for what it runs itself.

    Args:
        name: Name of the cluster, for the resources' names.
        physical: Its name in Google Cloud.
        cluster: The cluster.
        network: Its network.
        account: Service account of its nodes.
        labels: Labels of everything.
        opts: Options of every resource.
    """
    from pulumi_gcp import container as gke

    private = cluster.endpoint == "private"
    made = gke.Cluster(
        name,
        name=physical,
        project=cluster.project,
        location=cluster.region,
        network=network.network,
        subnetwork=network.subnet,
        min_master_version=cluster.version or None,
        release_channel=gke.ClusterReleaseChannelArgs(channel=cluster.release_channel),
        remove_default_node_pool=True,
        initial_node_count=1,
        # Gone within minutes, but until then it must not have the project's default account.
        node_config=gke.ClusterNodeConfigArgs(
            service_account=account.email,
            oauth_scopes=[SCOPE],
            boot_disk_kms_key=cluster.kms_key or None,
            shielded_instance_config=gke.ClusterNodeConfigShieldedInstanceConfigArgs(enable_secure_boot=True),
        ),
        networking_mode="VPC_NATIVE",
        ip_allocation_policy=gke.ClusterIpAllocationPolicyArgs(
            cluster_secondary_range_name=PODS, services_secondary_range_name=SERVICES
        ),
        private_cluster_config=gke.ClusterPrivateClusterConfigArgs(
            enable_private_nodes=True,
            enable_private_endpoint=private,
            master_ipv4_cidr_block=str(divide(cluster.network_cidr).control_plane),
        ),
        master_authorized_networks_config=gke.ClusterMasterAuthorizedNetworksConfigArgs(
            cidr_blocks=[
                gke.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(cidr_block=source)
                for source in cluster.allowed_sources
            ],
            gcp_public_cidrs_access_enabled=False,
        ),
        # Dataplane V2 enforces NetworkPolicy; GPUDirect needs it, and several networks at a node.
        datapath_provider="ADVANCED_DATAPATH",
        enable_multi_networking=any(pool.rdma for pool in cluster.pools.values()) or None,
        workload_identity_config=gke.ClusterWorkloadIdentityConfigArgs(
            workload_pool=f"{cluster.project}.svc.id.goog"
        ),
        enable_shielded_nodes=True,
        database_encryption=gke.ClusterDatabaseEncryptionArgs(state="ENCRYPTED", key_name=cluster.kms_key)
        if cluster.kms_key
        else None,
        deletion_protection=cluster.deletion_protection,
        resource_labels=labels,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                depends_on=[*network.ready, *account.ready],
                # Both are of the default pool, which is gone.
                ignore_changes=["nodeConfig", "initialNodeCount"],
            ),
        ),
    )
    system = _system_pool(name, cluster, made, account, labels, opts)
    return ControlPlane(
        resource=made,
        name=made.name,
        location=cluster.region,
        endpoint=made.endpoint,
        ca=made.master_auth.cluster_ca_certificate,
        ready=[made, system],
    )


def find_control_plane(cluster: GkeCluster, opts: pulumi.ResourceOptions) -> ControlPlane:
    """A cluster that is there already, read from Google Cloud.

    Args:
        cluster: What the stack file says of it.
        opts: Options of the component's children; its parent reads.

    Raises:
        ValueError: The cluster does not say which one exists.
    """
    from pulumi_gcp import container as gke

    existing = cluster.existing
    if existing is None:
        raise ValueError("cluster.existing is not set")
    found = gke.get_cluster_output(
        name=existing.name,
        location=existing.location,
        project=cluster.project,
        opts=pulumi.InvokeOutputOptions(parent=opts.parent),
    )
    return ControlPlane(
        resource=None,
        name=pulumi.Output.from_input(existing.name),
        location=existing.location,
        endpoint=found.endpoint,
        ca=found.master_auths[0].cluster_ca_certificate,
        ready=[],
    )


def _system_pool(
    name: str,
    cluster: GkeCluster,
    made: Any,
    account: NodeAccount,
    labels: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> pulumi.Resource:
    from pulumi_gcp import container as gke

    pool: pulumi.Resource = gke.NodePool(
        f"{name}-system",
        name="system",
        project=cluster.project,
        cluster=made.name,
        location=cluster.region,
        initial_node_count=1,
        autoscaling=gke.NodePoolAutoscalingArgs(
            total_min_node_count=cluster.system.min,
            total_max_node_count=cluster.system.max,
            location_policy="BALANCED",
        ),
        management=gke.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
        network_config=gke.NodePoolNetworkConfigArgs(enable_private_nodes=True),
        node_config=gke.NodePoolNodeConfigArgs(
            machine_type=cluster.system.shape or SYSTEM_SHAPE,
            disk_type="pd-balanced",
            disk_size_gb=100,
            boot_disk_kms_key=cluster.kms_key or None,
            labels={"gpuplane/pool": "system"},
            metadata={"disable-legacy-endpoints": "true"},
            oauth_scopes=[SCOPE],
            resource_labels=labels,
            service_account=account.email,
            shielded_instance_config=gke.NodePoolNodeConfigShieldedInstanceConfigArgs(
                enable_secure_boot=True, enable_integrity_monitoring=True
            ),
            workload_metadata_config=gke.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
        ),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(ignore_changes=["initialNodeCount"], delete_before_replace=True),
        ),
    )
    return pool
