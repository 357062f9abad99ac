"""Which changes need a new object, because the API server refuses them on an existing one.

Sources: the update validation of each kind (`k8s.io/kubernetes/pkg/apis/*/validation`), whose messages say
"field is immutable", and for ConfigMap and Secret what the official plugin does by default.
"""

from collections.abc import Collection
from typing import Any

from engine.standins.kubernetes.values import Object

_EVERY_KIND = ("metadata.name", "metadata.namespace", "kind")
_BY_KIND: dict[str, tuple[str, ...]] = {
    "ClusterRoleBinding": ("roleRef",),
    "CSIDriver": ("spec",),
    "ControllerRevision": ("data",),
    "DaemonSet": ("spec.selector",),
    "Deployment": ("spec.selector",),
    "IngressClass": ("spec.controller",),
    "Job": (
        "spec.selector",
        "spec.template",
        "spec.completionMode",
        "spec.completions",
        "spec.manualSelector",
    ),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.dataSource",
        "spec.dataSourceRef",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeMode",
        "spec.volumeName",
    ),
    "PersistentVolume": ("spec.volumeMode", "spec.storageClassName"),
    "Pod": ("spec",),
    "PriorityClass": ("value", "preemptionPolicy"),
    "ReplicaSet": ("spec.selector",),
    "RoleBinding": ("roleRef",),
    "RuntimeClass": ("handler",),
    "Secret": ("type",),
    "StatefulSet": (
        "spec.podManagementPolicy",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
}
# What may be changed all the same, although a place above it is in the table.
_ALLOWED: dict[str, tuple[str, ...]] = {
    "Pod": ("spec.activeDeadlineSeconds", "spec.tolerations", "spec.terminationGracePeriodSeconds"),
}
_CONTENT = ("data", "stringData", "binaryData")


def rules(old: Object, new: Object, mutable: Collection[str]) -> tuple[str, ...]:
    """The dotted places whose change needs a new object.

    Args:
        old: the inputs of the last run.
        new: the inputs of this one.
        mutable: which of ConfigMap and Secret may be changed in place.
    """
    kind = str(new.get("kind") or "")
    found = (*_EVERY_KIND, *_BY_KIND.get(kind, ()))
    if kind in ("ConfigMap", "Secret") and (old.get("immutable") is True or kind not in mutable):
        found += _CONTENT
    if old.get("immutable") is True and new.get("immutable") is not True:
        found += ("immutable",)
    return found


def needs_new_object(path: str, found: tuple[str, ...], old: Object, new: Object) -> bool:
    """Whether a change at this place does.

    Args:
        path: as the engine writes places, for example `spec.template.spec.containers[0].image`.
        found: what `rules` returned.
        old: the inputs of the last run.
        new: the inputs of this one.
    """
    if path == "apiVersion":
        return _group(old.get("apiVersion")) != _group(new.get("apiVersion"))
    if any(_below(path, place) for place in _ALLOWED.get(str(new.get("kind")), ())):
        return False
    if new.get("kind") == "Pod" and path.endswith(".image"):
        return False
    return any(_below(path, place) for place in found)


def _below(path: str, place: str) -> bool:
    return path == place or path.startswith((f"{place}.", f"{place}["))


def _group(api_version: Any) -> str:
    # Another version of the same group is the same object.
    return str(api_version or "").rpartition("/")[0]
