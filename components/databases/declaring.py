"""What PostgresService and RedisService do alike: check, declare, write the connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pulumi
from pydantic import BaseModel, ConfigDict

from components.databases.connection import write_connection
from components.databases.made import Made, Owner
from components.databases.rules import PLACE_OF
from components.kubernetes_pools.extras import require
from stack_config.databases import PostgresServer, RedisServer

EXTRAS = {"aws": "aws", "google": "gcp", "azure": "azure"}
"""Key that says where -> extra with its SDK."""

Declare = Callable[[Owner], Made]


class DatabaseArgs(BaseModel):
    """Arguments that both have.

    Attributes:
        stack_id: The stack's id; it is part of the database's name in a cloud.
        url: With `external`: the URL, instead of the one in the stack file. Secret.
        provider: Kubernetes provider of the target `kubernetes`; that of kubectl if None.
        connection_provider: Kubernetes provider of the cluster that the connection is written to; the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    stack_id: str = ""
    url: pulumi.Output[str] | str | None = None
    provider: pulumi.ProviderResource | None = None
    connection_provider: pulumi.ProviderResource | None = None


def require_sdks(title: str, server: PostgresServer | RedisServer) -> None:
    """Ends the program if an SDK that it needs is not installed.

    Args:
        title: What needs them, in words.
        server: The database.
    """
    wanted = [EXTRAS[place]] if (place := PLACE_OF.get(server.target)) else []
    if server.target == "kubernetes" or server.connection is not None:
        wanted.append("kubernetes")
    require(title, *wanted)


def declare(
    parent: pulumi.Resource,
    name: str,
    server: PostgresServer | RedisServer,
    args: DatabaseArgs,
    targets: Mapping[str, Declare],
) -> tuple[Made, pulumi.Output[str] | None]:
    """Declares the database, and the Secret with its connection.

    Args:
        parent: The component.
        name: Name of the database.
        server: What the stack file says.
        args: Arguments.
        targets: Target -> what declares it there.

    Returns:
        What was made, and the name of the Secret; None where none is asked for.
    """
    mine = pulumi.ResourceOptions(parent=parent)
    inside = pulumi.ResourceOptions(parent=parent, provider=args.provider)
    made = targets[server.target](
        Owner(name, args.stack_id, inside if server.target == "kubernetes" else mine)
    )
    secret = None
    if server.target == "kubernetes":
        secret = write_connection(
            f"{name}-connection",
            f"{name}-connection",
            server.kubernetes.namespace,
            made.url,
            made.ca,
            pulumi.ResourceOptions(parent=parent, provider=args.provider, depends_on=made.ready),
        )
    if server.connection is not None:
        place = server.connection
        secret = write_connection(
            f"{name}-connection" if secret is None else f"{name}-connection-elsewhere",
            place.name or f"{name}-connection",
            place.namespace,
            made.url,
            made.ca,
            pulumi.ResourceOptions(parent=parent, provider=args.connection_provider, depends_on=made.ready),
        )
    return made, secret


def external(url: pulumi.Output[str] | str) -> Made:
    """A database that is there already.

    Args:
        url: Its URL.
    """
    from urllib.parse import urlsplit

    known = pulumi.Output.secret(url)
    host = pulumi.Output.unsecret(known.apply(lambda text: urlsplit(text).hostname or ""))
    return Made(known, host)


def outputs_of(made: Made, secret: pulumi.Output[str] | None, estimate: Mapping[str, Any]) -> dict[str, Any]:
    """What the component registers."""
    return {
        "url": made.url,
        "host": made.host,
        "secretName": secret,
        "estimatedHourly": dict(estimate),
    }


def given_url(server: PostgresServer | RedisServer) -> str:
    """The URL in the stack file; empty without one."""
    return server.url.get_secret_value() if server.url is not None else ""


def server_clusters(server: PostgresServer | RedisServer) -> frozenset[str]:
    """The clusters that it names: whoever makes the component by itself gives their providers."""
    places = [server.kubernetes, *([server.connection] if server.connection is not None else [])]
    return frozenset(place.cluster for place in places if place.cluster)
