"""DaemonSets that tell Kubernetes of GPUs, and of EFA, where the node's image brings none for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.kubernetes_pools.plan import POOL_LABEL, PoolPlan

NVIDIA_IMAGE = "nvcr.io/nvidia/k8s-device-plugin:v0.17.4"
EFA_IMAGE = "602401143452.dkr.ecr.{region}.amazonaws.com/eks/aws-efa-k8s-device-plugin:v0.5.8"
"""In the registry of EKS itself, which every node may read (account 602401143452 in most regions)."""

SOCKETS = "/var/lib/kubelet/device-plugins"
"""Where device plugins find the kubelet."""


def nvidia_device_plugin(
    name: str, plans: Sequence[PoolPlan], sliced: bool, opts: pulumi.ResourceOptions
) -> None:
    """NVIDIA's device plugin, on the nodes of some pools.

    Args:
        name: Name of the cluster, for the resource's name.
        plans: The pools.
        sliced: GPUs of a pool are cut into slices (MIG): each slice then counts as a GPU.
        opts: Provider of the cluster, and the parent.
    """
    _daemon_set(
        f"{name}-nvidia-device-plugin",
        "nvidia-device-plugin",
        plans,
        {
            "image": NVIDIA_IMAGE,
            "env": [
                {"name": "FAIL_ON_INIT_ERROR", "value": "false"},
                {"name": "MIG_STRATEGY", "value": "single" if sliced else "none"},
            ],
            "security_context": {"allow_privilege_escalation": False, "capabilities": {"drop": ["ALL"]}},
        },
        opts,
    )


def efa_device_plugin(
    name: str, region: str, plans: Sequence[PoolPlan], opts: pulumi.ResourceOptions
) -> None:
    """AWS's device plugin for EFA, on the nodes of some pools; it needs the host's devices.

    Args:
        name: Name of the cluster, for the resource's name.
        region: Region of the registry.
        plans: The pools.
        opts: Provider of the cluster, and the parent.
    """
    _daemon_set(
        f"{name}-efa-device-plugin",
        "efa-device-plugin",
        plans,
        {
            "image": EFA_IMAGE.format(region=region),
            "security_context": {"privileged": True, "run_as_user": 0},
            "volume_mounts": [{"name": "infiniband", "mount_path": "/dev/infiniband"}],
        },
        opts,
        volumes=[{"name": "infiniband", "host_path": {"path": "/dev/infiniband"}}],
        host_network=True,
    )


def _daemon_set(
    resource: str,
    name: str,
    plans: Sequence[PoolPlan],
    container: dict[str, Any],
    opts: pulumi.ResourceOptions,
    *,
    volumes: Sequence[dict[str, Any]] = (),
    host_network: bool = False,
) -> None:
    from pulumi_kubernetes import apps, core, meta

    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "gpuplane"}
    mounts = [{"name": "device-plugins", "mount_path": SOCKETS}, *container.pop("volume_mounts", ())]
    affinity = core.v1.AffinityArgs(
        node_affinity=core.v1.NodeAffinityArgs(
            required_during_scheduling_ignored_during_execution=core.v1.NodeSelectorArgs(
                node_selector_terms=[
                    core.v1.NodeSelectorTermArgs(
                        match_expressions=[
                            core.v1.NodeSelectorRequirementArgs(
                                key=POOL_LABEL, operator="In", values=[plan.name for plan in plans]
                            )
                        ]
                    )
                ]
            )
        )
    )
    apps.v1.DaemonSet(
        resource,
        metadata=meta.v1.ObjectMetaArgs(
            name=name,
            namespace="kube-system",
            labels=labels,
            # A pool that is scaled to zero has no node for it, and that is well.
            annotations={"pulumi.com/skipAwait": "true"},
        ),
        spec=apps.v1.DaemonSetSpecArgs(
            selector=meta.v1.LabelSelectorArgs(match_labels={"app.kubernetes.io/name": name}),
            update_strategy=apps.v1.DaemonSetUpdateStrategyArgs(type="RollingUpdate"),
            template=core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(labels=labels),
                spec=core.v1.PodSpecArgs(
                    affinity=affinity,
                    automount_service_account_token=False,
                    containers=[
                        core.v1.ContainerArgs(
                            name=name,
                            image=container["image"],
                            env=[core.v1.EnvVarArgs(**each) for each in container.get("env", ())],
                            security_context=core.v1.SecurityContextArgs(**container["security_context"]),
                            resources=core.v1.ResourceRequirementsArgs(
                                requests={"cpu": "10m", "memory": "64Mi"}, limits={"memory": "256Mi"}
                            ),
                            volume_mounts=[core.v1.VolumeMountArgs(**mount) for mount in mounts],
                        )
                    ],
                    host_network=host_network or None,
                    priority_class_name="system-node-critical",
                    tolerations=[core.v1.TolerationArgs(operator="Exists")],
                    volumes=[
                        core.v1.VolumeArgs(**volume)
                        for volume in (
                            {"name": "device-plugins", "host_path": {"path": SOCKETS}},
                            *volumes,
                        )
                    ],
                ),
            ),
        ),
        opts=opts,
    )
