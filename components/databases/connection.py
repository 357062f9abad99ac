"""The URL of a database, and the Secret that holds it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pulumi

from components.kubernetes_pools.price import UNKNOWN
from stack_config.shape import Usd


def postgres_url(
    user: str, password: str, host: str, database: str, *, tls: bool = True, port: int = 5432
) -> str:
    """A URL that SQLAlchemy and libpq take. Pure.

    Args:
        user: User.
        password: Password; any text.
        host: Name or address.
        database: Database.
        tls: Nothing but an encrypted connection is made.
        port: Port.
    """
    mode = "?sslmode=require" if tls else ""
    return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port}/{database}{mode}"


def redis_url(password: str, host: str, port: int, *, tls: bool = True) -> str:
    """A URL that Redis' clients take. Pure.

    Args:
        password: Password of the default user; any text.
        host: Name or address.
        port: Port.
        tls: Whether it speaks TLS.
    """
    return f"{'rediss' if tls else 'redis'}://:{quote(password, safe='')}@{host}:{port}/0"


def estimated_hourly(hourly_usd: Usd | None) -> dict[str, Any]:
    """What it costs, as far as anybody said it: no catalogue here has prices of databases. Pure.

    Args:
        hourly_usd: What the stack file says is paid; None for nothing said.
    """
    return {
        "hourlyUsd": UNKNOWN if hourly_usd is None else hourly_usd,
        "currency": "USD",
        "source": UNKNOWN if hourly_usd is None else "hourlyUsd",
    }


def write_connection(
    resource: str,
    name: str,
    namespace: str,
    url: pulumi.Output[str],
    ca: pulumi.Output[str] | None,
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Writes the Secret: keys `connection_string` and `url`, and `ca.crt` where the cloud has its own CA.

    Args:
        resource: Name of the resource.
        name: Name of the Secret.
        namespace: Its namespace.
        url: URL of the database.
        ca: Certificate of the authority that signed the server's; None for a public one.
        opts: Parent and provider.

    Returns:
        Its name.
    """
    from pulumi_kubernetes import core

    texts: dict[str, pulumi.Input[str]] = {"connection_string": url, "url": url}
    if ca is not None:
        texts["ca.crt"] = ca
    made = core.v1.Secret(
        resource,
        metadata={
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "pulumi"},
        },
        string_data={key: pulumi.Output.secret(text) for key, text in texts.items()},
        opts=opts,
    )
    found: pulumi.Output[str] = made.metadata.name
    return found
