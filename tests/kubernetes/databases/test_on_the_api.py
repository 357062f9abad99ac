"""PostgreSQL and Redis on a real API: objects are accepted, pods are Ready; nothing runs in them."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

from tests.engine.harness import Stack
from tests.kubernetes.conftest import NewStack, Objects
from tests.kubernetes.services import ENV, PROGRAM, configure, unchanged

APPS, CORE, BATCH = "/apis/apps/v1/namespaces", "/api/v1/namespaces", "/apis/batch/v1/namespaces"


def secret_of(objects: Objects, namespace: str, name: str) -> dict[str, str]:
    data = objects.get(f"{CORE}/{namespace}/secrets/{name}")["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def password_of_pod(objects: Objects, namespace: str, pod: str, variable: str) -> str:
    """What the pod is given, whatever the name of the Secret."""
    container = objects.get(f"{CORE}/{namespace}/pods/{pod}")["spec"]["containers"][0]
    source = next(each for each in container["env"] if each["name"] == variable)["valueFrom"]["secretKeyRef"]
    return secret_of(objects, namespace, source["name"])[source["key"]]


def declare(stack: Stack, namespace: str, keep: bool = False, **changes: Any) -> None:
    place = {"namespace": namespace, "keep": keep}
    configure(
        stack,
        postgresServices={"main": {"target": "kubernetes", "kubernetes": place, **changes}},
        redisServices={"cache": {"target": "kubernetes", "kubernetes": place}},
    )


def test_the_life_of_both(new_stack: NewStack, namespace: str, objects: Objects) -> None:
    stack = new_stack(PROGRAM, env=ENV)
    declare(stack, namespace)
    seen = stack.preview().expect_ok()
    assert set(seen.ops().values()) == {"create"}
    stack.up().expect_ok()
    for name in ("main", "cache"):
        assert objects.get(f"{APPS}/{namespace}/statefulsets/{name}")["status"]["readyReplicas"] == 1
        assert (
            objects.get(f"{CORE}/{namespace}/persistentvolumeclaims/data-{name}-0")["status"]["phase"]
            == "Bound"
        )
        assert objects.exists(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}")
    job = objects.get(f"{BATCH}/{namespace}/cronjobs/main-backups")["spec"]
    assert (job["schedule"], job["timeZone"], job["concurrencyPolicy"]) == ("17 3 * * *", "Etc/UTC", "Forbid")

    # The connection is what the pod's own password says, and in the state it is ciphertext alone.
    main = secret_of(objects, namespace, "main-connection")
    assert main["connection_string"] == main["url"]
    url = urlsplit(main["url"])
    assert (url.scheme, url.username, url.hostname, url.path) == (
        "postgresql",
        "app",
        f"main.{namespace}.svc",
        "/app",
    )
    assert url.password == password_of_pod(objects, namespace, "main-0", "POSTGRES_PASSWORD")
    cache = urlsplit(secret_of(objects, namespace, "cache-connection")["connection_string"])
    assert (cache.scheme, cache.hostname, cache.port) == ("redis", f"cache.{namespace}.svc", 6379)
    assert cache.password == password_of_pod(objects, namespace, "cache-0", "REDIS_PASSWORD")
    for password in (url.password, cache.password):
        assert password and password not in stack.state_text()
        assert base64.b64encode(password.encode()).decode() not in stack.state_text()
    assert "ciphertext" in str(stack.outputs()["databases"])
    assert unchanged(stack.preview())

    # Another password reaches the pod and the connection in the same run.
    declare(stack, namespace, passwordRotation="2", backups={"keep": 3, "schedule": "0 * * * *"})
    stack.up().expect_ok()
    renewed = urlsplit(secret_of(objects, namespace, "main-connection")["url"]).password
    assert renewed != url.password
    assert renewed == password_of_pod(objects, namespace, "main-0", "POSTGRES_PASSWORD")
    job = objects.get(f"{BATCH}/{namespace}/cronjobs/main-backups")["spec"]
    environment = job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "KEEP", "value": "3"} in environment
    assert job["schedule"] == "0 * * * *"

    stack.destroy().expect_ok()
    assert objects.names(f"{APPS}/{namespace}/statefulsets") == []
    assert objects.names(f"{CORE}/{namespace}/secrets") == []


def test_a_backup_runs_and_volumes_outlive_a_destroy(
    new_stack: NewStack, namespace: str, objects: Objects, kubectl: Any
) -> None:
    stack = new_stack(PROGRAM, env=ENV)
    declare(stack, namespace, keep=True)
    stack.up().expect_ok()
    kubectl("create", "job", "now", "--from=cronjob/main-backups", "-n", namespace)
    kubectl("wait", "--for=condition=complete", "job/now", "-n", namespace, "--timeout=110s")
    assert (
        objects.get(f"{CORE}/{namespace}/persistentvolumeclaims/main-backups")["status"]["phase"] == "Bound"
    )
    stack.destroy().expect_ok()
    claims = f"{CORE}/{namespace}/persistentvolumeclaims"
    assert sorted(objects.names(claims)) == ["data-cache-0", "data-main-0", "main-backups"]
    # The same names again take the same volumes.
    declare(stack, namespace, keep=False)
    stack.up().expect_ok()
    assert objects.get(f"{APPS}/{namespace}/statefulsets/main")["status"]["readyReplicas"] == 1


def test_an_external_one_is_written_where_it_is_wanted(
    new_stack: NewStack, namespace: str, objects: Objects
) -> None:
    stack = new_stack(PROGRAM, env=ENV)
    url = "postgresql://app:canary-4711@db.example.com:5432/app?sslmode=verify-full"
    place = {"namespace": namespace, "name": "skypilot-db"}
    configure(stack, postgresServices={"main": {"target": "external", "connection": place}})
    key = "gpuplane:postgresServices.main.url"
    stack.run("config", "set", "--secret", "--path", key, url, "--stack", "test").expect_ok()
    up = stack.up().expect_ok()
    assert secret_of(objects, namespace, "skypilot-db") == {"connection_string": url, "url": url}
    assert "canary-4711" not in up.output + stack.state_text()
    assert stack.outputs()["databases"]["main"]["host"] == "db.example.com"
    stack.destroy().expect_ok()
    assert not objects.exists(f"{CORE}/{namespace}/secrets/skypilot-db")
