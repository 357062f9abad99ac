"""RedisService: a Redis database, wherever it is to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.databases import on_aws, on_azure, on_google, redis_on_kubernetes
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
from stack_config.databases import RedisServer


class RedisServiceArgs(DatabaseArgs):
    """Arguments of a RedisService.

    Attributes:
        server: What the stack file says of it.
    """

    server: RedisServer


class RedisService(pulumi.ComponentResource):
    """**Pulumi type:** `gpuplane:databases:RedisService`. One Redis database.

    On Kubernetes, ElastiCache, Memorystore, Azure Managed Redis, or one that is there. Nobody reaches it from
    outside its network; a managed one is encrypted, speaks TLS alone, has snapshots and is protected from
    deletion. Its password is nowhere in clear text. Every rule is checked before
    anything is registered.

    Args:
        name: Its name in the stack file.
        args: Arguments.
        opts: Resource options.

    Attributes:
        url: `rediss://:password@host:port/0`; secret.
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

    def __init__(self, name: str, args: RedisServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        server = args.server
        refuse(broken_rules("redis", name, server, server_clusters(server), url_given=args.url is not None))
        require_sdks(f"Redis {name}", server)
        super().__init__("gpuplane:databases:RedisService", name, None, opts)
        aws, google, azure = server.aws, server.google, server.azure
        targets: dict[str, Declare] = {
            "kubernetes": lambda owner: redis_on_kubernetes.declare(owner, server),
            "external": lambda owner: external(args.url or given_url(server)),
        }
        if aws is not None:
            targets["elasticache"] = lambda owner: on_aws.declare_elasticache(owner, server, aws)
        if google is not None:
            targets["memorystore"] = lambda owner: on_google.declare_memorystore(owner, server, google)
        if azure is not None:
            targets["azure"] = lambda owner: on_azure.declare_managed_redis(owner, server, azure)
        made, secret = declare(self, name, server, args, targets)
        self.url, self.host, self.secret_name = made.url, made.host, secret
        self.estimated_hourly = estimated_hourly(server.hourly_usd)
        self.register_outputs(outputs_of(made, secret, self.estimated_hourly))
