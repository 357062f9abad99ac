"""Which nodes behind the gateway speak TLS themselves, and why some can't. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stack_config.control_plane import ControlPlane, GatewayCluster
from stack_config.errors import Problem

if TYPE_CHECKING:
    from stack_config.models import CandidateGroup, Cluster, CredentialSource

BEHIND_TLS = frozenset({"runpod"})
"""Clouds whose http ports are behind TLS of their own."""
BEHIND_FIREWALL = frozenset({"lambda"})
"""Clouds whose ports are closed to all but the gateway."""
HANDS_OVER = frozenset({"paperspace", "vast"})
"""Clouds whose launch hands key and certificate to the node."""
OPTIONS = ("--ssl-keyfile", "--ssl-certfile")
"""How vLLM is told of them."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def own_tls(
    plane: ControlPlane,
    cluster: str,
    groups: Sequence[CandidateGroup],
    credentials: Mapping[str, CredentialSource],
    *,
    has_image: bool,
) -> bool:
    """Whether the nodes of a cluster speak TLS with a certificate that the stack makes.

    They do where the cluster says so; else where they would be reached over plain http at a public address,
    and every cloud that they may be made on can hand the certificate over.

    Args:
        plane: The section.
        cluster: Name of the cluster.
        groups: Its candidates.
        credentials: The stack's credential sets.
        has_image: Whether it runs an image, and no template of a cloud.
    """
    wanted = plane.clusters.get(cluster, GatewayCluster()).tls
    if wanted is not None:
        return wanted
    enabled = [group for group in groups if group.enabled]
    return (
        not plane.allow_plain_http
        and has_image
        and bool(open_clouds(enabled, credentials))
        and all(group.cloud in HANDS_OVER for group in enabled)
    )


def open_clouds(
    groups: Sequence[CandidateGroup], credentials: Mapping[str, CredentialSource]
) -> tuple[str, ...]:
    """Clouds of these candidates whose nodes answer everybody at a public address; emulators do not."""
    return tuple(
        dict.fromkeys(
            group.cloud
            for group in groups
            if group.enabled
            and group.cloud not in BEHIND_TLS | BEHIND_FIREWALL
            and (source := credentials.get(group.credentials)) is not None
            and not _is_here(source.endpoint)
        )
    )


def broken_tls_rules(
    plane: ControlPlane,
    name: str,
    cluster: Cluster,
    groups: Sequence[CandidateGroup],
    credentials: Mapping[str, CredentialSource],
) -> Iterator[Problem]:
    """Why the way to a cluster's nodes is not closed to others.

    Args:
        plane: The section.
        name: Name of the cluster.
        cluster: The cluster.
        groups: Its candidates.
        credentials: The stack's credential sets.
    """
    enabled = [group for group in groups if group.enabled]
    unable = [group.cloud for group in enabled if group.cloud not in HANDS_OVER]
    if own_tls(plane, name, groups, credentials, has_image=bool(cluster.image)):
        yield from _unable(name, cluster, unable)
        return
    open_ones = open_clouds(enabled, credentials)
    if not open_ones or plane.allow_plain_http:
        return
    if plane.clusters.get(name, GatewayCluster()).tls is False:
        step = f"leave out controlPlane.clusters.{name}.tls"
    elif not cluster.image:
        step = "give an image instead of a template, so that the node can be handed a certificate"
    else:
        others = ", ".join(dict.fromkeys(unable))
        step = "not all of its nodes can be handed a certificate: "
        step += f"give those on {others} a cluster of their own"
    yield Problem(
        f"gpuplane:clusters.{name}",
        f"its nodes on {open_ones[0]} are reached over plain http at a public address, where keys and "
        "prompts can be read on the way",
        next_step=f"{step}, or set controlPlane.allowPlainHttp: true",
    )


def _unable(name: str, cluster: Cluster, unable: Sequence[str]) -> Iterator[Problem]:
    path = f"gpuplane:controlPlane.clusters.{name}.tls"
    if unable:
        behind = unable[0] in BEHIND_TLS
        why = "is behind TLS of its own" if behind else "hands no certificate to a node"
        yield Problem(path, f"{unable[0]} {why}", next_step="leave it out, or split the cluster by cloud")
    if not cluster.image:
        yield Problem(path, "a template can't be handed a certificate", next_step="give the cluster an image")
    try:
        words = shlex.split(cluster.args)
    except ValueError:
        words = []
    for word in words:
        if word.partition("=")[0].replace("_", "-") in OPTIONS:
            yield Problem(
                f"gpuplane:clusters.{name}.args",
                f"has {word.partition('=')[0]}, which the stack sets itself",
                next_step=f"leave it out, or set controlPlane.clusters.{name}.tls: false",
            )


def _is_here(endpoint: str) -> bool:
    """Whether the cloud is an emulator on this machine."""
    try:
        return endpoint == "emulator" or urlsplit(endpoint).hostname in _LOOPBACK
    except ValueError:
        return False
