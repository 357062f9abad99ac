"""Rules of networks, identities and databases. Sources: Google Cloud's API references."""

from __future__ import annotations

from collections.abc import Iterator

from engine.standins.checking import Finding
from engine.standins.rules import between, given, matching, network, objects, one
from engine.standins.values import Values

_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"


def named(values: Values) -> Iterator[Finding]:
    """Names of Compute Engine."""
    yield from matching(values, "name", _NAME, "a name has at most 63 letters, digits and dashes")


def subnetwork(values: Values) -> Iterator[Finding]:
    """Ranges of a subnet."""
    yield from named(values)
    yield from network(values, "ipCidrRange", 4, 29)
    yield from network(values, "secondaryIpRanges[].ipCidrRange", 4, 29)


def firewall(values: Values) -> Iterator[Finding]:
    """A rule of a firewall allows or denies, and says from where."""
    yield from named(values)
    if given(values, "allows") == given(values, "denies"):
        yield Finding("allows", "either allows or denies is to be given")
    if one(values, "direction") == "EGRESS" and given(values, "sourceRanges"):
        yield Finding("sourceRanges", "an EGRESS rule has destinationRanges")
    for path, rule in objects(values, "allows[]"):
        protocol = one(rule, "protocol")
        if protocol not in ("tcp", "udp", "sctp", None) and given(rule, "ports"):
            yield Finding(f"{path}.ports", f"the protocol {protocol} has no ports")


def account(values: Values) -> Iterator[Finding]:
    """Names of service accounts."""
    expression = r"[a-z]([-a-z0-9]{4,28}[a-z0-9])"
    yield from matching(values, "accountId", expression, "an id has 6 to 30 letters, digits and dashes")


def member(values: Values) -> Iterator[Finding]:
    """Who may be a member, and which roles there are."""
    kinds = "user|serviceAccount|group|domain|principal|principalSet|projectOwner|projectEditor|projectViewer"
    expression = rf"(allUsers|allAuthenticatedUsers|({kinds}):.+)"
    yield from matching(values, "member", expression, "a member is kind:name, such as serviceAccount:a@b")
    roles = r"(roles/|projects/[^/]+/roles/|organizations/[^/]+/roles/)[\w.]+"
    yield from matching(values, "role", roles, "a role is roles/name")


def database(values: Values) -> Iterator[Finding]:
    """A Cloud SQL instance."""
    yield from matching(values, "databaseVersion", r"(POSTGRES|MYSQL|SQLSERVER)_\w+", "such as POSTGRES_17")
    yield from matching(values, "settings.tier", r"db-[a-z0-9-]+", "a tier such as db-custom-2-8192")
    zonal = one(values, "settings.availabilityType")
    if isinstance(zonal, str) and zonal not in ("ZONAL", "REGIONAL"):
        yield Finding("settings.availabilityType", f"{zonal!r} is neither ZONAL nor REGIONAL")
    edition = one(values, "settings.edition")
    if isinstance(edition, str) and edition not in ("ENTERPRISE", "ENTERPRISE_PLUS"):
        yield Finding("settings.edition", f"{edition!r} is neither ENTERPRISE nor ENTERPRISE_PLUS")


def redis(values: Values) -> Iterator[Finding]:
    """A Memorystore instance."""
    yield from between(values, "memorySizeGb", 1, 300)
    yield from matching(values, "redisVersion", r"REDIS_\d+_(\d+|X)", "a version such as REDIS_7_2")
    if one(values, "tier") == "BASIC" and given(values, "replicaCount") and one(values, "replicaCount") != 0:
        yield Finding("replicaCount", "the tier BASIC has no replicas")
