"""Kubernetes objects: their names, where they belong, and what of a live one the program has declared."""

import hashlib
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.standins.kubernetes.values import UNKNOWN, Object

#: Annotations that the official plugin knows, too.
SKIP_AWAIT = "pulumi.com/skipAwait"
AUTONAMED = "pulumi.com/autonamed"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
PATCH_FORCE = "pulumi.com/patchForce"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"

#: Kinds of Kubernetes itself that belong to no namespace. Source: `kubectl api-resources --namespaced=false`.
CLUSTER_WIDE = frozenset(
    {
        "APIService",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "CSIDriver",
        "CSINode",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "IPAddress",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersion",
        "StorageVersionMigration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)
#: The API groups of Kubernetes itself. Any other is somebody's CRDs, whatever it ends with.
_OWN_GROUPS = frozenset(
    {"", "apps", "batch", "autoscaling", "policy", "extensions"}
    | {f"{name}.apiserver.k8s.io" for name in ("flowcontrol", "internal")}
    | {
        f"{name}.k8s.io"
        for name in (
            "admissionregistration",
            "apiextensions",
            "apiregistration",
            "authentication",
            "authorization",
            "certificates",
            "coordination",
            "discovery",
            "events",
            "networking",
            "node",
            "rbac.authorization",
            "resource",
            "scheduling",
            "storage",
            "storagemigration",
        )
    }
)

_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d+))?")
_SUFFIXES = {
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
}
_QUANTITIES = frozenset({"requests", "limits", "capacity", "allocatable", "hard", "max", "min", "default"})


def metadata(body: Object) -> Object:
    """An object's metadata; empty when it has none, or when it is not known yet."""
    found = body.get("metadata")
    return found if isinstance(found, dict) else {}


def annotation(body: Object, name: str) -> str:
    """The value of an annotation; empty without it."""
    found = metadata(body).get("annotations")
    return str(found.get(name) or "") if isinstance(found, dict) else ""


def full_name(body: Object) -> str:
    """`namespace/name`, or the name alone: the engine's id of the object."""
    found = metadata(body)
    return f"{found['namespace']}/{found['name']}" if found.get("namespace") else str(found.get("name"))


def reference(id_: str, body: Object) -> Object:
    """The least that names an object: API version, kind, name and namespace.

    Args:
        id_: the engine's id.
        body: has `apiVersion` and `kind`.
    """
    namespace, _, name = id_.rpartition("/")
    names = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": names}


def type_of_urn(urn: str) -> str:
    """The type token in a URN, without its parents' types."""
    return urn.split("::")[2].split("$")[-1]


def is_patch(token: str) -> bool:
    """Whether a type changes an object of somebody else instead of having one of its own."""
    return token.endswith("Patch")


def kind_of(token: str) -> tuple[str, str]:
    """API version and kind that a type token stands for, such as `kubernetes:apps/v1:Deployment`."""
    _, version, kind = token.split(":")
    return version.removeprefix("core/"), kind.removesuffix("Patch")


def manager(urn: str) -> str:
    """The name under which the fields of a resource are managed."""
    return "pulumi-kubernetes-" + hashlib.sha256(urn.encode()).hexdigest()[:8]


def is_own(api_version: str) -> bool:
    """Whether a kind of this API version is of Kubernetes itself and not of a CRD."""
    return api_version.rpartition("/")[0] in _OWN_GROUPS


def without_nulls(value: Any) -> Any:
    """The same without keys that have no value."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def declared_part(live: Any, declared: Any, path: tuple[str, ...] = ()) -> Any:
    """What is live, cut down to what the program has declared: shows drift, and no default of the server.

    Args:
        live: as the server has it.
        declared: as the program wants it.
        path: the keys that lead to both.
    """
    if isinstance(live, dict) and isinstance(declared, dict):
        found: Object = {}
        for name, item in declared.items():
            if name in live:
                found[name] = declared_part(live[name], item, (*path, name))
            elif not item:
                found[name] = item  # the server leaves out what is empty
        return found
    if isinstance(live, list) and isinstance(declared, list):
        by_name = _named(declared)
        if by_name is not None and _named(live) is not None:
            return [declared_part(item, by_name.get(item["name"], item), path) for item in live]
        if len(live) != len(declared):
            return live
        return [declared_part(left, right, path) for left, right in zip(live, declared, strict=True)]
    return declared if same(live, declared, path) else live


def _named(items: Iterable[Any]) -> dict[str, Any] | None:
    items = list(items)
    if not all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in items):
        return None
    found = {item["name"]: item for item in items}
    return found if len(found) == len(items) else None


def same(live: Any, declared: Any, path: tuple[str, ...]) -> bool:
    """Whether two values mean the same to Kubernetes, which writes quantities in its own way.

    Args:
        live: as the server has it.
        declared: as the program wants it.
        path: the keys that lead to both.
    """
    if live == declared:
        return True
    if path[-1:] != ("sizeLimit",) and not _QUANTITIES.intersection(path[-2:-1]):
        return False
    left, right = quantity(live), quantity(declared)
    return left is not None and left == right


def quantity(value: Any) -> Decimal | None:
    """A Kubernetes quantity such as `500m` or `1Gi`; None if it is none."""
    found = _QUANTITY.fullmatch(str(value))
    if found is None or isinstance(value, bool):
        return None
    number = Decimal(found[1])
    if found[3]:
        return number.scaleb(int(found[3])) if abs(int(found[3])) < 100 else None
    return number * _SUFFIXES[found[2]] if found[2] else number


def unsettled(body: Object) -> Object:
    """What a dry run of a creation has answered, with what will be another at the real one not known.

    Args:
        body: the object; it is not changed.
    """
    found = {key: value for key, value in body.items() if key != "status"}
    found["metadata"] = dict(metadata(body))
    for key in ("uid", "resourceVersion", "creationTimestamp"):
        if key in found["metadata"]:
            found["metadata"][key] = UNKNOWN
    if body.get("kind") == "Service" and isinstance(body.get("spec"), dict):
        spec = found["spec"] = dict(body["spec"])
        if spec.get("clusterIP") not in (None, "None"):
            spec |= {"clusterIP": UNKNOWN, "clusterIPs": UNKNOWN}
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            spec["ports"] = UNKNOWN
    return found
