"""Rules of the SkyPilot sections that need more than one field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stack_config.errors import Problem, listing, nearest
from stack_config.names import LONGEST_NODE_NAME, name_rule
from stack_config.resolved import node_names

if TYPE_CHECKING:
    from stack_config.models import StackFile

SKYPILOT = "skypilot"
"""The cloud of credential sets that are SkyPilot API servers."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def broken_skypilot_rules(file: StackFile) -> Iterator[Problem]:
    """Every broken rule of servers, clusters and tenants.

    Args:
        file: A stack file whose fields are valid one by one.
    """
    yield from _servers(file)
    for name in file.skypilot_tenants:
        yield from _tenant(name, file)
    for name in file.skypilot_clusters:
        yield from _cluster(name, file)


def external_servers(file: StackFile) -> list[str]:
    """Names of the credential sets that are SkyPilot API servers."""
    return [name for name, source in file.credentials.items() if source.cloud == SKYPILOT]


def _servers(file: StackFile) -> Iterator[Problem]:
    ports: dict[int, str] = {}
    for name, server in file.skypilot_servers.items():
        path = f"gpuplane:skypilotServers.{name}"
        yield from name_rule(path, name)
        if name in file.credentials:
            yield Problem(path, "is the name of a credential set too", next_step="rename one of them")
        if server.target == "kubernetes":
            yield from _on_kubernetes(name, file)
        elif server.port in ports:
            yield Problem(
                f"{path}.port",
                f"{server.port} is the port of {ports[server.port]} too",
                next_step="give each server its own",
            )
        else:
            ports[server.port] = name
        if server.password is not None and server.auth == "none":
            yield Problem(f"{path}.password", "needs auth: basic or service_accounts")
        if "allowed_clouds" in server.config and server.allowed_clouds:
            yield Problem(f"{path}.config.allowed_clouds", "is what allowedClouds sets", next_step="keep one")
        for variable in server.env:
            if not _VARIABLE.fullmatch(variable):
                yield Problem(f"{path}.env.{variable}", "is not the name of an environment variable")
        for place in server.home_files:
            if place.startswith("/") or ".." in place.split("/"):
                yield Problem(f"{path}.homeFiles.{place}", "must be a path inside the server's home folder")


def _on_kubernetes(name: str, file: StackFile) -> Iterator[Problem]:
    """Where it is, and whether what is to run on it gets in; everything else its component knows."""
    path, server = f"gpuplane:skypilotServers.{name}", file.skypilot_servers[name]
    on = server.kubernetes
    places = [] if on is None else [place for place in (on.cluster, on.kubeconfig or on.context) if place]
    if len(places) != 1:
        yield Problem(
            f"{path}.kubernetes",
            "does not say which Kubernetes cluster" if not places else "says twice which Kubernetes cluster",
            next_step="give cluster, or kubeconfig and context",
        )
    known = [*file.eks_clusters, *file.gke_clusters, *file.aks_clusters]
    if on is not None and on.cluster and on.cluster not in known:
        yield Problem(
            f"{path}.kubernetes.cluster",
            f'no cluster "{on.cluster}"',
            nearest(on.cluster, known),
            f"use {listing(known)}, or kubeconfig" if known else "declare it, or use kubeconfig",
        )
    users = [f"cluster {each}" for each, c in file.skypilot_clusters.items() if c.server == name]
    users += [f"tenant {each}" for each, t in file.skypilot_tenants.items() if t.server == name]
    if not users:
        return
    if server.auth in ("oauth2", "external_proxy"):
        yield Problem(
            f"{path}.auth",
            f"{server.auth} has no password that this stack could use, but {users[0]} is on it",
            next_step="use service_accounts, or a credential set with a token in its place",
        )
    if on is not None and on.ingress is None:
        yield Problem(
            f"{path}.kubernetes.ingress",
            f"without one only Kubernetes reaches the server, but {users[0]} is on it",
            next_step="give it an ingress",
        )


def _tenant(name: str, file: StackFile) -> Iterator[Problem]:
    path = f"gpuplane:skypilotTenants.{name}"
    tenant = file.skypilot_tenants[name]
    yield from name_rule(path, name)
    if len(name) > LONGEST_NODE_NAME:
        yield Problem(
            path,
            f"its name has {len(name)} characters; the limit is {LONGEST_NODE_NAME}",
            next_step="shorten it: it is part of the workspace's name",
        )
    yield from _reference(f"{path}.server", tenant.server, file)
    made = file.skypilot_servers.get(tenant.server)
    if tenant.token and made is not None and made.auth != "service_accounts":
        yield Problem(
            f"{path}.token",
            f'server "{tenant.server}" makes no tokens',
            next_step="give it auth: service_accounts, or this tenant token: false",
        )
    if tenant.isolation == "server":
        if tenant.clouds:
            yield Problem(f"{path}.clouds", "is for a workspace; a server has its own accounts")
        others = [f"tenant {each}" for each, t in file.skypilot_tenants.items() if t.server == tenant.server]
        others.remove(f"tenant {name}")
        others += [
            f"cluster {each}" for each, c in file.skypilot_clusters.items() if c.server == tenant.server
        ]
        if others:
            yield Problem(
                f"{path}.isolation",
                f"the server is to be this tenant's own, but {others[0]} uses it too",
                next_step="use isolation: workspace, or another server",
            )


def _cluster(name: str, file: StackFile) -> Iterator[Problem]:
    path = f"gpuplane:skypilotClusters.{name}"
    cluster = file.skypilot_clusters[name]
    yield from name_rule(path, name)
    if len(name) > LONGEST_NODE_NAME:
        yield Problem(
            path,
            f"its name has {len(name)} characters; the limit is {LONGEST_NODE_NAME}",
            next_step="shorten it: it is part of the cluster's name on the server",
        )
    if any(name in node_names(each, spec.nodes) for each, spec in file.clusters.items()):
        yield Problem(path, "is the name of a node of gpuplane:clusters too", next_step="rename one of them")
    if bool(cluster.server) == bool(cluster.tenant):
        has = "has server and tenant" if cluster.server else "has neither server nor tenant"
        yield Problem(path, has, next_step="give one of them")
    elif cluster.server:
        yield from _reference(f"{path}.server", cluster.server, file)
    elif cluster.tenant not in file.skypilot_tenants:
        known = list(file.skypilot_tenants)
        yield Problem(
            f"{path}.tenant",
            f'no tenant "{cluster.tenant}"',
            nearest(cluster.tenant, known),
            f"use {listing(known)}, or declare it under gpuplane:skypilotTenants",
        )
    if cluster.workspace and cluster.tenant:
        yield Problem(f"{path}.workspace", "is the tenant's own", next_step="remove it")
    if cluster.autodown and cluster.autostop_min is None:
        yield Problem(f"{path}.autodown", "needs autostopMin", next_step="say after how many idle minutes")
    for key, variables in (("envs", cluster.envs), ("secrets", cluster.secrets)):
        for variable in variables:
            if not _VARIABLE.fullmatch(variable):
                yield Problem(f"{path}.{key}.{variable}", "is not the name of an environment variable")
            elif key == "secrets" and variable in cluster.envs:
                yield Problem(f"{path}.secrets.{variable}", "is in envs too", next_step="keep one of them")
    for index, port in enumerate(cluster.ports):
        low, _, high = port.partition("-")
        if not 1 <= int(low) <= int(high or low) <= 65535:
            yield Problem(f"{path}.ports[{index}]", "must be ports from 1 to 65535, the lower first")


def _reference(path: str, server: str, file: StackFile) -> Iterator[Problem]:
    known = [*external_servers(file), *file.skypilot_servers]
    if server not in known:
        yield Problem(
            path,
            f'no SkyPilot server "{server}"',
            nearest(server, known),
            f"use {listing(known)}, or declare it under gpuplane:skypilotServers or as a credential set of "
            "cloud skypilot",
        )
