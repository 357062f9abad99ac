"""PostgreSQL on RDS and Redis on ElastiCache."""

from __future__ import annotations

import pulumi

from components.databases.connection import postgres_url, redis_url
from components.databases.made import Made, Owner
from stack_config.databases import DatabaseOnAws, PostgresServer, RedisServer


def declare_rds(owner: Owner, server: PostgresServer, aws: DatabaseOnAws) -> Made:
    """An RDS instance: no public address, encrypted, TLS alone, snapshots, a last one at its end.

    Args:
        owner: Whose it is.
        server: What the stack file says.
        aws: Where.
    """
    from pulumi_aws import rds

    group = rds.SubnetGroup(
        f"{owner.name}-subnets",
        name=owner.physical,
        subnet_ids=list(aws.subnet_ids),
        region=aws.region,
        tags=owner.tags,
        opts=owner.opts,
    )
    parameters = rds.ParameterGroup(
        f"{owner.name}-parameters",
        name=f"{owner.physical}-{server.version}",
        family=f"postgres{server.version}",
        parameters=[rds.ParameterGroupParameterArgs(name="rds.force_ssl", value="1")],
        region=aws.region,
        tags=owner.tags,
        opts=owner.opts,
    )
    password = owner.password(server.password_rotation)
    made = rds.Instance(
        owner.name,
        identifier=owner.physical,
        engine="postgres",
        engine_version=server.version,
        instance_class=aws.shape or "db.t4g.medium",
        allocated_storage=server.storage_gb,
        max_allocated_storage=server.storage_gb * 2,
        storage_type="gp3",
        storage_encrypted=True,
        kms_key_id=aws.kms_key_arn or None,
        db_name=server.database,
        username=server.user,
        password=password,
        port=5432,
        db_subnet_group_name=group.name,
        vpc_security_group_ids=[_security_group(owner, aws, 5432)],
        publicly_accessible=False,
        multi_az=server.high_availability,
        parameter_group_name=parameters.name,
        ca_cert_identifier="rds-ca-rsa2048-g1",
        backup_retention_period=server.backups.keep,
        copy_tags_to_snapshot=True,
        delete_automated_backups=False,
        deletion_protection=server.deletion_protection,
        skip_final_snapshot=False,
        final_snapshot_identifier=_last_snapshot(owner),
        auto_minor_version_upgrade=True,
        allow_major_version_upgrade=True,
        apply_immediately=True,
        enabled_cloudwatch_logs_exports=["postgresql", "upgrade"],
        region=aws.region,
        tags=owner.tags,
        opts=owner.with_options(delete_before_replace=True),
    )
    url = pulumi.Output.all(password, made.address).apply(
        lambda found: postgres_url(server.user, found[0], found[1], server.database)
    )
    return Made(pulumi.Output.secret(url), made.address, ready=[made])


def declare_elasticache(owner: Owner, server: RedisServer, aws: DatabaseOnAws) -> Made:
    """An ElastiCache replication group: encrypted on disk and on the way, with a password, snapshots.

    AWS has no protection from deletion here, so the engine protects it.

    Args:
        owner: Whose it is.
        server: What the stack file says.
        aws: Where.
    """
    from pulumi_aws import elasticache

    group = elasticache.SubnetGroup(
        f"{owner.name}-subnets",
        name=owner.physical,
        subnet_ids=list(aws.subnet_ids),
        region=aws.region,
        tags=owner.tags,
        opts=owner.opts,
    )
    password = owner.password(server.password_rotation)
    made = elasticache.ReplicationGroup(
        owner.name,
        replication_group_id=owner.physical,
        description=f"Redis {owner.name}",
        engine="redis",
        engine_version="7.1",
        node_type=aws.shape or "cache.t4g.small",
        num_cache_clusters=2 if server.high_availability else 1,
        automatic_failover_enabled=server.high_availability,
        multi_az_enabled=server.high_availability,
        port=6379,
        subnet_group_name=group.name,
        security_group_ids=[_security_group(owner, aws, 6379)],
        at_rest_encryption_enabled=True,
        kms_key_id=aws.kms_key_arn or None,
        transit_encryption_enabled=True,
        transit_encryption_mode="required",
        auth_token=password,
        # The old password holds until the next one is made: AWS keeps two.
        auth_token_update_strategy="ROTATE",
        snapshot_retention_limit=server.keep_snapshots,
        final_snapshot_identifier=_last_snapshot(owner),
        auto_minor_version_upgrade=True,
        apply_immediately=True,
        region=aws.region,
        tags=owner.tags,
        opts=owner.with_options(delete_before_replace=True, protect=server.deletion_protection),
    )
    url = pulumi.Output.all(password, made.primary_endpoint_address).apply(
        lambda found: redis_url(found[0], found[1], 6379)
    )
    return Made(pulumi.Output.secret(url), made.primary_endpoint_address, ready=[made])


def _last_snapshot(owner: Owner) -> pulumi.Output[str]:
    """Name of the snapshot at its end: another one for each life, as AWS refuses a name that is taken."""
    from dynamic_providers.generated_secret import GeneratedSecret

    life = GeneratedSecret(
        f"{owner.name}-life", length=16, opts=pulumi.ResourceOptions(parent=owner.opts.parent)
    )
    name: pulumi.Output[str] = life.id.apply(lambda found: f"{owner.physical}-last-{found[:8]}")
    return name


def _security_group(owner: Owner, aws: DatabaseOnAws, port: int) -> pulumi.Output[str]:
    """Who may connect; nothing leaves it."""
    from pulumi_aws import ec2, vpc

    group = ec2.SecurityGroup(
        f"{owner.name}-way-in",
        description=f"Way to the database {owner.name}",
        vpc_id=aws.vpc_id,
        egress=[],
        region=aws.region,
        tags=owner.tags,
        opts=owner.opts,
    )
    sources = {
        f"group-{source}": {"referenced_security_group_id": source} for source in aws.allowed_security_groups
    }
    sources |= {f"network-{index}": {"cidr_ipv4": cidr} for index, cidr in enumerate(aws.allowed_cidrs)}
    for what, source in sources.items():
        vpc.SecurityGroupIngressRule(
            f"{owner.name}-from-{what}",
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            region=aws.region,
            tags=owner.tags,
            opts=owner.opts,
            **source,
        )
    found: pulumi.Output[str] = group.id
    return found
