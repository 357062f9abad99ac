"""Redis on Kubernetes: what it is told is on its volume after a second at most."""

from __future__ import annotations

import pulumi

from components.databases.connection import redis_url
from components.databases.made import Made, Owner
from components.databases.on_kubernetes import SCRIPTS, TLS, Pods, Spec, amount, script
from stack_config.databases import RedisServer


def declare(owner: Owner, server: RedisServer) -> Made:
    """Declares the objects.

    Args:
        owner: Whose they are.
        server: What the stack file says.
    """
    pods = Pods(owner, server.kubernetes, "redis", server.image, 6379)
    password = owner.password(server.password_rotation)
    secret = pods.secret("auth", {"password": password})
    scripts = pods.config_map("scripts", {"start-redis.sh": script("start-redis.sh")})
    volumes: list[Spec] = [
        {"name": "scripts", "configMap": {"name": scripts}},
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        *pods.tls_volume(),
    ]
    ready = pods.declare(server_container(pods, server, secret), volumes, server.storage_gb)
    tls = bool(server.kubernetes.tls_secret)
    url = password.apply(lambda text: redis_url(text, pods.host, pods.port, tls=tls))
    return Made(pulumi.Output.secret(url), pulumi.Output.from_input(pods.host), ready=ready)


def server_container(pods: Pods, server: RedisServer, secret: pulumi.Input[str]) -> Spec:
    """The server's container. Pure.

    Args:
        pods: Its objects.
        server: What the stack file says.
        secret: Name of the Secret with the password.
    """
    tls = ["--tls", "--cacert", f"{TLS}/ca.crt"] if server.kubernetes.tls_secret else []
    # A server that still loads its data answers with an error: it lives, and is not ready.
    ping = "redis-cli " + " ".join([*tls, "-h", "localhost", "ping"])
    ready = {"exec": {"command": ["sh", "-c", f'[ "$({ping})" = PONG ]']}, "timeoutSeconds": 5}
    alive = {
        "exec": {"command": ["sh", "-c", f"{ping} | grep -qE '^(PONG|LOADING|MASTERDOWN)'"]},
        "timeoutSeconds": 5,
    }
    return pods.container(
        name="redis",
        command=["sh", f"{SCRIPTS}/start-redis.sh"],
        env=[
            {"name": "REDIS_PASSWORD", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}},
            {"name": "REDISCLI_AUTH", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}},
            # The rest is for the copy that is made while the log is written anew.
            {"name": "MAXMEMORY_BYTES", "value": str(int(amount(server.kubernetes.memory) * 6 / 10))},
            *([{"name": "TLS_FOLDER", "value": TLS}] if server.kubernetes.tls_secret else []),
        ],
        ports=[{"name": "redis", "containerPort": 6379}],
        startupProbe={**alive, "periodSeconds": 2, "failureThreshold": 150},
        readinessProbe={**ready, "periodSeconds": 5},
        livenessProbe={**alive, "periodSeconds": 10, "failureThreshold": 6},
        resources=pods.resources(),
        volumeMounts=[
            {"name": "data", "mountPath": "/data"},
            {"name": "scripts", "mountPath": SCRIPTS, "readOnly": True},
            {"name": "run", "mountPath": "/run/redis"},
            *pods.tls_mount(),
        ],
    )
