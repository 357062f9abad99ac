"""SkyPilot's own chart in the place of Deployment, Service and claim; everything else stays ours.

Keys of values: `charts/skypilot/values.yaml` of SkyPilot.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pulumi

from components.sky_pilot_kubernetes.deployment import (
    CHECKSUM,
    checksum,
    image,
    tolerations,
)
from components.sky_pilot_kubernetes.place import OURS, Place, Spec
from components.sky_pilot_kubernetes.pod import PodParts

HOOK = f'prepared="$(cd {OURS} && python3 -m local_services.sky_pilot_pod shell)"\neval "$prepared"'
"""Run by the chart before its server: configuration, files and password, as in our own pods."""
_FROM_VALUES = frozenset(
    {
        "ENABLE_SERVICE_ACCOUNTS",
        "SKY_API_SERVER_METRICS_ENABLED",
        "SKYPILOT_API_SERVER_STORAGE_ENABLED",
        "SKYPILOT_DB_CONNECTION_URI",
        "SKYPILOT_IN_CLUSTER_NAMESPACE",
        "SKYPILOT_RELEASE_NAME",
    }
)
"""Environment variables that the chart sets from its values: one that is there twice is an error."""


def make_chart(place: Place, pod: PodParts, account: str, database: pulumi.Input[str] | None) -> Any:
    """Declares the chart's objects.

    Args:
        place: The server.
        pod: What was collected for it.
        account: Its service account.
        database: Secret with the connection; None without a database.
    """
    from pulumi_kubernetes import helm

    return helm.v3.Chart(
        place.name,
        helm.v3.LocalChartOpts(
            path=place.on.chart,
            namespace=place.namespace,
            values=merged(place.on.chart_values, values(place, pod, account, database)),
            transformations=[partial(keep_claim, place.on.storage.keep)],
        ),
        opts=place.with_options(depends_on=pod.after),
    )


def keep_claim(keep: bool, found: Spec, opts: pulumi.ResourceOptions) -> None:
    """Treats the chart's volume as ours: it may stay on destroy, and nobody waits for it before its pod.

    Args:
        keep: Whether it stays.
        found: One of the chart's objects, which is changed.
        opts: Its options, which are changed.
    """
    if found.get("kind") == "PersistentVolumeClaim":
        opts.retain_on_delete = keep
        metadata = found.setdefault("metadata", {})
        metadata["annotations"] = {**(metadata.get("annotations") or {}), "pulumi.com/skipAwait": "true"}


def values(place: Place, pod: PodParts, account: str, database: pulumi.Input[str] | None) -> Spec:
    """Values of the chart that follow from the arguments.

    Args:
        place: The server.
        pod: What was collected for it.
        account: Its service account.
        database: Secret with the connection; None without a database.
    """
    on, storage = place.on, place.on.storage
    size = {"cpu": on.cpu, "memory": on.memory}
    env = [{"name": "SKYPILOT_DISABLE_USAGE_COLLECTION", "value": "1"}]
    env += [each for each in pod.env if each["name"] not in _FROM_VALUES]
    return {
        "global": {"imagePullSecrets": [{"name": name} for name in on.pull_secrets]},
        "apiService": {
            "image": image(place),
            "imagePullPolicy": "IfNotPresent",
            "replicas": on.replicas,
            "upgradeStrategy": "RollingUpdate" if on.update == "rolling" else "Recreate",
            "enableUserManagement": True,
            "enableServiceAccounts": place.args.auth.kind == "service_accounts",
            # What the chart would set by itself has a published password.
            "initialBasicAuthCredentials": None,
            "initialBasicAuthSecret": None,
            "config": None,
            "preDeployHook": HOOK,
            "dbConnectionSecretName": database,
            "dbConnectionString": None,
            "terminationGracePeriodSeconds": on.grace_s,
            "skipResourceCheck": on.small,
            "resources": {"requests": size, "limits": size},
            "metrics": {"enabled": place.metrics},
            "annotations": {CHECKSUM: checksum(place, pod)},
            "extraEnvs": env,
            "extraVolumes": pod.volumes,
            "extraVolumeMounts": pod.mounts,
            "nodeSelector": dict(on.node_selector),
            "tolerations": tolerations(place),
        },
        "auth": {
            "oauth": {"enabled": False},
            "externalProxy": {"enabled": False},
            "serviceAccount": {"enabled": place.args.auth.kind == "service_accounts"},
        },
        "storage": {
            "enabled": storage.enabled,
            "size": storage.size,
            "storageClassName": storage.storage_class,
            "accessMode": storage.access_mode,
        },
        "ingress": {"enabled": False, "oauth2-proxy": {"enabled": False}},
        "ingress-nginx": {"enabled": False},
        "rbac": {"create": False, "serviceAccountName": account, "manageSystemComponents": False},
        "kubernetesCredentials": {
            "useApiServerCluster": on.workloads.enabled,
            "inclusterNamespace": place.workloads if on.workloads.enabled else None,
        },
    }


def merged(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Spec:
    """Values of the user with ours on top: lists are joined, everything else of ours wins. Pure.

    Args:
        theirs: Values of the user.
        ours: Ours.
    """
    found: Spec = dict(theirs)
    for key, value in ours.items():
        given = found.get(key)
        if isinstance(given, Mapping) and isinstance(value, Mapping):
            found[key] = merged(given, value)
        elif isinstance(given, list) and isinstance(value, list):
            found[key] = [*given, *value]
        else:
            found[key] = value
    return found
