"""The sections of the stack file about databases: PostgreSQL and Redis; docs/postgres-and-redis.md.

What a field may hold by itself is here; what fits together is in components/databases/rules.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from stack_config.shape import Model, Usd

Text = Annotated[str, Field(min_length=1)]
Dns = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[kMGTP]i?)?$")]
Image = Annotated[
    str, Field(pattern=r"^\S+(:[A-Za-z0-9._-]*[0-9][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$", max_length=400)
]
"""An image with a version or a digest."""

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
"""A name in a database that needs no quotes."""


class KubernetesPlace(Model):
    """A namespace of a Kubernetes cluster."""

    cluster: str = Field(
        default="", description="Name of an EKS, GKE or AKS cluster of this stack; or give `kubeconfig`."
    )
    kubeconfig: str = Field(default="", description="Path of a kubeconfig; that of kubectl if empty.")
    context: str = Field(default="", description="Context in it; its current one if empty.")
    namespace: Dns = Field(default="default", description="Namespace; it has to be there.")


class ConnectionPlace(KubernetesPlace):
    """Where a Secret with the connection is written: keys `connection_string` and `url`, the same text."""

    name: SecretName | None = Field(
        default=None, description="Name of the Secret; `<service>-connection` if left out."
    )


class DatabasePlace(KubernetesPlace):
    """How a database runs on Kubernetes."""

    storage_class: str = Field(default="", description="Storage class; the cluster's default if empty.")
    keep: bool = Field(default=True, description="A destroy leaves the volumes, backups too.")
    cpu: Quantity = Field(default="500m", description="CPUs that it is sure to have.")
    memory: Quantity = Field(default="1Gi", description="Memory; no more, no less.")
    allowed_namespaces: tuple[Dns, ...] = Field(
        default=(), description="Further namespaces whose pods may connect, beside its own."
    )
    tls_secret: str = Field(
        default="",
        description="Secret with `tls.crt`, `tls.key` and `ca.crt`: then nothing but TLS is answered.",
    )
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of its node.")


class DatabaseOnAws(Model):
    """Where RDS or ElastiCache puts it; never reached from outside the VPC."""

    region: Text = Field(description="AWS region.")
    vpc_id: Annotated[str, Field(pattern=r"^vpc-[0-9a-f]+$")] = Field(description="VPC.")
    subnet_ids: tuple[Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")], ...] = Field(
        min_length=2, description="Private subnets in at least two zones."
    )
    allowed_cidrs: tuple[str, ...] = Field(default=(), description="IPv4 networks that may connect.")
    allowed_security_groups: tuple[Annotated[str, Field(pattern=r"^sg-[0-9a-f]+$")], ...] = Field(
        default=(), description="Security groups whose machines may connect."
    )
    shape: str = Field(default="", description="Machine: `db.t4g.medium`, `cache.t4g.small`; a small one.")
    kms_key_arn: str = Field(default="", description="Own key that it is encrypted with.")


class DatabaseOnGoogle(Model):
    """Where Cloud SQL or Memorystore puts it; never reached from outside the network."""

    project: Text = Field(description="Id of the Google Cloud project.")
    region: Text = Field(description="Google Cloud region.")
    network: Annotated[str, Field(pattern=r"^projects/[^/]+/global/networks/[^/]+$")] = Field(
        description="Network: `projects/p/global/networks/n`."
    )
    connect_network: bool = Field(
        default=False,
        description="Connect the network to Google's services (private services access); once a network.",
    )
    shape: str = Field(default="", description="Tier of Cloud SQL: `db-custom-2-8192`; a small one.")
    kms_key: str = Field(default="", description="Own key (full name) that it is encrypted with.")


class DatabaseOnAzure(Model):
    """Where Azure puts it; never reached from outside the virtual network."""

    resource_group: Text = Field(description="Resource group, which has to be there.")
    region: Text = Field(description="Azure region.")
    subnet_id: Annotated[str, Field(pattern=r"^/subscriptions/.+/subnets/[^/]+$")] = Field(
        description="PostgreSQL: subnet delegated to flexible servers. Redis: subnet of a private endpoint."
    )
    dns_zone_id: Annotated[str, Field(pattern=r"^/subscriptions/.+/privateDnsZones/[^/]+$")] = Field(
        description="Private DNS zone, linked to the network."
    )
    shape: str = Field(default="", description="`Standard_D2ds_v5`, or for Redis `Balanced_B1`; small ones.")


class _Database(Model):
    """What PostgreSQL and Redis have in common."""

    url: SecretStr | None = Field(
        default=None, description="With `external`: the URL, as a secure value, password and all."
    )
    tls: bool = Field(default=True, description="With `external`: `false` accepts a URL without TLS.")
    aws: DatabaseOnAws | None = Field(default=None, description="With a target of AWS: where.")
    google: DatabaseOnGoogle | None = Field(default=None, description="With one of Google Cloud: where.")
    azure: DatabaseOnAzure | None = Field(default=None, description="With `azure`: where.")
    high_availability: bool = Field(
        default=False, description="Managed: a second machine in another zone takes over."
    )
    deletion_protection: bool = Field(
        default=True,
        description="Managed: a destroy is refused until this is `false` and was brought up.",
    )
    password_rotation: str = Field(
        default="", max_length=100, description="Any text; another one makes another password."
    )
    connection: ConnectionPlace | None = Field(
        default=None, description="Where to write the connection; always written beside it on Kubernetes."
    )
    hourly_usd: Usd | None = Field(default=None, description="What you pay for it, USD per hour.")


class Backups(Model):
    """Backups of PostgreSQL."""

    enabled: bool = Field(default=True, description="Whether there are any.")
    schedule: Annotated[str, Field(pattern=r"^\S+( \S+){4}$")] = Field(
        default="17 3 * * *", description="On Kubernetes: when, as cron has it, UTC."
    )
    keep: int = Field(
        default=7, ge=1, le=365, description="How many dumps stay on Kubernetes; days of a managed one."
    )
    size: Quantity = Field(default="20Gi", description="On Kubernetes: size of their volume.")
    existing_claim: str = Field(
        default="", description="On Kubernetes: a claim that is there instead, also one of a bucket."
    )


class PostgresServer(_Database):
    """A PostgreSQL database."""

    target: Literal["kubernetes", "rds", "cloud_sql", "azure", "external"] = Field(description="Where.")
    version: Literal["14", "15", "16", "17"] = Field(default="17", description="Major version.")
    image: Image | None = Field(
        default=None, description="On Kubernetes: an image with the files of Docker's `postgres` on Debian."
    )
    database: Identifier = Field(default="app", description="Name of the database.")
    user: Identifier = Field(default="app", description="Its owner.")
    storage_gb: int = Field(default=20, ge=1, le=16_000, description="Size of its disk, GB.")
    backups: Backups = Field(default=Backups(), description="Backups.")
    kubernetes: DatabasePlace = Field(default=DatabasePlace(), description="With `kubernetes`: where.")


class RedisServer(_Database):
    """A Redis database."""

    target: Literal["kubernetes", "elasticache", "memorystore", "azure", "external"] = Field(
        description="Where."
    )
    image: Image = Field(default="redis:7.4.6", description="On Kubernetes: Docker's `redis` on Debian.")
    memory_gb: int = Field(default=1, ge=1, le=300, description="Memorystore: memory, GB.")
    storage_gb: int = Field(default=5, ge=1, le=16_000, description="On Kubernetes: its disk, GB.")
    keep_snapshots: int = Field(default=7, ge=1, le=35, description="ElastiCache: daily snapshots that stay.")
    kubernetes: DatabasePlace = Field(default=DatabasePlace(), description="With `kubernetes`: where.")


SECTIONS: tuple[tuple[str, type[Model]], ...] = (
    ("PostgreSQL: `gpuplane:postgresServices.<name>`", PostgresServer),
    ("Backups of PostgreSQL: `backups`", Backups),
    ("Redis: `gpuplane:redisServices.<name>`", RedisServer),
    ("Database on Kubernetes: `kubernetes`", DatabasePlace),
    ("Database on AWS: `aws`", DatabaseOnAws),
    ("Database on Google Cloud: `google`", DatabaseOnGoogle),
    ("Database on Azure: `azure`", DatabaseOnAzure),
    ("Secret with the connection: `connection`", ConnectionPlace),
)
"""What docs/configuration.md says about these, section by section."""

PATTERNS = {
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$": "must have lower-case letters, digits and inner hyphens only",
    r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$": "must have lower-case letters, digits, - and . only",
    r"^[0-9]+(\.[0-9]+)?(m|[kMGTP]i?)?$": "must be a quantity of Kubernetes, like 500m or 2Gi",
    r"^\S+(:[A-Za-z0-9._-]*[0-9][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$": (
        "must be an image with a version, like redis:7.4.6"
    ),
    r"^[a-z][a-z0-9_]{0,30}$": "must have lower-case letters, digits and _ only, a letter first, 31 at most",
    r"^vpc-[0-9a-f]+$": "must look like vpc-0a1b2c3d",
    r"^subnet-[0-9a-f]+$": "must look like subnet-0a1b2c3d",
    r"^sg-[0-9a-f]+$": "must look like sg-0a1b2c3d",
    r"^projects/[^/]+/global/networks/[^/]+$": "must look like projects/my-project/global/networks/main",
    r"^/subscriptions/.+/subnets/[^/]+$": "must be the full id of a subnet: /subscriptions/…/subnets/…",
    r"^/subscriptions/.+/privateDnsZones/[^/]+$": "must be the full id of a private DNS zone",
    r"^\S+( \S+){4}$": "must be five fields as cron has them, like 17 3 * * *",
}
"""What an error says of each pattern here."""
