"""The server's objects on a real Kubernetes API, through the real engine. KWOK plays pods: no server runs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.skypilot_server.conftest import Server

GONE = {"storage": {"keep": False}}
INGRESS = {"host": "sky.example.com", "tlsSecret": "sky-tls", "wait": False}


def test_from_the_preview_to_the_end(server: Server):
    stack = server.declare(
        {**GONE, "ingress": INGRESS},
        config={"jobs": {"controller": {"resources": {"cpus": "2+"}}}},
    )
    server.give(
        accounts={"runpod": {"api_key": "canary-runpod"}, "paperspace": {"api_key": "canary-paperspace"}},
        files={".slurm/config": "Host canary-slurm"},
        env={"SOME_TOKEN": "canary-env"},
    )
    preview = stack.preview().expect_ok()
    assert set(preview.ops().values()) == {"create"}
    assert not server.objects.exists(f"/api/v1/namespaces/{server.namespace}"), "a preview changes nothing"

    stack.up().expect_ok()
    deployment = server.deployment()
    assert deployment["status"]["readyReplicas"] == 1
    assert deployment["spec"]["strategy"]["type"] == "Recreate"
    claim = server.objects.get(server.path("persistentvolumeclaims", "sky-state"))
    assert claim["status"]["phase"] == "Bound"
    (pod,) = server.pods()
    running = server.objects.get(server.path("pods", pod))
    assert running["spec"]["nodeName"] and running["status"]["phase"] == "Running"
    assert server.output("endpoint") == "https://sky.example.com"
    assert server.output("user") == "admin"
    password = server.output("password")
    assert len(password) >= 32

    state = stack.state_text()
    for secret in (password, "canary-runpod", "canary-paperspace", "canary-slurm", "canary-env"):
        assert secret not in state
        assert base64.b64encode(secret.encode()).decode() not in state
        assert secret not in json.dumps(server.declared())
    assert set(stack.up().expect_ok().ops().values()) == {"same"}
    refreshed = stack.refresh().expect_ok()
    assert set(refreshed.ops().values()) <= {"refresh", "same"}
    assert set(stack.up().expect_ok().ops().values()) == {"same"}

    server.stack.set_config({"config": {"allowed_clouds": ["runpod"]}})
    changed = stack.up().expect_ok().ops()
    assert {name for name, op in changed.items() if op != "same"} == {"sky-declared", "sky-api-server"}
    (after,) = server.pods()
    assert after != pod, "the configuration is read when a pod starts"
    assert server.declared()["config"]["allowed_clouds"] == ["runpod"]

    server.give(accounts={"runpod": {"api_key": "canary-rotated"}})
    stack.up().expect_ok()
    (last,) = server.pods()
    assert last != after, "so are accounts"
    kept = server.objects.get(server.path("secrets"))["items"]
    texts = [base64.b64decode(text).decode() for each in kept for text in each.get("data", {}).values()]
    assert "canary-rotated" in texts and "canary-runpod" not in texts and "canary-paperspace" not in texts

    stack.destroy().expect_ok()
    assert stack.resources() == {}
    for name in (server.namespace, f"{server.namespace}-clusters"):
        assert not server.objects.exists(f"/api/v1/namespaces/{name}")
    roles = server.objects.names("/apis/rbac.authorization.k8s.io/v1/clusterroles")
    assert not [name for name in roles if server.namespace in name]


def test_a_kept_volume_is_found_again(server: Server):
    stack = server.declare()
    stack.up().expect_ok()
    claim = server.path("persistentvolumeclaims", "sky-state")
    uid = server.objects.get(claim)["metadata"]["uid"]
    stack.destroy().expect_ok()
    assert not server.objects.exists(server.path("deployments", "sky-api-server", "apps/v1"))
    assert server.objects.get(claim)["metadata"]["uid"] == uid
    stack.up().expect_ok()
    assert server.objects.get(claim)["metadata"]["uid"] == uid
    assert server.deployment()["status"]["readyReplicas"] == 1


RIGHTS: list[tuple[str, str, str, bool]] = [
    ("create", "pods", "-clusters", True),
    ("create", "pods/exec", "-clusters", True),
    ("delete", "services", "-clusters", True),
    ("get", "secrets", "-clusters", True),
    ("get", "secrets", "", False),
    ("create", "pods", "", False),
    ("get", "configmaps/sky-config", "", True),
    ("patch", "configmaps/sky-config", "", True),
    ("delete", "configmaps/sky-config", "", False),
    ("get", "configmaps", "", False),
    ("create", "roles.rbac.authorization.k8s.io", "-clusters", False),
    ("create", "serviceaccounts", "-clusters", False),
    ("deletecollection", "pods", "-clusters", False),
    ("list", "nodes", "", True),
    ("patch", "nodes", "", False),
    ("list", "pods", "default", True),
    ("get", "secrets", "default", False),
    ("create", "daemonsets.apps", "-clusters", False),
]


def test_the_server_may_do_what_it_needs_and_no_more(server: Server, kubectl: Any):
    server.declare(GONE).up().expect_ok()
    user = f"system:serviceaccount:{server.namespace}:sky-api-sa"
    reviews = []
    for verb, what, where, _ in RIGHTS:
        kind, _, part = what.partition("/")
        resource, _, group = kind.partition(".")
        asked = {"verb": verb, "resource": resource, "group": group}
        if resource != "nodes":
            asked["namespace"] = where if where == "default" else f"{server.namespace}{where}"
        if part:
            asked["name" if resource == "configmaps" else "subresource"] = part
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        reviews.append({**review, "spec": {"user": user, "resourceAttributes": asked}})
    whole = {"apiVersion": "v1", "kind": "List", "items": reviews}
    path = 'jsonpath={.status.allowed}{"\\n"}'
    answers = kubectl("create", "-o", path, "-f", "-", input=json.dumps(whole)).splitlines()
    found = [(*row[:3], answer == "true") for row, answer in zip(RIGHTS, answers, strict=True)]
    assert found == RIGHTS

    # Without workloads the pod has no token, and what was for them is taken away.
    server.declare({**GONE, "workloads": {"enabled": False}}).up().expect_ok()
    assert server.deployment()["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    assert server.objects.names(server.path("rolebindings", group="rbac.authorization.k8s.io/v1")) == []
    assert not server.objects.exists(f"/api/v1/namespaces/{server.namespace}-clusters")
    server.stack.destroy().expect_ok()


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.monitoring.coreos.com}}
spec:
  group: monitoring.coreos.com
  names: {{kind: {kind}, plural: {plural}, singular: {singular}}}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""


def test_a_login_page_metrics_alerts_and_a_policy(server: Server, kubectl: Any):
    for kind in ("ServiceMonitor", "PrometheusRule"):
        name = kind.lower()
        kubectl("apply", "-f", "-", input=CRD.format(kind=kind, plural=f"{name}s", singular=name))
        kubectl("wait", "--for=condition=Established", f"crd/{name}s.monitoring.coreos.com", "--timeout=60s")
    server.stack.set_secret("client", "canary-client")
    stack = server.declare(
        {
            **GONE,
            "ingress": {**INGRESS, "tlsSecret": "", "certIssuer": "letsencrypt"},
            "oauth2": {"issuer": "https://id.example", "clientId": "sky", "emailDomains": ["example.com"]},
            "network": {"namespaces": ["ingress-nginx"], "cidrs": ["10.0.0.0/8"]},
            "monitoring": {"serviceMonitor": True, "alerts": True, "labels": {"release": "prometheus"}},
            "volumes": [{"secret": "extra", "path": ".extra"}],
            "accountSecrets": {"aws": "aws-credentials"},
            "tolerations": [{"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}],
        },
        kind="oauth2",
    )
    stack.up().expect_ok()
    variables = server.variables()
    assert variables["SKYPILOT_AUTH_OAUTH2_PROXY_BASE_URL"] == "http://sky-oauth2-proxy:4180"
    assert "GPUPLANE_BASIC_PASSWORD" not in variables and server.output("password") == ""
    proxy = server.objects.get(server.path("deployments", "sky-oauth2-proxy", "apps/v1"))
    assert proxy["status"]["readyReplicas"] == 1
    assert "canary-client" not in json.dumps(proxy) + stack.state_text()
    monitor = server.objects.get(server.path("servicemonitors", "sky-api-server", "monitoring.coreos.com/v1"))
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    rule = server.objects.get(server.path("prometheusrules", "sky-api-server", "monitoring.coreos.com/v1"))
    assert len(rule["spec"]["groups"][0]["rules"]) == 4
    policy = server.path("networkpolicies", "sky-api-server", "networking.k8s.io/v1")
    allowed = server.objects.get(policy)["spec"]["ingress"]
    assert [each["ports"][0]["port"] for each in allowed] == [46580, 9090]
    ingress = server.objects.get(server.path("ingresses", "sky-ingress", "networking.k8s.io/v1"))
    assert ingress["spec"]["tls"] == [{"hosts": ["sky.example.com"], "secretName": "sky-ingress-tls"}]
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "3600"
    assert set(stack.up().expect_ok().ops().values()) == {"same"}
    stack.destroy().expect_ok()


def test_a_rolling_update_where_it_is_legal(server: Server):
    server.stack.set_secret("database", "postgresql://sky:canary-db@db.example.com/sky")
    on = {"update": "rolling", "replicas": 2, "storage": {"keep": False, "accessMode": "ReadWriteMany"}}
    stack = server.declare(on)
    stack.up().expect_ok()
    deployment = server.deployment()
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert deployment["status"]["readyReplicas"] == 2
    assert "canary-db" not in stack.state_text()
    before = server.pods()
    stack = server.declare({**on, "restartTrigger": "again"})
    stack.up().expect_ok()
    assert not set(before) & set(server.pods())
    assert server.deployment()["status"]["readyReplicas"] == 2
    stack.destroy().expect_ok()


@pytest.mark.parametrize(
    ("on", "secret", "said"),
    [
        ({"update": "rolling"}, None, "kubernetes.update: rolling needs a database"),
        (GONE, "skypilot", "the password that SkyPilot's chart publishes"),
        (GONE, "short", "fewer than 12 characters"),
    ],
)
def test_what_is_refused_makes_nothing(server: Server, on: Any, secret: str | None, said: str):
    stack = server.declare(on)
    if secret is not None:
        stack.set_secret("password", secret)
    for result in (stack.preview(), stack.up()):
        assert not result.ok
        assert said in result.output
        assert secret is None or "Traceback" not in result.output
    assert not server.objects.exists(server.path("deployments", "sky-api-server", "apps/v1"))
    assert secret is None or f'"{secret}"' not in stack.state_text()
    stack.destroy().expect_ok()


def test_a_chart_gets_our_password_and_configuration_and_can_not_loosen_them(server: Server):
    chart = Path(__file__).resolve().parent / "chart"
    loose = {"more": "mine", "enableUserManagement": False, "initialBasicAuthCredentials": "skypilot:other"}
    values = {"apiService": loose, "ingress": {"enabled": True}, "rbac": {"create": True}}
    on = {**GONE, "chart": str(chart), "chartValues": values, "ingress": INGRESS}
    stack = server.declare(on, config={"jobs": {"a": 1}})
    stack.up().expect_ok()
    assert server.deployment()["status"]["readyReplicas"] == 1
    assert server.output("endpoint") == "https://sky.example.com"
    container, variables = server.container(), server.variables()
    assert "SKYPILOT_INITIAL_BASIC_AUTH" not in variables
    assert variables["GPUPLANE_BASIC_PASSWORD"]["secretKeyRef"]["key"] == "password"
    assert variables["MORE"] == "mine"
    assert "local_services.sky_pilot_pod shell" in container["args"][0]
    assert "/gpuplane" in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert server.declared()["config"]["jobs"] == {"a": 1}
    (before,) = server.pods()
    server.stack.set_config({"config": {"jobs": {"a": 2}}})
    stack.up().expect_ok()
    assert before not in server.pods(), "a change of the configuration restarts the chart's pods too"
    stack.destroy().expect_ok()
