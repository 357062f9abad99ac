"""PostgresService: a PostgreSQL database, wherever it is to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.databases import on_aws, on_azure, on_google, postgres_on_kubernetes
from components.databases.connection import estimated_hourly
from components.databases.declaring import (
    DatabaseArgs,
    Declare,
    declare,
    external,
    given_url,
    outputs_of,
    require_sdks,
    server_clusters,
)
from components.databases.rules import broken_rules
from components.kubernetes_pools.refusal import refuse
from stack_config.databases import PostgresServer


class PostgresServiceArgs(DatabaseArgs):
    """Arguments of a PostgresService.

    Attributes:
        server: What the stack file says of it.
    """

    server: PostgresServer


class PostgresService(pulumi.ComponentResource):
    """**Pulumi type:** `gpuplane:databases:PostgresService`. One PostgreSQL database with its owner.

    On Kubernetes, RDS, Cloud SQL, Azure's flexible servers, or one that is there. Nobody reaches it from
    outside its network; a managed one is encrypted, speaks TLS alone, has backups and is protected from
    deletion. Its password is made by the stack and is nowhere in clear text. Every rule is checked before
    anything is registered.

    Args:
        name: Its name in the stack file.
        args: Arguments.
        opts: Resource options.

    Attributes:
        url: `postgresql://user:password@host:5432/database`, for SQLAlchemy and libpq; secret.
        host: Name or address of the server.
        secret_name: Name of the Secret with keys `connection_string` and `url`; None where none is asked for.
        estimated_hourly: What it costs; `unknown` where nobody said it.

    Raises:
        pulumi.RunError: A rule is broken; one line for each.
    """

    url: pulumi.Output[str]
    host: pulumi.Output[str]
    secret_name: pulumi.Output[str] | None
    estimated_hourly: Mapping[str, Any]

    def __init__(
        self, name: str, args: PostgresServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        server = args.server
        refuse(
            broken_rules("postgres", name, server, server_clusters(server), url_given=args.url is not None)
        )
        require_sdks(f"PostgreSQL {name}", server)
        super().__init__("gpuplane:databases:PostgresService", name, None, opts)
        aws, google, azure = server.aws, server.google, server.azure
        targets: dict[str, Declare] = {
            "kubernetes": lambda owner: postgres_on_kubernetes.declare(owner, server),
            "external": lambda owner: external(args.url or given_url(server)),
        }
        if aws is not None:
            targets["rds"] = lambda owner: on_aws.declare_rds(owner, server, aws)
        if google is not None:
            targets["cloud_sql"] = lambda owner: on_google.declare_cloud_sql(owner, server, google)
        if azure is not None:
            targets["azure"] = lambda owner: on_azure.declare_flexible_server(owner, server, azure)
        made, secret = declare(self, name, server, args, targets)
        self.url, self.host, self.secret_name = made.url, made.host, secret
        self.estimated_hourly = estimated_hourly(server.hourly_usd)
        self.register_outputs(outputs_of(made, secret, self.estimated_hourly))
