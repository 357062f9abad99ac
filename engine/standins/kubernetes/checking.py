"""Checks inputs and fills in what the program leaves to the provider: the name and the namespace."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from engine.standins.kubernetes import objects
from engine.standins.kubernetes.objects import annotation, metadata
from engine.standins.kubernetes.values import UNKNOWN, Loaded, Object, has_unknown

_RELEASE = "kubernetes:helm.sh/v3:Release"


@dataclass(frozen=True)
class Checked:
    """Inputs and what is wrong with them.

    Attributes:
        inputs: with name and namespace.
        failures: (property, reason).
    """

    inputs: Loaded
    failures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Naming:
    """How an object that has no name gets one.

    Attributes:
        proposed: the engine's proposal; empty without.
        forbidden: whether the stack forbids it.
        seed: random bytes that are the same in preview and update.
    """

    proposed: str = ""
    forbidden: bool = False
    seed: bytes = b""


def check(
    urn: str,
    inputs: Loaded,
    old: Object,
    naming: Naming,
    is_namespaced: Callable[[Object], bool | None],
    namespace: str,
) -> Checked:
    """Checks inputs.

    Args:
        urn: of the resource.
        inputs: the program's.
        old: the inputs of the last run; empty without.
        naming: how it gets a name.
        is_namespaced: whether a kind is in namespaces; None when nobody knows.
        namespace: of objects that name none.
    """
    body: Object = objects.without_nulls(inputs.value)
    secrets = inputs.secrets | (
        frozenset({("data",), ("stringData",)}) if body.get("kind") == "Secret" else frozenset()
    )
    token = objects.type_of_urn(urn)
    if token == _RELEASE:
        return Checked(inputs, (("chart", "helm.v3.Release is not in the stand-in: use helm.v3.Chart"),))
    missing = [name for name in ("apiVersion", "kind") if not body.get(name)]
    if missing:
        return Checked(inputs, tuple((name, f"missing required property {name!r}") for name in missing))
    names = body.setdefault("metadata", {})
    if not isinstance(names, dict) or has_unknown([names.get("name"), names.get("generateName")]):
        return Checked(Loaded(body, secrets))
    if not names.get("name") and not names.get("generateName"):
        if objects.is_patch(token):
            return Checked(
                inputs, (("metadata.name", "a Patch resource needs the name of the object that it changes"),)
            )
        if naming.forbidden:
            return Checked(inputs, (("metadata.name", "the stack forbids automatic names"),))
        if names.get("annotations") == UNKNOWN:
            return Checked(Loaded(body, secrets))
        names["name"] = _name(urn, old, naming)
        names["annotations"] = {**(names.get("annotations") or {}), objects.AUTONAMED: "true"}
    if "namespace" not in names and is_namespaced(body):
        names["namespace"] = namespace
    return Checked(Loaded(body, secrets))


def _name(urn: str, old: Object, naming: Naming) -> str:
    if annotation(old, objects.AUTONAMED) and metadata(old).get("name"):
        return str(metadata(old)["name"])
    if naming.proposed:
        return naming.proposed
    digits = hashlib.sha256(naming.seed or os.urandom(16)).hexdigest()[:8]
    return f"{urn.rpartition('::')[2]}-{digits}"
