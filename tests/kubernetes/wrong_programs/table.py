"""Programs with one mistake each, and the line that has to name the property and the rule."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wrong:
    """One program.

    Attributes:
        name: what is wrong, in words; the id of its tests.
        cloud: the package it is for.
        program: what follows the cloud's prelude.
        property: as the message names it.
        rule: a part of the message that says why.
    """

    name: str
    cloud: str
    program: str
    property: str
    rule: str


def aws(name: str, program: str, property: str, rule: str) -> Wrong:
    return Wrong(name, "aws", program, property, rule)


def gcp(name: str, program: str, property: str, rule: str) -> Wrong:
    return Wrong(name, "gcp", program, property, rule)


def azure(name: str, program: str, property: str, rule: str) -> Wrong:
    return Wrong(name, "azure-native", program, property, rule)


SIZES = '{"min_size": 0, "max_size": 2, "desired_size": 0}'

# What a type check finds: the first four by Python, in the program.
TYPES = (
    aws(
        "unknown argument of a resource",
        "node_group(gpu_count=8)",
        "gpu_count",
        "unexpected keyword argument",
    ),
    aws(
        "missing argument of a resource",
        f'eks.NodeGroup("pool", cluster_name="gpu", node_role_arn=ROLE, scaling_config={SIZES})',
        "subnet_ids",
        "Missing required property",
    ),
    aws(
        "unknown argument of an object",
        "node_group(scaling_config=eks.NodeGroupScalingConfigArgs(minimum=0, max_size=2, desired_size=0))",
        "minimum",
        "unexpected keyword argument",
    ),
    aws(
        "missing argument of an object",
        'node_group(taints=[eks.NodeGroupTaintArgs(key="gpu")])',
        "effect",
        "missing 1 required keyword-only argument",
    ),
    aws(
        "unknown key of a dict",
        'node_group(scaling_config={"min_size": 0, "max_sizes": 2, "max_size": 2, "desired_size": 0})',
        "scalingConfig.max_sizes",
        "there is no such property: did you mean maxSize?",
    ),
    aws(
        "missing key of a dict",
        'node_group(scaling_config={"min_size": 0, "max_size": 2})',
        "scalingConfig.desiredSize",
        "is required and missing",
    ),
    aws(
        "a text for a number",
        'node_group(scaling_config={"min_size": 0, "max_size": "two", "desired_size": 0})',
        "scalingConfig.maxSize",
        "wants a number, and this is a string ('two')",
    ),
    aws(
        "a text for a list",
        'node_group(subnet_ids="subnet-0123456789abcdef0")',
        "subnetIds",
        "wants a list, and this is a string",
    ),
    azure(
        "a value that the SDK's enum lacks",
        'agent_pool(gpu_profile={"driver": "install"})',
        "gpuProfile.driver",
        "'install' is not one of Install, None",
    ),
)

# What only the cloud's own enumerations and rules find.
ENUMS = (
    aws(
        "image type",
        'node_group(ami_type="AL2023_x86_64_GPU")',
        "amiType",
        "is none of the values that AWS takes",
    ),
    aws(
        "capacity type", 'node_group(capacity_type="spot")', "capacityType", "ON_DEMAND, SPOT, CAPACITY_BLOCK"
    ),
    aws(
        "instance type",
        'node_group(instance_types=["p9.huge"])',
        "instanceTypes[0]",
        "'p9.huge' is no EC2 instance type",
    ),
    aws(
        "effect of a taint as Kubernetes writes it",
        'node_group(taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}])',
        "taints[0].effect",
        "NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE",
    ),
    aws(
        "disk size beside a launch template",
        'node_group(launch_template={"id": "lt-0123456789abcdef0", "version": "1"}, disk_size=200)',
        "diskSize",
        "can't be given with a launch template",
    ),
    gcp(
        "machine type",
        'node_pool({"machine_type": "g9-standard-8"})',
        "nodeConfig.machineType",
        "'g9-standard-8' is no machine type",
    ),
    gcp(
        "a GPU that the machine doesn't have",
        'node_pool({"guest_accelerators": accelerator("nvidia-tesla-t4", 1)})',
        "nodeConfig.guestAccelerators[0].type",
        "g2-standard-8 has nvidia-l4 built in",
    ),
    gcp(
        "driver version",
        'node_pool({"guest_accelerators": [{"type": "nvidia-l4", "count": 1,'
        ' "gpu_driver_installation_config": {"gpu_driver_version": "newest"}}]})',
        "gpuDriverInstallationConfig.gpuDriverVersion",
        "INSTALLATION_DISABLED, DEFAULT, LATEST",
    ),
    azure(
        "VM size",
        'agent_pool(vm_size="Standard_NC24ads_H900_v4")',
        "vmSize",
        "'Standard_NC24ads_H900_v4' is no VM size",
    ),
    azure(
        "name of a pool",
        'agent_pool(agent_pool_name="gpu-pool")',
        "agentPoolName",
        "a Linux pool has 1 to 12 letters and digits",
    ),
)

# Combinations.
RULES = (
    aws(
        "more EFA interfaces than cards",
        'template(instance_type="g6e.24xlarge",'
        ' network_interfaces=interfaces("efa", "efa-only", "efa-only"))',
        "networkInterfaces[2].interfaceType",
        "g6e.24xlarge has 2 network cards for EFA",
    ),
    aws(
        "EFA where there is none",
        'template(instance_type="g6.xlarge", network_interfaces=interfaces("efa"))',
        "networkInterfaces[0].interfaceType",
        "has no network card for EFA",
    ),
    aws(
        "no address on the first interface",
        'template(network_interfaces=interfaces("efa-only"))',
        "networkInterfaces[0].interfaceType",
        "efa, not efa-only",
    ),
    aws(
        "capacity block without a reservation",
        'template(instance_market_options={"market_type": "capacity-block"})',
        "capacityReservationTarget.capacityReservationId",
        "is required with marketType capacity-block",
    ),
    aws(
        "capacity block of a type that isn't sold so",
        'template(instance_type="g6e.xlarge", instance_market_options={"market_type": "capacity-block"},'
        ' capacity_reservation_specification=reservation("cr-0123456789abcdef0"))',
        "instanceType",
        "capacity blocks are not sold for g6e.xlarge",
    ),
    aws(
        "spot from a reservation",
        'template(instance_market_options={"market_type": "spot"},'
        ' capacity_reservation_specification=reservation("cr-0123456789abcdef0"))',
        "instanceMarketOptions.marketType",
        "spot can't use a capacity reservation",
    ),
    aws(
        "capacity block without a launch template",
        'node_group(capacity_type="CAPACITY_BLOCK")',
        "capacityType",
        "needs a launch template",
    ),
    aws(
        "image for GPUs on a machine without",
        'node_group(instance_types=["m7i.large"])',
        "instanceTypes[0]",
        "m7i.large has no NVIDIA GPU",
    ),
    aws(
        "image for other processors",
        'node_group(instance_types=["g5g.xlarge"])',
        "instanceTypes[0]",
        "g5g.xlarge has Arm processors",
    ),
    aws(
        "smallest size above the largest",
        'node_group(scaling_config={"min_size": 3, "max_size": 2, "desired_size": 3})',
        "scalingConfig.minSize",
        "3 is above scalingConfig.maxSize, which is 2",
    ),
    gcp(
        "spot with a reservation",
        'node_pool({"spot": True, "reservation_affinity": {"key": "compute.googleapis.com/reservation-name",'
        ' "consume_reservation_type": "SPECIFIC_RESERVATION", "values": ["r"]}})',
        "nodeConfig.reservationAffinity",
        "can't be given together with spot",
    ),
    gcp(
        "on demand where it isn't sold",
        'node_pool({"machine_type": "a4-highgpu-8g", "guest_accelerators": accelerator("nvidia-b200", 8)})',
        "nodeConfig.machineType",
        "a4-highgpu-8g is not sold on demand",
    ),
    gcp(
        "fewer GPUs than are built in",
        'node_pool({"machine_type": "a2-highgpu-4g",'
        ' "guest_accelerators": accelerator("nvidia-tesla-a100", 2)})',
        "nodeConfig.guestAccelerators[0].count",
        "has 4 of nvidia-tesla-a100, not 2",
    ),
    gcp(
        "a GPU on a machine that takes none",
        'node_pool({"machine_type": "e2-standard-8"})',
        "nodeConfig.guestAccelerators[0]",
        "e2-standard-8 takes no GPU",
    ),
    gcp(
        "counts for zones and totals",
        'node_pool(autoscaling={"total_max_node_count": 4, "max_node_count": 2})',
        "autoscaling.maxNodeCount",
        "can't be given together with totals",
    ),
    azure(
        "spot system pool",
        'agent_pool(mode="System", scale_set_priority="Spot")',
        "scaleSetPriority",
        "a Spot pool can't be the System pool",
    ),
    azure(
        "eviction of what isn't spot",
        'agent_pool(scale_set_eviction_policy="Delete")',
        "scaleSetEvictionPolicy",
        "is for pools with scaleSetPriority Spot",
    ),
    azure(
        "partitions of a GPU that has none",
        'agent_pool(vm_size="Standard_NC4as_T4_v3", gpu_instance_profile="MIG1g")',
        "gpuInstanceProfile",
        "the GPUs of Standard_NC4as_T4_v3 can't be partitioned",
    ),
    azure(
        "effect of a taint as other clouds write it",
        'agent_pool(node_taints=["sku=gpu:NO_SCHEDULE"])',
        "nodeTaints[0]",
        "a taint is key=value:Effect",
    ),
    azure(
        "autoscaling beside node provisioning",
        'cluster({"enable_auto_scaling": True, "min_count": 1, "max_count": 3},'
        ' node_provisioning_profile={"mode": "Auto"})',
        "agentPoolProfiles[0].enableAutoScaling",
        "pools have a fixed size",
    ),
)

WRONG = (*TYPES, *ENUMS, *RULES)
