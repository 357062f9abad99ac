"""PostgreSQL on Cloud SQL and Redis on Memorystore."""

from __future__ import annotations

import pulumi

from components.databases.connection import postgres_url, redis_url
from components.databases.made import Made, Owner
from stack_config.databases import DatabaseOnGoogle, PostgresServer, RedisServer


def declare_cloud_sql(owner: Owner, server: PostgresServer, google: DatabaseOnGoogle) -> Made:
    """A Cloud SQL instance: no public address, encrypted connections alone, backups to any point in time.

    Google does not give the name of an instance again for a week, so the engine adds letters to it.

    Args:
        owner: Whose it is.
        server: What the stack file says.
        google: Where.
    """
    from pulumi_gcp import sql

    made = sql.DatabaseInstance(
        owner.name,
        project=google.project,
        region=google.region,
        database_version=f"POSTGRES_{server.version}",
        encryption_key_name=google.kms_key or None,
        deletion_protection=server.deletion_protection,
        settings=sql.DatabaseInstanceSettingsArgs(
            tier=google.shape or "db-custom-2-8192",
            edition="ENTERPRISE",
            availability_type="REGIONAL" if server.high_availability else "ZONAL",
            disk_size=server.storage_gb,
            disk_type="PD_SSD",
            disk_autoresize=True,
            deletion_protection_enabled=server.deletion_protection,
            backup_configuration=sql.DatabaseInstanceSettingsBackupConfigurationArgs(
                enabled=True,
                start_time="03:17",
                point_in_time_recovery_enabled=True,
                transaction_log_retention_days=min(7, server.backups.keep),
                backup_retention_settings=_kept(server.backups.keep),
            ),
            ip_configuration=sql.DatabaseInstanceSettingsIpConfigurationArgs(
                ipv4_enabled=False,
                private_network=google.network,
                ssl_mode="ENCRYPTED_ONLY",
            ),
            user_labels=owner.tags,
        ),
        # A disk that has grown stays as large as it is.
        opts=owner.with_options(depends_on=_connection(owner, google), ignore_changes=["settings.diskSize"]),
    )
    sql.Database(
        f"{owner.name}-database",
        name=server.database,
        project=google.project,
        instance=made.name,
        # An owner of tables can't be removed; the instance takes everything with it.
        deletion_policy="ABANDON",
        opts=owner.opts,
    )
    password = owner.password(server.password_rotation)
    user = sql.User(
        f"{owner.name}-user",
        name=server.user,
        project=google.project,
        instance=made.name,
        password=password,
        deletion_policy="ABANDON",
        opts=owner.opts,
    )
    url = pulumi.Output.all(password, made.private_ip_address).apply(
        lambda found: postgres_url(server.user, found[0], found[1], server.database)
    )
    ca = made.server_ca_certs.apply(lambda found: found[0].cert if found else "")
    return Made(pulumi.Output.secret(url), made.private_ip_address, ca, [made, user])


def declare_memorystore(owner: Owner, server: RedisServer, google: DatabaseOnGoogle) -> Made:
    """A Memorystore instance: in the network alone, with TLS and a key that Google makes.

    Args:
        owner: Whose it is.
        server: What the stack file says.
        google: Where.
    """
    from pulumi_gcp import redis

    made = redis.Instance(
        owner.name,
        name=owner.physical,
        project=google.project,
        region=google.region,
        tier="STANDARD_HA" if server.high_availability else "BASIC",
        memory_size_gb=server.memory_gb,
        redis_version="REDIS_7_2",
        authorized_network=google.network,
        connect_mode="PRIVATE_SERVICE_ACCESS",
        auth_enabled=True,
        transit_encryption_mode="SERVER_AUTHENTICATION",
        customer_managed_key=google.kms_key or None,
        persistence_config=redis.InstancePersistenceConfigArgs(
            persistence_mode="RDB", rdb_snapshot_period="TWENTY_FOUR_HOURS"
        ),
        deletion_protection=server.deletion_protection,
        labels=owner.tags,
        opts=owner.with_options(
            depends_on=_connection(owner, google),
            additional_secret_outputs=["authString"],
            delete_before_replace=True,
        ),
    )
    url = pulumi.Output.all(made.auth_string, made.host, made.port).apply(
        lambda found: redis_url(found[0], found[1], int(found[2]))
    )
    ca = made.server_ca_certs.apply(lambda found: (found[0].cert or "") if found else "")
    return Made(pulumi.Output.secret(url), made.host, ca, [made])


def _kept(days: int) -> object:
    """One backup a day."""
    from pulumi_gcp import sql

    return sql.DatabaseInstanceSettingsBackupConfigurationBackupRetentionSettingsArgs(
        retained_backups=days, retention_unit="COUNT"
    )


def _connection(owner: Owner, google: DatabaseOnGoogle) -> list[pulumi.Resource]:
    """Private services access: by it Google's machines are in the network. One for all databases in it."""
    if not google.connect_network:
        return []
    from pulumi_gcp import compute, servicenetworking

    addresses = compute.GlobalAddress(
        f"{owner.name}-range",
        name=f"{owner.physical}-range",
        project=google.project,
        purpose="VPC_PEERING",
        address_type="INTERNAL",
        prefix_length=20,
        network=google.network,
        opts=owner.opts,
    )
    made: pulumi.Resource = servicenetworking.Connection(
        f"{owner.name}-connection",
        network=google.network,
        service="servicenetworking.googleapis.com",
        reserved_peering_ranges=[addresses.name],
        # Google refuses to take it away for days after the last database is gone.
        deletion_policy="ABANDON",
        opts=owner.opts,
    )
    return [made]
