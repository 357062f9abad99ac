"""The sections of the stack file about Kubernetes clusters with GPU pools: EKS, GKE and AKS.

What a field may hold by itself is here. What the clouds sell, and what fits together, is in
components/kubernetes_pools and beside each component: those rules need the catalogue.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stack_config.shape import Model, Usd

Capacity = Literal["on_demand", "spot", "reserved", "flex", "block"]
Driver = Literal["cloud", "operator", "none"]
Text = Annotated[str, Field(min_length=1)]


class PoolTaint(Model):
    """A taint of every node in a pool: pods that do not tolerate it stay away."""

    key: Text = Field(description="Key, like `nvidia.com/gpu`.")
    value: str = Field(default="", description="Value; may be empty.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        default="NoSchedule", description="What it does to pods that do not tolerate it."
    )


class GpuPool(Model):
    """Equal GPU machines of one cluster; what the three clouds have in common."""

    gpu: str = Field(default="", description="GPU name, like `H100`; or give `shape`.")
    gpu_count: int | None = Field(
        default=None, ge=1, le=16, description="GPUs in a node; the smallest machine if left out."
    )
    shape: str = Field(default="", description="The cloud's own name of the machine; or give `gpu`.")
    capacity: Capacity = Field(default="on_demand", description="How nodes are rented.")
    reservation: str = Field(
        default="", description="For `reserved` and `block`: the cloud's id of what was reserved."
    )
    min: int = Field(default=0, ge=0, le=1000, description="Nodes that always run; 0: down to none.")
    max: int = Field(ge=1, le=1000, description="Nodes at most; equal to `min`: a fixed number.")
    driver: Driver = Field(
        default="cloud",
        description="Who installs the GPU driver: the `cloud`, NVIDIA's GPU `operator`, or `none` of them.",
    )
    taints: tuple[PoolTaint, ...] | None = Field(
        default=None, description="Taints of the nodes; the usual one of the cloud if left out."
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="Further labels of the nodes, beside `gpuplane/pool`."
    )
    rdma: bool = Field(
        default=False,
        description="The nodes work on one job: fast interconnect, all close together in one zone.",
    )
    zones: tuple[Text, ...] = Field(
        default=(), description="Zones of the pool; those of the cluster if left out."
    )
    disk_gb: int = Field(default=200, ge=100, le=16_000, description="Boot disk, GB; encrypted.")
    hourly_usd: Usd | None = Field(
        default=None, description="What you pay for one node, USD per hour, instead of the list price."
    )
    budget_hourly_usd: Usd | None = Field(
        default=None, description="Cap on `max` nodes of this pool, USD per hour."
    )


class SystemPool(Model):
    """Machines without GPUs, for what the cluster itself runs."""

    shape: str = Field(default="", description="The cloud's own name; a small machine if left out.")
    min: int = Field(default=2, ge=1, le=100, description="Nodes that always run.")
    max: int = Field(default=4, ge=1, le=100, description="Nodes at most.")


class KubernetesCluster(Model):
    """What the clusters of the three clouds have in common."""

    region: Text = Field(description="The cloud's own region.")
    version: str = Field(
        default="", description="Kubernetes version, like `1.34`; the cloud's default if empty."
    )
    endpoint: Literal["private", "public"] = Field(
        default="private",
        description="Where the API server answers: inside the network alone, or to `allowedSources` too.",
    )
    allowed_sources: tuple[Text, ...] = Field(
        default=(), description="IPv4 networks that may reach a public endpoint, or private ones on GKE."
    )
    network_cidr: str = Field(default="10.64.0.0/16", description="IPv4 network of the new network.")
    system: SystemPool = Field(default=SystemPool(), description="Machines without GPUs.")
    operator_chart: str = Field(
        default="",
        description="Path of NVIDIA's GPU Operator chart, for pools with driver `operator`; if empty it is "
        "yours to install.",
    )
    budget_hourly_usd: Usd | None = Field(
        default=None, description="Cap on `max` nodes of all pools together, USD per hour."
    )


class EksPool(GpuPool):
    """A GPU pool on EKS: a managed node group with a launch template."""

    image: Literal["bottlerocket", "al2023"] | None = Field(
        default=None,
        description="Operating system; if left out `bottlerocket`, which brings the device plugin, where "
        "it knows the machine, else `al2023`.",
    )


class ExistingEks(Model):
    """An EKS cluster that is there already; only the pools are made."""

    name: Text = Field(description="Its name.")
    subnet_ids: tuple[Text, ...] = Field(
        min_length=1, description="Private subnets for the nodes, in the order of `zones`."
    )
    autoscaler: bool = Field(default=True, description="It runs a cluster autoscaler already.")


class EksCluster(KubernetesCluster):
    """An EKS cluster with any number of GPU pools: docs/eks.md."""

    zones: tuple[Text, ...] = Field(
        min_length=1, description="Availability zones, at least two for a new one."
    )
    existing: ExistingEks | None = Field(default=None, description="Pools go here; nothing else is made.")
    kms_key_arn: str = Field(default="", description="Own key that secrets and disks are encrypted with.")
    nat: Literal["one", "each"] = Field(
        default="one", description="NAT gateways: `one` for all zones, or one in `each`."
    )
    admin_role_arns: tuple[Text, ...] = Field(
        default=(), description="IAM roles that administer the cluster, beside who makes it."
    )
    pools: dict[str, EksPool] = Field(default_factory=dict, description="GPU pools: name -> pool.")


class GkePool(GpuPool):
    """A GPU pool on GKE: a node pool."""

    max_run_s: int | None = Field(
        default=None,
        ge=600,
        le=604_800,
        description="For `flex`: how long a node runs at most, seconds; seven days if left out.",
    )
    queued: bool = Field(
        default=False, description="For `flex`: all nodes of a job start together or not at all."
    )
    gpu_partition: str = Field(default="", description="Slices of a GPU (MIG), like `1g.10gb`.")


class ExistingGke(Model):
    """A GKE cluster that is there already; only the pools are made."""

    name: Text = Field(description="Its name.")
    location: Text = Field(description="Its region, or its zone.")


class GkeCluster(KubernetesCluster):
    """A GKE cluster (Standard) with any number of GPU pools: docs/gke.md."""

    project: Text = Field(description="Id of the Google Cloud project.")
    existing: ExistingGke | None = Field(default=None, description="Pools go here; nothing else is made.")
    kms_key: str = Field(default="", description="Own key (full name) for disks and Kubernetes' secrets.")
    release_channel: Literal["RAPID", "REGULAR", "STABLE"] = Field(
        default="REGULAR", description="How fast the cluster moves to new versions."
    )
    deletion_protection: bool = Field(
        default=False, description="`true`: a destroy is refused until this is `false` and was brought up."
    )
    pools: dict[str, GkePool] = Field(default_factory=dict, description="GPU pools: name -> pool.")


class AksPool(GpuPool):
    """A GPU pool on AKS: an agent pool."""

    image: Literal["Ubuntu", "AzureLinux"] = Field(default="Ubuntu", description="Operating system.")
    mig: Literal["MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"] | None = Field(
        default=None, description="Slices of a GPU; fixed when the pool is made."
    )


class ExistingAks(Model):
    """An AKS cluster that is there already; only the pools are made."""

    name: Text = Field(description="Its name.")
    resource_group: Text = Field(description="Resource group that it is in.")
    subnet_id: str = Field(default="", description="Subnet for the nodes; that of the cluster if empty.")
    node_auto_provisioning: bool = Field(
        default=False, description="It makes nodes by itself (NAP); autoscaled pools are then refused."
    )


class AksCluster(KubernetesCluster):
    """An AKS cluster with any number of GPU pools: docs/aks.md."""

    existing: ExistingAks | None = Field(default=None, description="Pools go here; nothing else is made.")
    node_auto_provisioning: bool = Field(
        default=False,
        description="Nodes by need (NAP) beside pools of a fixed number; autoscaled pools are then refused.",
    )
    host_encryption: bool = Field(
        default=False,
        description="Temporary disks and caches are encrypted too; the subscription must have the feature "
        "EncryptionAtHost.",
    )
    disk_encryption_set_id: str = Field(default="", description="Own keys that disks are encrypted with.")
    admin_group_ids: tuple[Text, ...] = Field(
        default=(), description="Entra ID groups that administer the cluster; at least one for a new one."
    )
    pools: dict[str, AksPool] = Field(default_factory=dict, description="GPU pools: name -> pool.")


SECTIONS: tuple[tuple[str, type[Model]], ...] = (
    ("EKS cluster: `gpuplane:eksClusters.<name>`", EksCluster),
    ("EKS pool: an entry of `pools`", EksPool),
    ("EKS cluster that exists: `existing`", ExistingEks),
    ("GKE cluster: `gpuplane:gkeClusters.<name>`", GkeCluster),
    ("GKE pool: an entry of `pools`", GkePool),
    ("GKE cluster that exists: `existing`", ExistingGke),
    ("AKS cluster: `gpuplane:aksClusters.<name>`", AksCluster),
    ("AKS pool: an entry of `pools`", AksPool),
    ("AKS cluster that exists: `existing`", ExistingAks),
    ("System pool: `system`", SystemPool),
    ("Taint: an entry of `taints`", PoolTaint),
)
"""What docs/configuration.md says about these, section by section."""
