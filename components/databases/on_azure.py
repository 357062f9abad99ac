"""PostgreSQL on Azure's flexible servers and Azure Managed Redis."""

from __future__ import annotations

import pulumi

from components.databases.connection import postgres_url, redis_url
from components.databases.made import Made, Owner
from stack_config.databases import DatabaseOnAzure, PostgresServer, RedisServer

REDIS_PORT = 10000
"""Port of Azure Managed Redis, whatever the size (Azure's REST reference)."""


def declare_flexible_server(owner: Owner, server: PostgresServer, azure: DatabaseOnAzure) -> Made:
    """A flexible server in a subnet of its own: no public address, TLS alone, backups.

    Azure has no protection from deletion on the server, so the engine protects it. It is encrypted by Azure
    in any case.

    Args:
        owner: Whose it is.
        server: What the stack file says.
        azure: Where.
    """
    from pulumi_azure_native import dbforpostgresql as postgresql

    shape = azure.shape or "Standard_D2ds_v5"
    tiers = {
        "B": postgresql.SkuTier.BURSTABLE,
        "D": postgresql.SkuTier.GENERAL_PURPOSE,
        "E": postgresql.SkuTier.MEMORY_OPTIMIZED,
    }
    password = owner.password(server.password_rotation)
    made = postgresql.Server(
        owner.name,
        server_name=owner.physical,
        resource_group_name=azure.resource_group,
        location=azure.region,
        version=server.version,
        administrator_login=server.user,
        administrator_login_password=password,
        sku=postgresql.SkuArgs(name=shape, tier=tiers[shape.removeprefix("Standard_")[0]]),
        storage=postgresql.StorageArgs(
            storage_size_gb=server.storage_gb, auto_grow=postgresql.StorageAutoGrow.ENABLED
        ),
        backup=postgresql.BackupArgs(backup_retention_days=server.backups.keep),
        high_availability=postgresql.HighAvailabilityArgs(
            mode="ZoneRedundant" if server.high_availability else "Disabled"
        ),
        network=postgresql.NetworkArgs(
            delegated_subnet_resource_id=azure.subnet_id,
            private_dns_zone_arm_resource_id=azure.dns_zone_id,
            public_network_access="Disabled",
        ),
        tags=owner.tags,
        opts=owner.with_options(
            protect=server.deletion_protection,
            delete_before_replace=True,
            # A disk that has grown stays as large as it is.
            ignore_changes=["storage.storageSizeGB"],
        ),
    )
    # The name of a server's setting; Azure's own value is the same, and may be changed by anybody.
    tls = postgresql.Configuration(
        f"{owner.name}-tls",
        configuration_name="require_secure_transport",
        resource_group_name=azure.resource_group,
        server_name=made.name,
        source="user-override",
        value="on",
        opts=owner.opts,
    )
    database = postgresql.Database(
        f"{owner.name}-database",
        database_name=server.database,
        resource_group_name=azure.resource_group,
        server_name=made.name,
        charset="UTF8",
        collation="en_US.utf8",
        # One after the other: Azure refuses two changes of a server at once.
        opts=owner.with_options(depends_on=[tls]),
    )
    host = made.fully_qualified_domain_name
    url = pulumi.Output.all(password, host).apply(
        lambda found: postgres_url(server.user, found[0], found[1], server.database)
    )
    return Made(pulumi.Output.secret(url), host, ready=[database])


def declare_managed_redis(owner: Owner, server: RedisServer, azure: DatabaseOnAzure) -> Made:
    """Azure Managed Redis behind a private endpoint, with TLS and a key that Azure makes.

    Args:
        owner: Whose it is.
        server: What the stack file says.
        azure: Where.
    """
    from pulumi_azure_native import network, redisenterprise

    cluster = redisenterprise.RedisEnterprise(
        owner.name,
        cluster_name=owner.physical,
        resource_group_name=azure.resource_group,
        location=azure.region,
        sku=redisenterprise.SkuArgs(name=azure.shape or "Balanced_B1"),
        minimum_tls_version=redisenterprise.TlsVersion.TLS_VERSION_1_2,
        high_availability="Enabled" if server.high_availability else "Disabled",
        public_network_access="Disabled",
        tags=owner.tags,
        opts=owner.with_options(protect=server.deletion_protection, delete_before_replace=True),
    )
    database = redisenterprise.Database(
        f"{owner.name}-database",
        cluster_name=cluster.name,
        database_name="default",
        resource_group_name=azure.resource_group,
        access_keys_authentication="Enabled",
        client_protocol=redisenterprise.Protocol.ENCRYPTED,
        clustering_policy="EnterpriseCluster",
        eviction_policy="NoEviction",
        port=REDIS_PORT,
        persistence=redisenterprise.PersistenceArgs(rdb_enabled=True, rdb_frequency="12h", aof_enabled=False),
        opts=owner.with_options(delete_before_replace=True),
    )
    endpoint = network.PrivateEndpoint(
        f"{owner.name}-endpoint",
        private_endpoint_name=owner.physical,
        resource_group_name=azure.resource_group,
        location=azure.region,
        subnet=network.SubnetArgs(id=azure.subnet_id),
        private_link_service_connections=[
            network.PrivateLinkServiceConnectionArgs(
                name=owner.physical,
                private_link_service_id=cluster.id,
                group_ids=["redisEnterprise"],
            )
        ],
        tags=owner.tags,
        opts=owner.with_options(delete_before_replace=True, ignore_changes=["subnet"]),
    )
    named = network.PrivateDnsZoneGroup(
        f"{owner.name}-name",
        private_dns_zone_group_name="default",
        private_endpoint_name=endpoint.name,
        resource_group_name=azure.resource_group,
        private_dns_zone_configs=[
            network.PrivateDnsZoneConfigArgs(name="redis", private_dns_zone_id=azure.dns_zone_id)
        ],
        opts=owner.opts,
    )
    keys = redisenterprise.list_database_keys_output(
        cluster_name=cluster.name,
        database_name=database.name,
        resource_group_name=azure.resource_group,
        opts=pulumi.InvokeOutputOptions(parent=owner.opts.parent),
    )
    url = pulumi.Output.all(pulumi.Output.secret(keys.primary_key), cluster.host_name).apply(
        lambda found: redis_url(found[0], found[1], REDIS_PORT)
    )
    return Made(pulumi.Output.secret(url), cluster.host_name, ready=[database, named])
