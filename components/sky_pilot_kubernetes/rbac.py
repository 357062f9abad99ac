"""What the server may do in its own Kubernetes cluster: no more than making pods in one namespace takes.

The official chart's account may do everything with roles, so that SkyPilot can make an account for its pods.
Here that account is made beforehand, without any rights, and SkyPilot is told its name (`remote_identity`):
with it SkyPilot makes no roles (`sky/provision/kubernetes/config.py` of 0.14.1).
"""

from __future__ import annotations

from collections.abc import Iterable

import pulumi

from components.sky_pilot_kubernetes.place import Place, Spec
from components.sky_pilot_kubernetes.pod import PodParts
from stack_config.skypilot_kubernetes import RbacRule

_READ = ["get", "list", "watch"]
_ALL = [*_READ, "create", "update", "patch", "delete"]


def _rule(group: str, resources: list[str], verbs: list[str]) -> Spec:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


WORKLOAD_RULES = (
    _rule("", ["pods", "services", "secrets", "persistentvolumeclaims"], _ALL),
    _rule("", ["pods/status", "pods/log", "events"], _READ),
    _rule("", ["pods/exec", "pods/portforward"], ["get", "create"]),
    _rule("apps", ["deployments"], _ALL),
    _rule("apps", ["deployments/status"], _READ),
)
"""In the namespace of the clusters: pods, their services, keys, volumes, and controllers that come back."""

CLUSTER_RULES = (
    _rule("", ["nodes", "pods"], _READ),
    _rule("node.k8s.io", ["runtimeclasses"], _READ),
    _rule("networking.k8s.io", ["ingressclasses"], _READ),
    _rule("storage.k8s.io", ["storageclasses"], _READ),
)
"""Read in the whole cluster: which GPUs there are, and which of them are free."""


def add_rights(place: Place, pod: PodParts) -> str:
    """Makes the accounts and their rights.

    Args:
        place: The server.
        pod: Gets environment and configuration.

    Returns:
        Name of the pod's account.
    """
    from pulumi_kubernetes import core, rbac

    name = f"{place.name}-api-sa"
    on = place.on
    account = core.v1.ServiceAccount(
        name,
        metadata=place.meta(name, annotations=dict(on.service_account_annotations)),
        automount_service_account_token=False,
        opts=place.opts,
    )
    pod.after.append(account)
    if not on.workloads.enabled:
        return name
    runs_as = f"{place.name}-pods"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": place.namespace}
    core.v1.ServiceAccount(
        runs_as,
        metadata=place.meta(runs_as, place.workloads),
        automount_service_account_token=False,
        opts=place.opts,
    )
    role = f"{place.name}-api-role"
    # Namespaces are no part of names of the whole cluster's objects: two servers of one name would share one.
    wide = f"{place.namespace}-{role}"
    mirror = make_mirror(place)
    scopes: tuple[tuple[str, str, str, list[Spec]], ...] = (
        ("Role", role, place.workloads, [*WORKLOAD_RULES, *further(on.workloads.rules)]),
        ("Role", f"{place.name}-mirror", place.namespace, [mirror]),
        ("ClusterRole", wide, "", [*CLUSTER_RULES, *further(on.workloads.cluster_rules)]),
    )
    for kind, each, namespace, rules in scopes:
        made = getattr(rbac.v1, kind)(
            each, metadata=place.meta(each, namespace), rules=rules, opts=place.opts
        )
        bound = getattr(rbac.v1, f"{kind}Binding")(
            each,
            metadata=place.meta(each, namespace),
            role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": each},
            subjects=[subject],
            opts=place.with_options(depends_on=[made], delete_before_replace=True),
        )
        pod.after.append(bound)
    pod.set({"SKYPILOT_IN_CLUSTER_NAMESPACE": place.workloads, "SKYPILOT_RELEASE_NAME": place.name})
    kubernetes = pod.config.setdefault("kubernetes", {})
    pod.config["kubernetes"] = {"remote_identity": runs_as, **kubernetes}
    return name


def make_mirror(place: Place) -> Spec:
    """Makes the ConfigMap in which the server shows its present configuration, for people to look at.

    It is made here so that it goes with the stack; what is in it is the server's.

    Returns:
        The rule that lets the server write it, and no other.
    """
    from pulumi_kubernetes import core

    name = f"{place.name}-config"
    core.v1.ConfigMap(
        name,
        metadata=place.meta(name),
        opts=place.with_options(ignore_changes=["data"]),
    )
    return {**_rule("", ["configmaps"], ["get", "patch"]), "resourceNames": [name]}


def further(rules: Iterable[RbacRule]) -> list[Spec]:
    """Rules of the stack file as Kubernetes has them.

    Args:
        rules: The rules.
    """
    return [
        {"apiGroups": list(rule.api_groups), "resources": list(rule.resources), "verbs": list(rule.verbs)}
        for rule in rules
    ]


def make_namespaces(place: Place) -> list[pulumi.Resource]:
    """Makes the namespaces, where they are not there already.

    Returns:
        What everything else depends on.
    """
    from pulumi_kubernetes import core

    names = [place.namespace, *([place.workloads] if place.on.workloads.enabled else [])]
    storage = place.on.storage
    # A namespace takes the volume with it.
    kept = storage.enabled and storage.keep
    return [
        core.v1.Namespace(
            f"{place.name}-{name}",
            metadata=place.meta(name, ""),
            opts=place.with_options(retain_on_delete=kept),
        )
        for name in (names if place.on.create_namespace else ())
    ]
