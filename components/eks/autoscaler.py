"""The cluster autoscaler: EKS's own node groups do not follow the load by themselves."""

from __future__ import annotations

import json
from typing import Any

import pulumi

from components.eks import policies
from components.eks.control_plane import ControlPlane
from components.eks.roles import make_role
from stack_config.kubernetes_clusters import EksCluster

NAME = "cluster-autoscaler"
NAMESPACE = "kube-system"
DEFAULT_VERSION = "1.33"
"""Version for a cluster that leaves its own to EKS; one of a neighbouring minor version works."""

_LOOK = ["get", "list", "watch"]
CLUSTER_RULES: tuple[tuple[str, list[str], list[str]], ...] = (
    ("", ["events"], ["create", "patch"]),
    ("", ["nodes"], [*_LOOK, "update", "patch"]),
    ("", ["pods/eviction"], ["create"]),
    ("", ["pods/status"], ["update"]),
    (
        "",
        [
            "namespaces",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "replicationcontrollers",
            "services",
        ],
        _LOOK,
    ),
    ("apps", ["daemonsets", "replicasets", "statefulsets"], _LOOK),
    ("batch", ["jobs"], _LOOK),
    ("policy", ["poddisruptionbudgets"], _LOOK),
    (
        "storage.k8s.io",
        ["csidrivers", "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments"],
        _LOOK,
    ),
    ("resource.k8s.io", ["deviceclasses", "resourceclaims", "resourceslices"], _LOOK),
    ("coordination.k8s.io", ["leases"], ["create"]),
)
"""API group, resources, verbs that it has in the whole cluster."""


def make_autoscaler(
    name: str,
    cluster: EksCluster,
    control: ControlPlane,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
    kube: pulumi.ResourceOptions,
) -> None:
    """Rights in AWS by Pod Identity, rights in the cluster, and the program itself on the system nodes.

    Args:
        name: Name of the cluster, for the resources' names.
        cluster: The cluster.
        control: Its control plane.
        tags: Tags of everything.
        opts: Options of resources of AWS.
        kube: Options of objects of the cluster.
    """
    from pulumi_aws import eks

    rights = pulumi.Output.all(control.arn, control.name).apply(
        lambda found: json.dumps(policies.autoscaler_policy(cluster.region, found[0].split(":")[4], found[1]))
    )
    role = make_role(f"{name}-autoscaler", cluster.region, policies.trust_pods(), (), tags, opts, own=rights)
    identity = eks.PodIdentityAssociation(
        f"{name}-autoscaler",
        cluster_name=control.name,
        namespace=NAMESPACE,
        service_account=NAME,
        role_arn=role.arn,
        region=cluster.region,
        tags=tags,
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(depends_on=[*role.ready, *control.ready])
        ),
    )
    after = pulumi.ResourceOptions.merge(kube, pulumi.ResourceOptions(depends_on=[identity, *control.ready]))
    _rights_in_cluster(name, after)
    _deployment(name, cluster, control, after)


def _rights_in_cluster(name: str, opts: pulumi.ResourceOptions) -> None:
    from pulumi_kubernetes import core, meta, rbac

    metadata = meta.v1.ObjectMetaArgs(name=NAME)
    here = meta.v1.ObjectMetaArgs(name=NAME, namespace=NAMESPACE)
    subjects = [rbac.v1.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=NAMESPACE)]
    core.v1.ServiceAccount(f"{name}-autoscaler", metadata=here, opts=opts)
    rbac.v1.ClusterRole(
        f"{name}-autoscaler",
        metadata=metadata,
        rules=[
            *(
                rbac.v1.PolicyRuleArgs(api_groups=[group], resources=resources, verbs=verbs)
                for group, resources, verbs in CLUSTER_RULES
            ),
            rbac.v1.PolicyRuleArgs(
                api_groups=["coordination.k8s.io"],
                resources=["leases"],
                resource_names=[NAME],
                verbs=["get", "update"],
            ),
        ],
        opts=opts,
    )
    rbac.v1.ClusterRoleBinding(
        f"{name}-autoscaler",
        metadata=metadata,
        role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=NAME),
        subjects=subjects,
        opts=opts,
    )
    rbac.v1.Role(
        f"{name}-autoscaler",
        metadata=here,
        rules=[
            rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["configmaps"], verbs=["create", *_LOOK]),
            rbac.v1.PolicyRuleArgs(
                api_groups=[""],
                resources=["configmaps"],
                resource_names=["cluster-autoscaler-status", "cluster-autoscaler-priority-expander"],
                verbs=["delete", "get", "update", "watch"],
            ),
        ],
        opts=opts,
    )
    rbac.v1.RoleBinding(
        f"{name}-autoscaler",
        metadata=here,
        role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=NAME),
        subjects=subjects,
        opts=opts,
    )


def command(region: str, cluster: str) -> list[str]:
    """What the program is started with: it finds the scaling groups by EKS's own tag."""
    return [
        "./cluster-autoscaler",
        "--cloud-provider=aws",
        f"--aws-region={region}",
        f"--cluster-name={cluster}",
        f"--node-group-auto-discovery=asg:tag=kubernetes.io/cluster/{cluster}=owned",
        "--balance-similar-node-groups=false",
        "--expander=least-waste",
        "--skip-nodes-with-local-storage=false",
        "--scale-down-unneeded-time=10m",
        "--stderrthreshold=info",
    ]


def _deployment(name: str, cluster: EksCluster, control: ControlPlane, opts: pulumi.ResourceOptions) -> Any:
    from pulumi_kubernetes import apps, core, meta

    labels = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/managed-by": "gpuplane"}
    version = cluster.version or DEFAULT_VERSION
    return apps.v1.Deployment(
        f"{name}-autoscaler",
        metadata=meta.v1.ObjectMetaArgs(name=NAME, namespace=NAMESPACE, labels=labels),
        spec=apps.v1.DeploymentSpecArgs(
            replicas=1,
            selector=meta.v1.LabelSelectorArgs(match_labels={"app.kubernetes.io/name": NAME}),
            template=core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(labels=labels),
                spec=core.v1.PodSpecArgs(
                    service_account_name=NAME,
                    priority_class_name="system-cluster-critical",
                    security_context=core.v1.PodSecurityContextArgs(
                        run_as_non_root=True,
                        run_as_user=65534,
                        fs_group=65534,
                        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
                    ),
                    containers=[
                        core.v1.ContainerArgs(
                            name=NAME,
                            image=f"registry.k8s.io/autoscaling/cluster-autoscaler:v{version}.0",
                            command=control.name.apply(lambda found: command(cluster.region, found)),
                            resources=core.v1.ResourceRequirementsArgs(
                                requests={"cpu": "100m", "memory": "600Mi"}, limits={"memory": "600Mi"}
                            ),
                            liveness_probe=core.v1.ProbeArgs(
                                http_get=core.v1.HTTPGetActionArgs(path="/health-check", port=8085),
                                failure_threshold=3,
                                period_seconds=10,
                            ),
                            security_context=core.v1.SecurityContextArgs(
                                allow_privilege_escalation=False,
                                capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
                                read_only_root_filesystem=True,
                            ),
                        )
                    ],
                ),
            ),
        ),
        opts=opts,
    )
