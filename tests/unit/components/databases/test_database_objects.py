"""What the pods of databases are like, and what URLs are made."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.databases import postgres_on_kubernetes, redis_on_kubernetes
from components.databases.connection import estimated_hourly, postgres_url, redis_url
from components.databases.made import Owner
from components.databases.on_kubernetes import Pods, amount
from stack_config.databases import DatabasePlace, PostgresServer, RedisServer

SECRET = "main-auth-1a2b"


def pods(place: DatabasePlace, kind: str = "postgres") -> Pods:
    return Pods(Owner("main", "teststck", pulumi.ResourceOptions()), place, kind, f"{kind}:1", 5432)


def both(place: DatabasePlace) -> list[dict[str, Any]]:
    """The servers' containers, and that of the backup."""
    postgres = PostgresServer(target="kubernetes", kubernetes=place)
    redis = RedisServer(target="kubernetes", kubernetes=place)
    job = postgres_on_kubernetes.backup_job(pods(place), postgres, "claim", SECRET, "scripts")
    return [
        postgres_on_kubernetes.server_container(pods(place), postgres, SECRET),
        redis_on_kubernetes.server_container(pods(place, "redis"), redis, SECRET),
        job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0],
    ]


@pytest.mark.parametrize("place", [DatabasePlace(), DatabasePlace(tls_secret="certificate")])
def test_no_container_has_rights_or_a_password_in_clear_text(place: DatabasePlace) -> None:
    for container in both(place):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        secrets = [each for each in container["env"] if "PASSWORD" in each["name"] or "AUTH" in each["name"]]
        assert secrets
        for each in secrets:
            assert each["valueFrom"]["secretKeyRef"] == {"name": SECRET, "key": "password"}


def test_a_pod_is_not_root_and_has_no_token() -> None:
    spec = pods(DatabasePlace()).pod({}, [])
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("tls", ["", "certificate"])
def test_with_a_certificate_nothing_else_is_answered(tls: str) -> None:
    postgres, redis, backup = both(DatabasePlace(tls_secret=tls))
    environment = {each["name"]: each.get("value") for each in backup["env"]}
    assert ("ssl=on" in postgres["args"]) == bool(tls)
    assert any("only-tls.conf" in each for each in postgres["args"]) == bool(tls)
    assert ("--tls" in redis["readinessProbe"]["exec"]["command"][2]) == bool(tls)
    assert environment["PGSSLMODE"] == ("require" if tls else "prefer")


def test_only_named_namespaces_may_connect() -> None:
    place = DatabasePlace(namespace="data", allowed_namespaces=("apps", "skypilot"))
    (rule,) = pods(place).policy()["ingress"]
    assert [
        each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in rule["from"]
    ] == [
        "apps",
        "data",
        "skypilot",
    ]
    assert pods(place).policy()["egress"] == []


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_url_gives_user_and_password_back(user: str, password: str) -> None:
    found = urlsplit(postgres_url(user, password, "db", "app"))
    assert (unquote(found.username or ""), unquote(found.password or "")) == (user, password)
    assert (found.hostname, found.port, found.path, found.query) == ("db", 5432, "/app", "sslmode=require")
    redis = urlsplit(redis_url(password, "cache", 6380))
    assert (redis.scheme, unquote(redis.password or ""), redis.port) == ("rediss", password, 6380)


@pytest.mark.parametrize(
    ("text", "bytes_"), [("1Gi", 1024**3), ("500m", 0.5), ("2", 2), ("1.5G", 1.5e9), ("64Mi", 64 * 1024**2)]
)
def test_amounts(text: str, bytes_: float) -> None:
    assert float(amount(text)) == bytes_


def test_an_unknown_price_is_never_nothing() -> None:
    assert estimated_hourly(None)["hourlyUsd"] == "unknown"
    assert estimated_hourly(0.25)["hourlyUsd"] == 0.25
