"""Rules of networks, identities and databases.

Sources: Azure's REST references and its page on resource names.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.standins.checking import Finding
from engine.standins.rules import between, matching, network, one
from engine.standins.values import Values, at

_RESERVED = ("azure_superuser", "azure_pg_admin", "admin", "administrator", "root", "guest", "public")


def group(values: Values) -> Iterator[Finding]:
    """Names of resource groups."""
    expression = r"[\w().-]{0,89}[\w()-]"
    yield from matching(values, "resourceGroupName", expression, "at most 90 letters, digits, _ ( ) . -")


def virtual_network(values: Values) -> Iterator[Finding]:
    """Ranges of a network."""
    yield from network(values, "addressSpace.addressPrefixes[]", 2, 29)


def subnet(values: Values) -> Iterator[Finding]:
    """The range of a subnet."""
    yield from network(values, "addressPrefix", 2, 29)
    yield from network(values, "addressPrefixes[]", 2, 29)


def federated_credential(values: Values) -> Iterator[Finding]:
    """Who may use an identity by another issuer's token."""
    audiences = one(values, "audiences")
    if isinstance(audiences, list) and len(audiences) != 1:
        yield Finding("audiences", "has exactly one entry, usually api://AzureADTokenExchange")
    yield from matching(values, "issuer", r"https://.+", "an issuer is an https URL")


def role_assignment(values: Values) -> Iterator[Finding]:
    """What may be assigned."""
    expression = r"(/.*)?/providers/Microsoft\.Authorization/roleDefinitions/[0-9a-fA-F-]{36}"
    yield from matching(values, "roleDefinitionId", expression, "is the id of a role definition")
    yield from matching(values, "scope", r"/.*", "a scope is an id of a resource, a group or a subscription")


def postgres(values: Values) -> Iterator[Finding]:
    """A flexible server."""
    expression = r"[a-z0-9]([-a-z0-9]{1,61}[a-z0-9])"
    yield from matching(values, "serverName", expression, "3 to 63 small letters, digits and dashes")
    login = one(values, "administratorLogin")
    if isinstance(login, str) and (login in _RESERVED or login.startswith("pg_")):
        yield Finding("administratorLogin", f"{login!r} is reserved")
    yield from matching(values, "sku.name", r"Standard_[A-Z]\w+", "a size such as Standard_D2ds_v5")
    name, tier = one(values, "sku.name"), one(values, "sku.tier")
    first = {"Burstable": "B", "GeneralPurpose": "D", "MemoryOptimized": "E"}.get(str(tier))
    if isinstance(name, str) and first and not name.startswith(f"Standard_{first}"):
        yield Finding("sku.tier", f"{name} is not of the tier {tier}")
    yield from between(values, "backup.backupRetentionDays", 7, 35)
    for path, size in at(values, "storage.storageSizeGB"):
        if isinstance(size, int) and size not in (
            32,
            64,
            128,
            256,
            512,
            1024,
            2048,
            4095,
            4096,
            8192,
            16384,
            32767,
        ):
            yield Finding(path, f"{size} is no size of a disk: 32, 64, 128 … 32767")


def vault(values: Values) -> Iterator[Finding]:
    """Names of key vaults."""
    expression = r"[a-zA-Z][-a-zA-Z0-9]{1,22}[a-zA-Z0-9]"
    yield from matching(values, "vaultName", expression, "3 to 24 letters, digits and dashes")
