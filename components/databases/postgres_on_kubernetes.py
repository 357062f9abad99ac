"""PostgreSQL on Kubernetes, with dumps by the clock."""

from __future__ import annotations

import pulumi

from components.databases.connection import postgres_url
from components.databases.made import Made, Owner
from components.databases.on_kubernetes import SCRIPTS, TLS, Pods, Spec, amount, script
from stack_config.databases import PostgresServer

IMAGES = {
    "14": "postgres:14.19-bookworm",
    "15": "postgres:15.14-bookworm",
    "16": "postgres:16.10-bookworm",
    "17": "postgres:17.6-bookworm",
}
"""Docker's image of each version."""

DATA = "/var/lib/postgresql/data"
BACKUPS = "/backups"

ONLY_TLS = """\
local all all scram-sha-256
hostnossl all all all reject
hostssl all all all scram-sha-256
"""
"""pg_hba.conf of a server with a certificate."""


def declare(owner: Owner, server: PostgresServer) -> Made:
    """Declares the objects.

    Args:
        owner: Whose they are.
        server: What the stack file says.
    """
    pods = Pods(owner, server.kubernetes, "postgres", server.image or IMAGES[server.version], 5432)
    password = owner.password(server.password_rotation)
    secret = pods.secret("auth", {"password": password})
    scripts = pods.config_map(
        "scripts",
        {
            "start-postgres.sh": script("start-postgres.sh"),
            "back-up-postgres.sh": script("back-up-postgres.sh"),
            "only-tls.conf": ONLY_TLS,
        },
    )
    ready = pods.declare(server_container(pods, server, secret), volumes(pods, scripts), server.storage_gb)
    if server.backups.enabled:
        _declare_backups(pods, server, secret, scripts)
    url = password.apply(
        lambda text: postgres_url(
            server.user, text, pods.host, server.database, tls=bool(server.kubernetes.tls_secret)
        )
    )
    return Made(pulumi.Output.secret(url), pulumi.Output.from_input(pods.host), ready=ready)


def server_container(pods: Pods, server: PostgresServer, secret: pulumi.Input[str]) -> Spec:
    """The server's container. Pure.

    Args:
        pods: Its objects.
        server: What the stack file says.
        secret: Name of the Secret with the password.
    """
    # A quarter of the memory for shared buffers, as PostgreSQL's manual advises for a machine of its own.
    buffers = max(16, int(amount(server.kubernetes.memory) / 4 / 1024**2))
    args = ["-c", f"shared_buffers={buffers}MB", "-c", "password_encryption=scram-sha-256"]
    if server.kubernetes.tls_secret:
        args += ["-c", "ssl=on", "-c", f"ssl_cert_file={TLS}/tls.crt", "-c", f"ssl_key_file={TLS}/tls.key"]
        args += ["-c", f"hba_file={SCRIPTS}/only-tls.conf"]
    ask = ["pg_isready", "-q", "-U", server.user, "-d", server.database, "-h", "/var/run/postgresql"]
    return pods.container(
        name="postgres",
        command=["sh", f"{SCRIPTS}/start-postgres.sh"],
        args=args,
        env=[
            {"name": "PGDATA", "value": f"{DATA}/pgdata"},
            {"name": "POSTGRES_USER", "value": server.user},
            {"name": "POSTGRES_DB", "value": server.database},
            {"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}},
            {
                "name": "POSTGRES_INITDB_ARGS",
                "value": "--auth-host=scram-sha-256 --auth-local=scram-sha-256 --data-checksums",
            },
        ],
        ports=[{"name": "postgres", "containerPort": 5432}],
        # An hour: a killed server goes through its log first.
        startupProbe={
            "exec": {"command": ask},
            "periodSeconds": 5,
            "failureThreshold": 720,
            "timeoutSeconds": 5,
        },
        readinessProbe={"exec": {"command": ask}, "periodSeconds": 5, "timeoutSeconds": 5},
        livenessProbe={
            "exec": {"command": ask},
            "periodSeconds": 20,
            "failureThreshold": 6,
            "timeoutSeconds": 5,
        },
        resources=pods.resources(),
        volumeMounts=[
            {"name": "data", "mountPath": DATA},
            {"name": "scripts", "mountPath": SCRIPTS, "readOnly": True},
            {"name": "run", "mountPath": "/var/run/postgresql"},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shm", "mountPath": "/dev/shm"},
            *pods.tls_mount(),
        ],
    )


def volumes(pods: Pods, scripts: pulumi.Input[str]) -> list[Spec]:
    """The pod's volumes beside that of the data. Pure."""
    return [
        {"name": "scripts", "configMap": {"name": scripts}},
        {"name": "run", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        # Parallel queries want more than the 64 MB that a container has.
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
        *pods.tls_volume(),
    ]


def _declare_backups(
    pods: Pods, server: PostgresServer, secret: pulumi.Output[str], scripts: pulumi.Output[str]
) -> None:
    from pulumi_kubernetes import batch, core

    backups, name = server.backups, f"{pods.name}-backups"
    claim: pulumi.Input[str] = backups.existing_claim
    if not claim:
        claim = core.v1.PersistentVolumeClaim(
            name,
            # A class that binds with the first pod would be waited for until the first backup.
            metadata=pods.meta(name, annotations={"pulumi.com/skipAwait": "true"}),
            spec=pods.claim(backups.size),
            opts=pods.owner.with_options(retain_on_delete=server.kubernetes.keep),
        ).metadata.name
    batch.v1.CronJob(
        name,
        metadata=pods.meta(name),
        spec=backup_job(pods, server, claim, secret, scripts),
        opts=pods.owner.opts,
    )


def backup_job(
    pods: Pods,
    server: PostgresServer,
    claim: pulumi.Input[str],
    secret: pulumi.Input[str],
    scripts: pulumi.Input[str],
) -> Spec:
    """The CronJob's spec. Pure.

    Args:
        pods: Objects of the database.
        server: What the stack file says.
        claim: Name of the claim that dumps go to.
        secret: Name of the Secret with the password.
        scripts: Name of the ConfigMap with the scripts.
    """
    container = pods.container(
        name="backup",
        command=["sh", f"{SCRIPTS}/back-up-postgres.sh"],
        env=[
            {"name": "PGHOST", "value": pods.name},
            {"name": "PGUSER", "value": server.user},
            {"name": "PGDATABASE", "value": server.database},
            {"name": "PGSSLMODE", "value": "require" if server.kubernetes.tls_secret else "prefer"},
            {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}},
            {"name": "BACKUPS", "value": BACKUPS},
            {"name": "KEEP", "value": str(server.backups.keep)},
        ],
        resources={"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        volumeMounts=[
            {"name": "backups", "mountPath": BACKUPS},
            {"name": "scripts", "mountPath": SCRIPTS, "readOnly": True},
        ],
    )
    return {
        "schedule": server.backups.schedule,
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        # Missed for an hour, as while the cluster was down: it is made up for.
        "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {
            "spec": {
                "backoffLimit": 3,
                "activeDeadlineSeconds": 6 * 3600,
                "template": {
                    "metadata": {"labels": {**pods.labels, "app.kubernetes.io/component": "backup"}},
                    "spec": pods.pod(
                        container,
                        [
                            {"name": "backups", "persistentVolumeClaim": {"claimName": claim}},
                            {"name": "scripts", "configMap": {"name": scripts}},
                        ],
                        restartPolicy="Never",
                    ),
                },
            }
        },
    }
