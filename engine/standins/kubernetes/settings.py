"""The provider's configuration: what the program, its stack and the environment say."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from engine.standins.kubernetes.values import UNKNOWN, Object

# A path is shorter than any kubeconfig; and a file system refuses to look for longer names.
_LONGEST_PATH = 1024
_CREDENTIALS = ("token", "password", "client-key-data", "client-certificate-data")


class BadSettings(Exception):
    """A setting cannot be used.

    Attributes:
        name: of the setting.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True)
class Settings:
    """What a provider works with.

    Attributes:
        kubeconfig: the file's content; None for KUBECONFIG or the user's own file.
        context: the context in it; None for its current one.
        namespace: of objects that name none.
        render: the folder of `renderYamlToDirectory`; None to work on a cluster.
        mutable: which of ConfigMap and Secret are changed in place.
        force: whether fields of others are taken without asking.
        upsert: whether an object that is there already is taken over.
        delete_unreachable: whether objects of a cluster that does not answer count as deleted.
    """

    kubeconfig: Mapping[str, Any] | None = field(default=None, repr=False)
    context: str | None = None
    namespace: str = "default"
    render: Path | None = None
    mutable: frozenset[str] = frozenset()
    force: bool = False
    upsert: bool = False
    delete_unreachable: bool = False


def read(values: Object, variables: Mapping[str, str] = os.environ) -> Settings:
    """Reads the provider's inputs.

    Args:
        values: as the engine has them: names as in the SDK, flags as text or as what they are.
        variables: the environment.

    Raises:
        BadSettings: the kubeconfig is none, or a setting is asked for that this stand-in lacks.
    """

    def flag(name: str, variable: str = "") -> bool:
        value = values.get(name)
        return str(variables.get(variable, "") if value is None else value).lower() == "true"

    if str(values.get("enableServerSideApply", "")).lower() == "false":
        raise BadSettings(
            "enableServerSideApply",
            "gpuplane's stand-in for the Kubernetes plugin has server-side apply only",
        )
    mutable = {
        kind
        for kind in ("ConfigMap", "Secret")
        if flag(f"enable{kind}Mutable", f"PULUMI_K8S_ENABLE_{kind.upper()}_MUTABLE")
    }
    folder = values.get("renderYamlToDirectory")
    return Settings(
        kubeconfig=None if folder else kubeconfig(values.get("kubeconfig")),
        context=values.get("context") or None,
        namespace=str(values.get("namespace") or "default"),
        render=Path(folder).absolute() if folder and folder != UNKNOWN else None,
        mutable=frozenset(mutable),
        force=flag("enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
        upsert=flag("upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
        delete_unreachable=flag("deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"),
    )


def kubeconfig(value: Any) -> Object | None:
    """A kubeconfig from a path or from its content, as text or as a map; None without one.

    Raises:
        BadSettings: it is none. What it holds is not in the message.
    """
    if not value or value == UNKNOWN:
        return None
    if isinstance(value, dict):
        return value
    text = str(value)
    if "\n" not in text and len(text) < _LONGEST_PATH and not text.lstrip().startswith("{"):
        try:
            text = Path(text).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise BadSettings("kubeconfig", f"cannot be read: {error.strerror}: {text}") from error
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        raise BadSettings("kubeconfig", "is not YAML") from None
    if not isinstance(found, dict) or not isinstance(found.get("clusters"), list):
        raise BadSettings("kubeconfig", "is not a kubeconfig: it has no list `clusters`")
    return found


def is_other_place(old: Object, new: Object) -> bool:
    """Whether objects of the old configuration are not those of the new one: the provider must be replaced.

    A kubeconfig of the same cluster with another token is the same place.

    Args:
        old: the provider's inputs of the last run.
        new: those of this one.
    """
    if UNKNOWN in (new.get("kubeconfig"), new.get("context"), new.get("clusterIdentifier")):
        return False
    if old.get("clusterIdentifier") or new.get("clusterIdentifier"):
        return bool(old.get("clusterIdentifier") != new.get("clusterIdentifier"))
    if old.get("renderYamlToDirectory") != new.get("renderYamlToDirectory"):
        return True
    return _server(old) != _server(new)


def _server(values: Object) -> str:
    """The address of the cluster that a kubeconfig's context leads to; empty if that cannot be told."""
    try:
        config = kubeconfig(values.get("kubeconfig")) or {}
    except BadSettings:
        return ""
    context = values.get("context") or config.get("current-context")
    contexts = {each.get("name"): each.get("context") or {} for each in config.get("contexts") or []}
    clusters = {each.get("name"): each.get("cluster") or {} for each in config.get("clusters") or []}
    name = (contexts.get(context) or {}).get("cluster")
    return str((clusters.get(name) or {}).get("server") or "")


def credentials(config: Mapping[str, Any] | None) -> list[str]:
    """The texts of a kubeconfig that no message may hold."""
    found: list[str] = []
    for user in (config or {}).get("users") or []:
        own = user.get("user") if isinstance(user, dict) else None
        if isinstance(own, dict):
            found += [str(own[key]) for key in _CREDENTIALS if own.get(key)]
            variables = (own.get("exec") or {}).get("env") or []
            found += [str(each.get("value") or "") for each in variables]
    return found
