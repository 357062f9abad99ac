"""What fits together in a database, and what does not. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from stack_config.databases import DatabasePlace, KubernetesPlace, PostgresServer, RedisServer
from stack_config.errors import Problem

Engine = Literal["postgres", "redis"]

SECTION: Mapping[Engine, str] = {"postgres": "gpuplane:postgresServices", "redis": "gpuplane:redisServices"}
"""Where an engine's databases are in the stack file."""

PLACE_OF = {
    "rds": "aws",
    "elasticache": "aws",
    "cloud_sql": "google",
    "memorystore": "google",
    "azure": "azure",
}
"""Target -> the key that says where."""

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")
_RESERVED = {
    *("admin", "administrator", "azure_superuser", "azure_pg_admin", "cloudsqladmin", "cloudsqlsuperuser"),
    *("guest", "postgres", "public", "rdsadmin", "root", "user"),
}
_CLOSED = "[secret]"
"""What a secure value looks like that nobody has decrypted."""

_SHAPES = {
    "rds": (r"db\.[a-z0-9]+\.[a-z0-9]+", "db.t4g.medium"),
    "elasticache": (r"cache\.[a-z0-9]+\.[a-z0-9]+", "cache.t4g.small"),
    "cloud_sql": (r"db-[a-z0-9-]+", "db-custom-2-8192"),
}
_AZURE_SHAPES = {
    "postgres": (r"Standard_[BDE][A-Za-z0-9_]+", "Standard_D2ds_v5"),
    "redis": (r"(Balanced|MemoryOptimized|ComputeOptimized|FlashOptimized)_[A-Z][0-9]+", "Balanced_B1"),
}
AZURE_DISKS = (32, 64, 128, 256, 512, 1024, 2048, 4095, 4096, 8192, 16384)
"""Sizes of disk that a flexible server can have, GB (Azure's REST reference, `Storage.storageSizeGB`)."""


def broken_rules(
    engine: Engine,
    name: str,
    server: PostgresServer | RedisServer,
    clusters: frozenset[str] = frozenset(),
    *,
    url_given: bool = False,
) -> list[Problem]:
    """Every broken rule of one database.

    Args:
        engine: What it is.
        name: Its name.
        server: What the stack file says of it.
        clusters: Names of the Kubernetes clusters that the stack makes.
        url_given: The URL of an external one comes from elsewhere than the stack file.
    """
    path = f"{SECTION[engine]}.{name}"
    return [
        *_name(path, name),
        *_places(path, server),
        *_url(engine, path, server, url_given),
        *_shape(engine, path, server),
        *_postgres(path, server),
        *_cluster(path, server, clusters),
    ]


def place_problems(path: str, place: KubernetesPlace, clusters: frozenset[str]) -> Iterator[Problem]:
    """What is wrong with the cluster that is named.

    Args:
        path: The place's own path in the stack file.
        place: The place.
        clusters: Names of the Kubernetes clusters that the stack makes.
    """
    if place.cluster and (place.kubeconfig or place.context):
        yield Problem(path, "has cluster, and kubeconfig or context", next_step="keep one of them")
    elif place.cluster and place.cluster not in clusters:
        declared = (
            f"use one of {', '.join(sorted(clusters))}" if clusters else "declare it, or give kubeconfig"
        )
        yield Problem(f"{path}.cluster", f"this stack makes no cluster {place.cluster!r}", next_step=declared)


def _name(path: str, name: str) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield Problem(
            path, "a name has lower-case letters, digits and inner hyphens, a letter first, 30 at most"
        )


def _places(path: str, server: PostgresServer | RedisServer) -> Iterator[Problem]:
    wanted = PLACE_OF.get(server.target, "")
    for key in ("aws", "google", "azure"):
        given = getattr(server, key) is not None
        if key == wanted and not given:
            yield Problem(f"{path}.{key}", f"is required for target {server.target}")
        elif key != wanted and given:
            yield Problem(
                f"{path}.{key}", f"is not used with target {server.target}", next_step="leave it out"
            )
    if server.target != "kubernetes" and server.kubernetes != DatabasePlace():
        yield Problem(
            f"{path}.kubernetes",
            f"is not used with target {server.target}",
            next_step="to write the connection there, use `connection`",
        )
    if server.high_availability and server.target in ("kubernetes", "external"):
        yield Problem(
            f"{path}.highAvailability",
            f"target {server.target} has one server alone",
            next_step="leave it out, or use a managed target",
        )
    if server.target == "external" and server.password_rotation:
        yield Problem(f"{path}.passwordRotation", "the password of an external one is not made here")
    if (
        server.target in ("memorystore", "azure")
        and isinstance(server, RedisServer)
        and server.password_rotation
    ):
        yield Problem(
            f"{path}.passwordRotation", "the cloud itself makes this one's key", next_step="rotate it there"
        )
    aws = server.aws
    if aws is not None:
        if not aws.allowed_cidrs and not aws.allowed_security_groups:
            yield Problem(
                f"{path}.aws",
                "nobody may connect",
                next_step="give allowedSecurityGroups or allowedCidrs",
            )
        for index, cidr in enumerate(aws.allowed_cidrs):
            yield from _cidr(f"{path}.aws.allowedCidrs[{index}]", cidr)


def _cidr(path: str, cidr: str) -> Iterator[Problem]:
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError:
        yield Problem(path, f"{cidr!r} is not an IPv4 network", next_step="like 10.0.0.0/16")
        return
    if not network.is_private:
        yield Problem(path, f"{cidr} is not a private network, and this is reached from private ones alone")


def _url(engine: Engine, path: str, server: PostgresServer | RedisServer, given: bool) -> Iterator[Problem]:
    path = f"{path}.url"
    if server.target != "external":
        if server.url is not None or given:
            yield Problem(path, f"is not used with target {server.target}", next_step="leave it out")
        return
    if server.url is None:
        if not given:
            yield Problem(path, "is required for target external")
        return
    text = server.url.get_secret_value()
    if text == _CLOSED:
        return
    schemes = ("postgresql", "postgres") if engine == "postgres" else ("rediss", "redis")
    try:
        found = urlsplit(text)
        host = found.hostname
    except ValueError:  # its message would quote the URL
        found, host = urlsplit(""), None
    if found.scheme not in schemes or not host:
        yield Problem(path, f"is no URL like {schemes[0]}://user:password@host/…")
    elif server.tls and not _encrypted(engine, found.scheme, found.query):
        need = "sslmode=require (or verify-full)" if engine == "postgres" else "the scheme rediss"
        yield Problem(path, f"does not ask for TLS: it needs {need}", next_step="or set tls: false")


def _encrypted(engine: Engine, scheme: str, query: str) -> bool:
    if engine == "redis":
        return scheme == "rediss"
    return parse_qs(query).get("sslmode", [""])[-1] in ("require", "verify-ca", "verify-full")


def _shape(engine: Engine, path: str, server: PostgresServer | RedisServer) -> Iterator[Problem]:
    key = PLACE_OF.get(server.target)
    place = getattr(server, key) if key else None
    rule = _AZURE_SHAPES[engine] if server.target == "azure" else _SHAPES.get(server.target)
    if place is None or not place.shape:
        return
    if rule is None:
        yield Problem(f"{path}.{key}.shape", "Memorystore has no shapes", next_step="use memoryGb")
    elif not re.fullmatch(rule[0], place.shape):
        yield Problem(f"{path}.{key}.shape", f"{place.shape!r} is not a machine of {server.target}", rule[1])


def _postgres(path: str, server: PostgresServer | RedisServer) -> Iterator[Problem]:
    if not isinstance(server, PostgresServer):
        return
    if server.user in _RESERVED or server.user.startswith("pg_"):
        yield Problem(f"{path}.user", f"{server.user!r} is reserved", "app")
    if server.database in ("postgres", "template0", "template1"):
        yield Problem(f"{path}.database", f"{server.database!r} is PostgreSQL's own", "app")
    managed = server.target not in ("kubernetes", "external")
    if managed and not server.backups.enabled:
        yield Problem(f"{path}.backups.enabled", "a managed database has backups", next_step="leave it out")
    if managed and server.backups.keep > 35:
        yield Problem(f"{path}.backups.keep", "a managed database keeps at most 35 days", "35")
    if server.target == "azure" and server.backups.keep < 7:
        yield Problem(f"{path}.backups.keep", "Azure keeps at least 7 days", "7")
    if server.target == "azure" and server.storage_gb not in AZURE_DISKS:
        near = next((size for size in AZURE_DISKS if size >= server.storage_gb), AZURE_DISKS[-1])
        yield Problem(f"{path}.storageGb", "Azure has no disk of this size", str(near))
    if server.target == "rds" and server.storage_gb < 20:
        yield Problem(f"{path}.storageGb", "RDS has at least 20 GB", "20")
    if server.target == "cloud_sql" and server.storage_gb < 10:
        yield Problem(f"{path}.storageGb", "Cloud SQL has at least 10 GB", "10")
    azure = server.azure
    if azure is not None and server.high_availability and azure.shape.startswith("Standard_B"):
        yield Problem(f"{path}.azure.shape", "burstable machines have no second one", "Standard_D2ds_v5")


def _cluster(path: str, server: PostgresServer | RedisServer, clusters: frozenset[str]) -> Iterator[Problem]:
    own = f"{path.rsplit('.', 1)[-1]}-connection"
    if server.target == "kubernetes":
        yield from place_problems(f"{path}.kubernetes", server.kubernetes, clusters)
        other = server.connection
        if other is not None and other.name in (None, own) and _same(other, server.kubernetes):
            yield Problem(f"{path}.connection", "is written there anyway", next_step="leave it out")
    if server.connection is not None:
        yield from place_problems(f"{path}.connection", server.connection, clusters)


def _same(one: KubernetesPlace, other: KubernetesPlace) -> bool:
    return (one.cluster, one.kubeconfig, one.context, one.namespace) == (
        other.cluster,
        other.kubeconfig,
        other.context,
        other.namespace,
    )
