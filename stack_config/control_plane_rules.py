"""Rules of the control plane that need more than one field of the stack file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import TYPE_CHECKING

from stack_config.control_plane import (
    ControlPlane,
    GatewayModel,
    Served,
    keys_of,
    served,
    tenant_of,
    tenants_of,
)
from stack_config.errors import Problem, listing, nearest
from stack_config.names import name_rule
from stack_config.node_tls import broken_tls_rules
from stack_config.resolved import groups_of
from stack_config.stack_file import Opaque

if TYPE_CHECKING:
    from stack_config.models import Cluster, CredentialSource, StackFile

PATH = "gpuplane:controlPlane"
GATEWAY = "gateway"
"""What `gpuplane key` calls the gateway where it calls others by the name of their cluster."""
OWN_SETTINGS = {
    "DATABASE_URL": "databaseUrl",
    "REDIS_URL": "redisUrl",
    "GATEWAY_PORT": "port",
    "GATEWAY_QUEUE_S": "queueS",
    "GATEWAY_QUEUE_LENGTH": "queueLength",
    "GATEWAY_FIRST_BYTE_S": "firstByteS",
    "GATEWAY_STALL_S": "stallS",
    "GATEWAY_DRAIN_S": "drainS",
    "GATEWAY_HOST": "",
    "GATEWAY_DATA_DIR": "",
    "GATEWAY_SEED": "",
    "GATEWAY_ADMIN_TOKEN": "",
}
"""Settings that the program gives the gateway itself -> the key for it; empty: there is none."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def broken_control_plane_rules(file: StackFile) -> Iterator[Problem]:
    """Every broken rule of the control plane; none where there is no such section.

    Args:
        file: A stack file whose fields are valid one by one.
    """
    plane = file.control_plane
    if plane is None:
        return
    found = {
        name: each
        for name, cluster in file.clusters.items()
        if (each := served(name, plane, cluster.args, cluster.ports)) is not None
    }
    yield from _clusters(plane, file, found)
    names = frozenset(name for each in found.values() for name in each.models)
    # What a broken rule hides is not called wrong as well.
    known = all(each.models for each in found.values()) and all(
        name in file.clusters for name in plane.clusters
    )
    aliases = frozenset(name for name, model in plane.models.items() if model.targets)
    for name, model in plane.models.items():
        yield from _model(name, model, names, aliases, known=known)
    yield from _keys(plane, names, known=known)
    yield from _settings(plane)
    for name in found:
        yield from _upstream_key(name, file.clusters[name])
        yield from _way(name, file, plane)


def _clusters(plane: ControlPlane, file: StackFile, found: Mapping[str, Served]) -> Iterator[Problem]:
    for name in plane.clusters:
        if name not in file.clusters:
            yield Problem(
                f"{PATH}.clusters.{name}",
                f'no cluster "{name}"',
                nearest(name, file.clusters),
                f"use {listing(file.clusters)}",
            )
    if GATEWAY in file.clusters:
        yield Problem(
            f"gpuplane:clusters.{GATEWAY}",
            "is what the control plane's own service is called",
            next_step="rename the cluster",
        )
    for name, each in found.items():
        path, ports = f"{PATH}.clusters.{name}", file.clusters[name].ports
        http = [port.partition("/")[0] for port in ports if port.endswith("/http")]
        if not each.port:
            yield Problem(path, "the cluster has no http port", next_step="add one to its ports: 8000/http")
        elif str(each.port) not in http:
            yield Problem(
                f"{path}.port",
                f"{each.port} is not an http port of the cluster",
                nearest(str(each.port), http),
                f"use {listing(http)}",
            )
        if not each.models:
            yield Problem(
                path,
                "nothing says which models its nodes serve",
                next_step="give models here, or --model in the cluster's args",
            )


def _model(
    name: str, model: GatewayModel, names: frozenset[str], aliases: frozenset[str], *, known: bool
) -> Iterator[Problem]:
    path = f"{PATH}.models.{name}"
    if not model.targets and known and name not in names:
        yield Problem(
            path, "no cluster serves it", nearest(name, names), "give targets, or use " + listing(names)
        )
    for index, target in enumerate(model.targets):
        if target.model in aliases:
            yield Problem(
                f"{path}.targets[{index}].model",
                f'"{target.model}" is an alias itself',
                next_step="name what it stands for",
            )
        elif known and target.model not in names:
            yield Problem(
                f"{path}.targets[{index}].model",
                f'no cluster serves "{target.model}"',
                nearest(target.model, names),
                f"use {listing(names)}",
            )
        if target.model in [other.model for other in model.targets[:index]]:
            yield Problem(f"{path}.targets[{index}].model", f"{target.model} is listed twice")
    if model.targets and not any(target.weight for target in model.targets):
        yield Problem(f"{path}.targets", "every weight is 0", next_step="give one a weight")


def _keys(plane: ControlPlane, names: frozenset[str], *, known: bool) -> Iterator[Problem]:
    for name in plane.tenants:
        yield from name_rule(f"{PATH}.tenants.{name}", name)
    tenants = tenants_of(plane)
    for name, key in keys_of(plane).items():
        path = f"{PATH}.keys.{name}"
        yield from name_rule(path, name)
        if not tenant_of(key, plane):
            yield Problem(f"{path}.tenant", "is required where there are several tenants", "", _use(tenants))
        elif key.tenant and key.tenant not in tenants:
            yield Problem(
                f"{path}.tenant", f'no tenant "{key.tenant}"', nearest(key.tenant, tenants), _use(tenants)
            )
        usable = names | set(plane.models)
        for index, model in enumerate(key.models):
            if known and model not in usable:
                yield Problem(
                    f"{path}.models[{index}]",
                    f'no model "{model}"',
                    nearest(model, usable),
                    f"use {listing(usable)}",
                )


def _use(names: Mapping[str, object]) -> str:
    return f"use {listing(names.keys())}"


def _settings(plane: ControlPlane) -> Iterator[Problem]:
    for name in plane.env:
        path = f"{PATH}.env.{name}"
        if not _VARIABLE.fullmatch(name):
            yield Problem(path, "is not the name of an environment variable")
        elif name in OWN_SETTINGS:
            own = OWN_SETTINGS[name]
            step = f"use controlPlane.{own}" if own else "leave it out"
            yield Problem(path, "is what the stack sets itself", next_step=step)
    for key, url, schemes in (
        ("databaseUrl", plane.database_url, ("postgresql+asyncpg", "sqlite+aiosqlite")),
        ("redisUrl", plane.redis_url, ("redis", "rediss", "unix")),
    ):
        text = "" if url is None else url.get_secret_value()
        # A secure value that nobody has decrypted has no scheme to look at.
        if url is not None and text != Opaque() and text.partition("://")[0] not in schemes:
            yield Problem(f"{PATH}.{key}", f"must begin with {' or '.join(f'{one}://' for one in schemes)}")


def _upstream_key(name: str, cluster: Cluster) -> Iterator[Problem]:
    """The nodes have to ask for the key that the gateway knows, and for no other."""
    path = f"gpuplane:clusters.{name}"
    if "VLLM_API_KEY" in cluster.env and cluster.api_key is None:
        yield Problem(
            f"{path}.env.VLLM_API_KEY", "is not known to the gateway", next_step="give it as apiKey instead"
        )
    try:
        words = shlex.split(cluster.args)
    except ValueError:
        words = []
    if any(word.partition("=")[0].replace("_", "-") == "--api-key" for word in words):
        yield Problem(
            f"{path}.args", "has --api-key, where anybody can read it", next_step="give it as apiKey instead"
        )


def _way(name: str, file: StackFile, plane: ControlPlane) -> Iterator[Problem]:
    """The way to every node is closed to others: TLS, or a firewall that lets in the gateway alone."""
    told: set[str] = set()
    groups = groups_of(file.clusters[name], file.node_classes)
    for group in groups:
        source = file.credentials.get(group.credentials)
        if not group.enabled or source is None or group.credentials in told:
            continue
        told.add(group.credentials)
        if group.cloud == "lambda":
            yield from _lambda(name, group.credentials, source)
    yield from broken_tls_rules(plane, name, file.clusters[name], groups, file.credentials)


def _lambda(cluster: str, name: str, source: CredentialSource) -> Iterator[Problem]:
    path = f"gpuplane:credentials.{name}.allowedSources"
    step = "name the address of the gateway's machine, like 203.0.113.7/32"
    if not source.allowed_sources:
        yield Problem(path, f"is empty, but the control plane serves cluster {cluster} on it", next_step=step)
    for index, text in enumerate(source.allowed_sources):
        try:
            everybody = ip_network(text, strict=False).prefixlen == 0
        except ValueError:
            continue  # the cloud's own check says what is wrong with it
        if everybody:
            yield Problem(f"{path}[{index}]", "lets everybody reach the nodes", next_step=step)
