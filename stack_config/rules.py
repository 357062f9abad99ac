"""Rules that need more than one field of the stack file, and the rules of names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from stack_config.control_plane_rules import broken_control_plane_rules
from stack_config.errors import Problem, listing, nearest
from stack_config.models import (
    EMULATOR,
    FEATURES,
    CandidateGroup,
    Cluster,
    CredentialSource,
    NodeClass,
    Readiness,
    StackFile,
)
from stack_config.names import LONGEST_NODE_NAME, name_rule
from stack_config.resolved import groups_of, node_names
from stack_config.skypilot_rules import broken_skypilot_rules

LONGEST_CACHED_CLASS = LONGEST_NODE_NAME - len("cache-")
"""Characters of the name of a node class with a weights cache, whose name has `cache-` before it."""

API_KEY_VARIABLE = "VLLM_API_KEY"
"""Environment variable that a cluster's `apiKey` becomes."""

_STACK_ID = re.compile(r"[a-z0-9]{8}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def broken_rules(file: StackFile) -> list[Problem]:
    """Every broken rule of a stack file whose fields are valid one by one."""
    return [
        *_stack_id(file.stack_id),
        *(p for name, source in file.credentials.items() for p in _credentials(name, source)),
        *(p for name in file.node_classes for p in name_rule(f"gpuplane:nodeClasses.{name}", name)),
        *(p for name, node_class in file.node_classes.items() for p in _cache(name, node_class)),
        *(
            problem
            for name, node_class in file.node_classes.items()
            for problem in _groups(f"gpuplane:nodeClasses.{name}.candidates", node_class.candidates, file)
        ),
        *(p for name, cluster in file.clusters.items() for p in _cluster(name, cluster, file)),
        *broken_skypilot_rules(file),
        *broken_control_plane_rules(file),
    ]


def _stack_id(stack_id: str) -> Iterator[Problem]:
    path = "gpuplane:stackId"
    if not stack_id:
        yield Problem(path, "is missing", next_step="run `gpuplane init`, which writes one into this file")
    elif not _STACK_ID.fullmatch(stack_id):
        yield Problem(
            path, "must be 8 lower-case letters or digits", next_step="delete it and run `gpuplane init`"
        )


def _credentials(name: str, source: CredentialSource) -> Iterator[Problem]:
    path = f"gpuplane:credentials.{name}"
    yield from name_rule(path, name)
    given = [
        key
        for key, value in (
            ("apiKey", source.api_key and source.api_key.get_secret_value()),
            ("apiKeyEnv", source.api_key_env),
            ("apiKeySecret", source.api_key_secret),
        )
        if value
    ]
    skypilot = source.cloud == "skypilot"
    if not given and (source.user or not skypilot):
        yield Problem(
            path,
            "has no API key",
            next_step=f"run `pulumi config set --secret --path gpuplane:credentials.{name}.apiKey`, "
            "or give apiKeyEnv or apiKeySecret",
        )
    elif len(given) > 1:
        yield Problem(path, f"has {' and '.join(given)}", next_step="keep one of them")
    if source.api_key_env and not _VARIABLE.fullmatch(source.api_key_env):
        yield Problem(f"{path}.apiKeyEnv", "must be the name of an environment variable, not a key itself")
    for index, feature in enumerate(source.features):
        if feature not in FEATURES.get(source.cloud, ()):
            yield Problem(f"{path}.features[{index}]", f"{source.cloud} has no feature {feature!r}")
    if skypilot and source.endpoint in ("", EMULATOR):
        why = "has no endpoint" if not source.endpoint else "there is no emulator of SkyPilot"
        yield Problem(f"{path}.endpoint", why, next_step="give the address of the SkyPilot server")
    elif source.endpoint and source.endpoint != EMULATOR:
        yield from _endpoint(f"{path}.endpoint", source.endpoint, insecure=source.allow_insecure)
    if not skypilot:
        for key, value in (
            ("user", source.user),
            ("caFile", source.ca_file),
            ("allowInsecure", source.allow_insecure),
            ("workspace", source.workspace),
        ):
            if value:
                yield Problem(f"{path}.{key}", f"is for skypilot, not for {source.cloud}")
    elif ":" in source.user:
        yield Problem(f"{path}.user", "a user name has no colon in it")


def _endpoint(path: str, endpoint: str, *, insecure: bool = False) -> Iterator[Problem]:
    try:
        url = urlsplit(endpoint)
        host, _ = url.hostname, url.port
    except ValueError:
        yield Problem(path, "is not a URL")
        return
    if url.scheme not in ("http", "https") or not host:
        yield Problem(path, "is not a URL", nearest(endpoint, [EMULATOR]), "use https://… or emulator")
    elif url.username or url.password or url.query or url.fragment:
        yield Problem(
            path, "must hold no user, password, query or fragment", next_step="use apiKey for the key"
        )
    elif url.scheme == "http" and host not in _LOOPBACK and not insecure:
        yield Problem(path, "must be https unless it is on this machine")


def _cluster(name: str, cluster: Cluster, file: StackFile) -> Iterator[Problem]:
    path = f"gpuplane:clusters.{name}"
    yield from name_rule(path, name)
    longest = len(f"{name}-{max(cluster.nodes - 1, 0)}")
    if longest > LONGEST_NODE_NAME:
        over = longest - LONGEST_NODE_NAME
        yield Problem(
            path,
            f"its node names have up to {longest} characters; the limit is {LONGEST_NODE_NAME}",
            next_step=f"shorten the cluster's name by {over}",
        )
    yield from _machines(path, cluster, file)
    yield from _what_runs(path, cluster)
    yield from _readiness(f"{path}.readiness", cluster.readiness, cluster.ports)
    yield from _replacement(path, cluster)
    if cluster.max_hourly_usd and cluster.budget_hourly_usd and cluster.nodes:
        per_node = cluster.budget_hourly_usd / cluster.nodes
        if cluster.max_hourly_usd > cluster.budget_hourly_usd:
            yield Problem(
                f"{path}.maxHourlyUsd",
                f"is above budgetHourlyUsd ({cluster.budget_hourly_usd:g}), so it can never be reached",
                next_step=f"use at most {per_node:g} for {cluster.nodes} node(s)",
            )
    names = node_names(name, cluster.nodes)
    for node in cluster.adopt_ids:
        if node not in names:
            yield Problem(
                f"{path}.adoptIds.{node}",
                "is not a node of this cluster",
                nearest(node, names),
                "use names like " + (names[0] if names else "… after raising nodes"),
            )


def _machines(path: str, cluster: Cluster, file: StackFile) -> Iterator[Problem]:
    """Where nodes come from: the class or the cluster's own candidates."""
    if cluster.node_class is not None and cluster.candidates:
        yield Problem(path, "has nodeClass and candidates", next_step="keep one of them")
    elif cluster.node_class is None and not cluster.candidates:
        yield Problem(path, "has neither nodeClass nor candidates", next_step="give one of them")
    elif cluster.node_class is not None and cluster.node_class not in file.node_classes:
        yield Problem(
            f"{path}.nodeClass",
            f'no node class "{cluster.node_class}"',
            nearest(cluster.node_class, file.node_classes),
            f"use {listing(file.node_classes)}, or declare it under gpuplane:nodeClasses",
        )
    elif not any(group.enabled for group in groups_of(cluster, file.node_classes)):
        yield Problem(path, "every candidate is disabled", next_step="set enabled: true on one")
    yield from _groups(f"{path}.candidates", cluster.candidates, file)


def _groups(path: str, groups: Collection[CandidateGroup], file: StackFile) -> Iterator[Problem]:
    for index, group in enumerate(groups):
        where = f"{path}[{index}].credentials"
        source = file.credentials.get(group.credentials)
        fitting = [name for name, found in file.credentials.items() if found.cloud == group.cloud]
        if source is None:
            yield Problem(
                where,
                f'no credential set "{group.credentials}"',
                nearest(group.credentials, fitting),
                f"use {listing(fitting)}, or declare it under gpuplane:credentials",
            )
        elif source.cloud != group.cloud:
            yield Problem(
                where,
                f'"{group.credentials}" is an account of {source.cloud}, the candidate is of {group.cloud}',
                nearest(group.credentials, fitting),
                f"use {listing(fitting)}",
            )


def _cache(name: str, node_class: NodeClass) -> Iterator[Problem]:
    path = f"gpuplane:nodeClasses.{name}"
    if node_class.weights_cache is None:
        return
    if len(name) > LONGEST_CACHED_CLASS:
        yield Problem(
            path,
            f"with a weightsCache its name has at most {LONGEST_CACHED_CLASS} characters, not {len(name)}",
            next_step="shorten it: it is part of the cache's name in the cloud",
        )
    for index, group in enumerate(node_class.candidates):
        if group.enabled and not group.regions:
            yield Problem(
                f"{path}.candidates[{index}].regions",
                "is empty, but a weightsCache is in one place, and nodes go only where it may be",
                next_step="name regions or groups like eu-central",
            )


def _what_runs(path: str, cluster: Cluster) -> Iterator[Problem]:
    if cluster.image and cluster.template:
        yield Problem(path, "has image and template", next_step="keep one of them")
    elif not cluster.image and not cluster.template:
        yield Problem(path, "has neither image nor template", next_step="give one of them")
    for index, port in enumerate(cluster.ports):
        where = f"{path}.ports[{index}]"
        if not 1 <= int(port.split("/")[0]) <= 65535:
            yield Problem(where, "the port must be from 1 to 65535")
        elif port in cluster.ports[:index]:
            yield Problem(where, f"{port} is listed twice")
    for variable in cluster.env:
        if not _VARIABLE.fullmatch(variable):
            yield Problem(f"{path}.env.{variable}", "is not the name of an environment variable")
    if cluster.api_key is not None and not cluster.api_key.get_secret_value():
        yield Problem(f"{path}.apiKey", "must not be empty")
    if cluster.api_key is not None and API_KEY_VARIABLE in cluster.env:
        yield Problem(f"{path}.env.{API_KEY_VARIABLE}", "is what apiKey sets", next_step="keep one of them")


def _readiness(path: str, readiness: Readiness, ports: tuple[str, ...]) -> Iterator[Problem]:
    if readiness.kind == "command" and not readiness.command:
        yield Problem(f"{path}.command", "is required for kind command", next_step="give what the node runs")
    elif readiness.kind != "command" and readiness.command:
        yield Problem(
            f"{path}.command", f"is not run for kind {readiness.kind}", next_step="use kind: command"
        )
    if readiness.ssh_key and readiness.ssh_key_file:
        yield Problem(path, "has sshKey and sshKeyFile", next_step="keep one of them")
    if readiness.kind not in ("http", "tcp"):
        return
    fitting = [port.split("/")[0] for port in ports if port.endswith(f"/{readiness.kind}")]
    if not fitting:
        yield Problem(
            f"{path}.kind",
            f"the cluster has no {readiness.kind} port to ask",
            next_step=f"add one to ports, like 8000/{readiness.kind}",
        )
    elif readiness.port is not None and str(readiness.port) not in fitting:
        yield Problem(
            f"{path}.port",
            f"{readiness.port} is not a {readiness.kind} port of the cluster",
            nearest(str(readiness.port), fitting),
            f"use {listing(fitting)}",
        )


def _replacement(path: str, cluster: Cluster) -> Iterator[Problem]:
    if cluster.rolling and not cluster.delete_before_replace:
        yield Problem(
            f"{path}.rolling",
            "replaces each node in place, deleteBeforeReplace: false makes all new ones first",
            next_step="keep one of them",
        )
