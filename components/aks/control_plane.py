"""A new AKS cluster: private, without accounts of its own, with workload identity."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.aks.network import AksNetwork
from components.kubernetes_pools.addresses import divide
from stack_config.kubernetes_clusters import AksCluster

SYSTEM_SHAPE = "Standard_D4s_v5"
"""Machines of a system pool that names none."""

NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
"""Id of Azure's role by which the cluster puts load balancers and nodes into its subnet, and no other."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A cluster that pools can be added to.

    Attributes:
        resource: The cluster as a resource; None for one that somebody else made.
        name: Its name in Azure.
        group: Its resource group.
        subnet_id: Subnet of its nodes; None for that of its own choice.
        ready: What has to exist before a pool.
    """

    resource: pulumi.Resource | None
    name: pulumi.Output[str]
    group: pulumi.Output[str]
    subnet_id: pulumi.Input[str] | None
    ready: Sequence[pulumi.Resource]


def make_control_plane(
    name: str,
    physical: str,
    cluster: AksCluster,
    group: pulumi.Output[str],
    network: AksNetwork,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> ControlPlane:
    """A cluster whose only pool is the one without GPUs; GPU pools are resources of their own.

    Args:
        name: Name of the cluster, for the resources' names.
        physical: Its name in Azure.
        cluster: The cluster.
        group: Name of the resource group.
        network: Its network.
        tags: Tags of everything.
        opts: Options of every resource.
    """
    from pulumi_azure_native import authorization, containerservice, managedidentity

    identity = managedidentity.UserAssignedIdentity(
        f"{name}-identity",
        resource_group_name=group,
        resource_name_=physical,
        location=cluster.region,
        tags=tags,
        opts=opts,
    )
    right = authorization.RoleAssignment(
        f"{name}-network-rights",
        scope=network.subnet_id,
        principal_id=identity.principal_id,
        principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
        role_definition_id=f"/providers/Microsoft.Authorization/roleDefinitions/{NETWORK_CONTRIBUTOR}",
        opts=opts,
    )
    made = containerservice.ManagedCluster(
        name,
        resource_group_name=group,
        resource_name_=physical,
        location=cluster.region,
        dns_prefix=physical,
        kubernetes_version=cluster.version or None,
        sku=containerservice.ManagedClusterSKUArgs(
            name=containerservice.ManagedClusterSKUName.BASE,
            tier=containerservice.ManagedClusterSKUTier.STANDARD,
        ),
        identity=containerservice.ManagedClusterIdentityArgs(
            type=containerservice.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[identity.id]
        ),
        agent_pool_profiles=[_system_pool(cluster, network, tags)],
        api_server_access_profile=_access(cluster, network),
        aad_profile=containerservice.ManagedClusterAADProfileArgs(
            managed=True, enable_azure_rbac=True, admin_group_object_ids=list(cluster.admin_group_ids)
        ),
        disable_local_accounts=True,
        enable_rbac=True,
        oidc_issuer_profile=containerservice.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
        security_profile=containerservice.ManagedClusterSecurityProfileArgs(
            workload_identity=containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True)
        ),
        network_profile=_network(cluster),
        node_provisioning_profile=containerservice.ManagedClusterNodeProvisioningProfileArgs(mode="Auto")
        if cluster.node_auto_provisioning
        else None,
        auto_upgrade_profile=containerservice.ManagedClusterAutoUpgradeProfileArgs(
            upgrade_channel=containerservice.UpgradeChannel.PATCH,
            node_os_upgrade_channel=containerservice.NodeOSUpgradeChannel.NODE_IMAGE,
        ),
        disk_encryption_set_id=cluster.disk_encryption_set_id or None,
        tags=tags,
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                depends_on=[right],
                # The autoscaler changes the number, Azure the patch version.
                ignore_changes=["agentPoolProfiles[0].count", "kubernetesVersion"]
                if not cluster.version
                else ["agentPoolProfiles[0].count"],
                delete_before_replace=True,
            ),
        ),
    )
    return ControlPlane(made, made.name, group, network.subnet_id, [made])


def find_control_plane(cluster: AksCluster) -> ControlPlane:
    """A cluster that is there already.

    Args:
        cluster: What the stack file says of it.

    Raises:
        ValueError: The cluster does not say which one exists.
    """
    existing = cluster.existing
    if existing is None:
        raise ValueError("cluster.existing is not set")
    return ControlPlane(
        resource=None,
        name=pulumi.Output.from_input(existing.name),
        group=pulumi.Output.from_input(existing.resource_group),
        subnet_id=existing.subnet_id or None,
        ready=[],
    )


def read_kubeconfig(control: ControlPlane, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """The kubeconfig that Azure gives to users; it logs in with `kubelogin`, and holds no credential.

    Args:
        control: The cluster.
        opts: Options of the component's children; its parent reads.
    """
    from pulumi_azure_native import containerservice

    # An output of the cluster among the arguments: nothing is asked before it exists.
    name = pulumi.Output.all(control.name, *(each.urn for each in control.ready)).apply(
        lambda found: found[0]
    )
    found = containerservice.list_managed_cluster_user_credentials_output(
        resource_group_name=control.group,
        resource_name=name,
        format="exec",
        opts=pulumi.InvokeOutputOptions(parent=opts.parent),
    )
    return pulumi.Output.secret(found.kubeconfigs.apply(_first))


def _first(kubeconfigs: Sequence[Any] | None) -> str:
    if not kubeconfigs:
        raise pulumi.RunError("Azure gave no kubeconfig; check that you may list the cluster's credentials")
    return base64.b64decode(kubeconfigs[0].value).decode()


def _system_pool(cluster: AksCluster, network: AksNetwork, tags: dict[str, str]) -> Any:
    from pulumi_azure_native import containerservice

    return containerservice.ManagedClusterAgentPoolProfileArgs(
        name="system",
        mode=containerservice.AgentPoolMode.SYSTEM,
        vm_size=cluster.system.shape or SYSTEM_SHAPE,
        os_type=containerservice.OSType.LINUX,
        os_sku=containerservice.OSSKU.AZURE_LINUX,
        os_disk_type=containerservice.OSDiskType.MANAGED,
        os_disk_size_gb=128,
        # Node auto-provisioning and an autoscaled pool exclude one another.
        enable_auto_scaling=not cluster.node_auto_provisioning,
        count=cluster.system.min,
        min_count=None if cluster.node_auto_provisioning else cluster.system.min,
        max_count=None if cluster.node_auto_provisioning else cluster.system.max,
        enable_node_public_ip=False,
        enable_encryption_at_host=cluster.host_encryption,
        vnet_subnet_id=network.subnet_id,
        node_labels={"gpuplane/pool": "system"},
        tags=tags,
    )


def _access(cluster: AksCluster, network: AksNetwork) -> Any:
    from pulumi_azure_native import containerservice

    if cluster.endpoint == "private":
        return containerservice.ManagedClusterAPIServerAccessProfileArgs(
            enable_private_cluster=True, enable_private_cluster_public_fqdn=False, private_dns_zone="system"
        )
    return containerservice.ManagedClusterAPIServerAccessProfileArgs(
        enable_private_cluster=False,
        # Nodes themselves come from the address of the NAT gateway.
        authorized_ip_ranges=[
            *cluster.allowed_sources,
            network.way_out.apply(lambda address: f"{address}/32"),
        ],
    )


def _network(cluster: AksCluster) -> Any:
    """Pods have addresses of their own range (overlay); Cilium enforces NetworkPolicy."""
    from pulumi_azure_native import containerservice

    addresses = divide(cluster.network_cidr)
    return containerservice.ContainerServiceNetworkProfileArgs(
        network_plugin=containerservice.NetworkPlugin.AZURE,
        network_plugin_mode=containerservice.NetworkPluginMode.OVERLAY,
        network_dataplane=containerservice.NetworkDataplane.CILIUM,
        network_policy=containerservice.NetworkPolicy.CILIUM,
        outbound_type=containerservice.OutboundType.USER_ASSIGNED_NAT_GATEWAY,
        pod_cidr=str(addresses.pods),
        service_cidr=str(addresses.services),
        dns_service_ip=str(addresses.services[10]),
    )
