"""Declared objects as rows, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from control_plane.gateway.declared import ApiKey, Limits, Model, Node, Target, Tenant
from control_plane.store.rows import nano
from control_plane.store.schema import (
    NANO,
    ApiKeyRow,
    Base,
    InstanceRow,
    ModelRow,
    NodeRow,
    TenantRow,
)
from control_plane.store.sealing import Sealer

Object = Tenant | ApiKey | Node | Model
Values = dict[str, Any]
INSTANCE = 1
"""Id of the one row of the table of the instance's limits."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of object is stored.

    Attributes:
        table: Where.
        key: Name of the column and the field by which it is told.
        word: For messages.
        values: Its columns, without `origin`.
        made: The object of a row.
    """

    table: Table
    key: str
    word: str
    values: Callable[[Any, Sealer], Values]
    made: Callable[[Mapping[Any, Any], Sealer], Object]


def table_of(row: type[Base]) -> Table:
    """The table of a row's class."""
    table = row.__table__
    assert isinstance(table, Table)
    return table


def limits_values(limits: Limits) -> Values:
    """Columns of limits."""
    return {
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "in_flight": limits.in_flight,
        "budget_nano_usd": nano(limits.budget_usd),
    }


def limits_made(row: Mapping[Any, Any]) -> Limits:
    """Limits of a row."""
    return Limits(
        row["requests_per_minute"],
        row["tokens_per_minute"],
        row["in_flight"],
        row["budget_nano_usd"] / NANO,
    )


def _tenant_values(tenant: Tenant, _: Sealer) -> Values:
    return {"name": tenant.name, "weight": tenant.weight, **limits_values(tenant.limits)}


def _tenant_made(row: Mapping[Any, Any], _: Sealer) -> Tenant:
    return Tenant(row["name"], limits_made(row), row["weight"])


def _key_values(key: ApiKey, _: Sealer) -> Values:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "sha256": key.sha256,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "models": list(key.models),
        "expires_at": key.expires_at,
        "revoked": key.revoked,
        **limits_values(key.limits),
    }


def _key_made(row: Mapping[Any, Any], _: Sealer) -> ApiKey:
    return ApiKey(
        row["id"],
        row["tenant"],
        row["sha256"],
        row["prefix"],
        tuple(row["scopes"]),
        tuple(row["models"]),
        limits_made(row),
        row["expires_at"],
        row["revoked"],
    )


def _node_values(node: Node, sealer: Sealer) -> Values:
    return {
        "name": node.name,
        "url": node.url,
        "models": list(node.models),
        "sealed_api_key": sealer.seal(node.api_key, node.name),
        "max_in_flight": node.max_in_flight,
        "tls_sha256": node.tls_sha256,
        "cordoned": node.cordoned,
        "router": node.router,
    }


def _node_made(row: Mapping[Any, Any], sealer: Sealer) -> Node:
    return Node(
        row["name"],
        row["url"],
        tuple(row["models"]),
        sealer.open(row["sealed_api_key"], row["name"]),
        row["max_in_flight"],
        row["tls_sha256"],
        row["cordoned"],
        row["router"],
    )


def _model_values(model: Model, _: Sealer) -> Values:
    return {
        "name": model.name,
        "targets": [[target.model, target.weight] for target in model.targets],
        "prompt_nano_usd_per_million": nano(model.prompt_usd_per_million),
        "completion_nano_usd_per_million": nano(model.completion_usd_per_million),
        **limits_values(model.limits),
    }


def _model_made(row: Mapping[Any, Any], _: Sealer) -> Model:
    return Model(
        row["name"],
        tuple(Target(name, weight) for name, weight in row["targets"]),
        limits_made(row),
        row["prompt_nano_usd_per_million"] / NANO,
        row["completion_nano_usd_per_million"] / NANO,
    )


INSTANCE_TABLE = table_of(InstanceRow)
KINDS: dict[type[Object], Kind] = {
    Tenant: Kind(table_of(TenantRow), "name", "tenant", _tenant_values, _tenant_made),
    ApiKey: Kind(table_of(ApiKeyRow), "id", "key", _key_values, _key_made),
    Node: Kind(table_of(NodeRow), "name", "node", _node_values, _node_made),
    Model: Kind(table_of(ModelRow), "name", "model", _model_values, _model_made),
}
