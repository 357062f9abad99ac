"""The policies on Kubernetes and its clusters: with the SDKs (`.venv-sdks`), on stand-ins for the plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.standins.placing import in_front
from engine.standins.servicer import STATE_VARIABLE
from tests.engine.conftest import NewStack
from tests.engine.harness import REPOSITORY
from tests.examples import EXAMPLES, Example, stack_of
from tests.policies.found import WITH_PACK, all_policies, findings, what

WITH_PLUGINS = [example for example in EXAMPLES if example.plugins]

WORKLOADS = '''
import pulumi
import pulumi_kubernetes as k8s

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
users: [{name: u, user: {}}]
"""
api = k8s.Provider("api", kubeconfig=pulumi.Output.secret(KUBECONFIG))
opts = pulumi.ResourceOptions(provider=api)
labels = {"app": "web"}


def deployment(name, container):
    spec = {"containers": [{"name": "web", **container}]}
    k8s.apps.v1.Deployment(
        name,
        spec={
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
        opts=opts,
    )


deployment("bare", {"image": "nginx", "env": [{"name": "API_TOKEN", "value": "canary-4c1d77"}]})
deployment(
    "good",
    {
        "image": "nginx:1.27.3",
        "env": [{"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "web", "key": "token"}}}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
    },
)
for name, tls in (("open", []), ("closed", [{"hosts": ["web.example.org"], "secretName": "web-tls"}])):
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    rules = [{"host": "web.example.org", "http": {"paths": paths}}]
    k8s.networking.v1.Ingress(name, spec={"rules": rules, "tls": tls}, opts=opts)
k8s.core.v1.Service(
    "database",
    spec={"type": "LoadBalancer", "selector": labels, "ports": [{"port": 5432}]},
    opts=opts,
)
k8s.core.v1.Service("inside", spec={"selector": labels, "ports": [{"port": 5432}]}, opts=opts)
k8s.core.v1.Secret("kept", string_data={"password": "canary-4c1d77"}, opts=opts)
'''

POOLS = {
    "policies": {
        **all_policies(
            "advisory",
            budget={"hourlyUsd": 10},
            gpuPrice={"maxGpuHourlyUsd": 1},
            placement={"clouds": ["gcp"], "regions": ["eu-*"], "gpus": ["L4"]},
            devOnDemand={"maxGpus": 4},
        ),
        "stage": "dev",
    },
}


@pytest.mark.parametrize("example", WITH_PLUGINS, ids=lambda example: example.name)
def test_the_examples_keep_every_policy(example: Example, tmp_path: Path, template: Path) -> None:
    preview = stack_of(example, tmp_path / "x", template).preview(*WITH_PACK).expect_ok()
    assert findings(preview) == {}


def test_objects_that_break_the_rules_are_named(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack(
        WORKLOADS,
        env={"PYTHONPATH": str(REPOSITORY), STATE_VARIABLE: str(tmp_path)},
        config={"policies": all_policies("advisory")},
    )
    stack.env["PATH"] = in_front(["kubernetes"], stack.env["PATH"])
    preview = stack.preview(*WITH_PACK).expect_ok()
    assert {name: len(each) for name, each in findings(preview).items()} == dict.fromkeys(
        ("plaintext-secrets", "pinned-images", "workloads", "ingress-tls", "public-endpoints"), 1
    )
    assert what(preview, "plaintext-secrets") == [
        "Deployment 'bare' has a secret in plain text at "
        "spec.template.spec.containers[0].env[0].value (API_TOKEN)"
    ]
    assert what(preview, "pinned-images") == [
        "Deployment 'bare' runs an image without an exact version (container web)"
    ]
    assert what(preview, "workloads") == [
        "Deployment 'bare' has a container web without requests.cpu, requests.memory, limits.memory, a probe"
    ]
    assert what(preview, "ingress-tls") == ["Ingress 'open' has no TLS for host web.example.org"]
    assert what(preview, "public-endpoints") == ["Service 'database' gives everybody port 5432"]

    # A digest and nothing less, once the stack is of stage prod.
    stack.set_config(
        {"policies": {**all_policies("disabled", pinnedImages={"enforcement": "mandatory"}), "stage": "prod"}}
    )
    prod = stack.preview(*WITH_PACK)
    assert not prod.ok
    assert set(findings(prod)) == {"pinned-images"}
    assert "Deployment 'good' runs an image without a digest (container web), in stage prod" in what(
        prod, "pinned-images"
    )


def test_pools_that_break_the_limits_are_named(tmp_path: Path, template: Path) -> None:
    example = next(example for example in WITH_PLUGINS if example.name == "eks")
    stack = stack_of(example, tmp_path / "x", template)
    stack.set_config(POOLS)
    preview = stack.preview(*WITH_PACK).expect_ok()
    assert set(findings(preview)) == {"budget", "gpu-price", "placement", "dev-on-demand"}
    assert "above 10.00" in what(preview, "budget")[0]
    said = what(preview, "placement")
    assert "EksGpuCluster 'inference' may be in cloud aws, which is not allowed" in said
    assert "EksGpuCluster 'inference' may use GPU H100-SXM, which is not allowed" in said
    assert any("may be in region us-east-1" in line for line in said)
