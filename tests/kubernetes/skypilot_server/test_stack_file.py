"""A server on Kubernetes that a stack file declares: the whole program, on a real API."""

from __future__ import annotations

import json
import secrets

from engine.kubernetes_api.cluster import Cluster
from tests.engine.harness import REPOSITORY
from tests.kubernetes.conftest import NewStack, Objects

WHOLE = (REPOSITORY / "__main__.py").read_text(encoding="utf-8")


def test_a_server_of_a_stack_file(new_stack: NewStack, objects: Objects, cluster: Cluster):
    namespace = f"sky-{secrets.token_hex(4)}"
    on = {
        # The fixture's environment leads nowhere: the stack file alone says where.
        "kubeconfig": str(cluster.kubeconfig),
        "namespace": namespace,
        "small": True,
        "cpu": "500m",
        "memory": "1Gi",
        "storage": {"keep": False},
        "ingress": {"host": "sky.example.com", "tlsSecret": "tls", "wait": False},
    }
    spec = {"target": "kubernetes", "auth": "basic", "kubernetes": on, "config": {"jobs": {"a": 1}}}
    stack = new_stack(WHOLE, env={"PYTHONPATH": str(REPOSITORY), "KUBECONFIG": "/dev/null"})
    values = {"gpuplane:stackId": "teststck", "gpuplane:skypilotServers": {"sky": spec}}

    wrong = {**spec, "kubernetes": {**on, "update": "rolling"}}
    stack.set_config({**values, "gpuplane:skypilotServers": {"sky": wrong}})
    refused = stack.preview()
    assert not refused.ok and "Traceback" not in refused.output
    assert "gpuplane:skypilotServers.sky.kubernetes.update: rolling needs a database" in refused.output
    assert refused.ops() == {}, "nothing is registered before the rules are looked at"

    stack.set_config({**values, "gpuplane:skypilotServers": {"sky": {**spec, "password": "a-long-password"}}})
    open_text = stack.preview()
    assert not open_text.ok
    assert "gpuplane:skypilotServers.sky.password: is in clear text" in open_text.output

    stack.set_config(values)
    stack.up().expect_ok()
    deployment = objects.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/sky-api-server")
    assert deployment["status"]["readyReplicas"] == 1
    assert stack.outputs()["skypilotServers"] == {"sky": "https://sky.example.com"}
    assert "SkyPilotGuard" not in json.dumps(list(stack.resources())), "nothing of the stack is on it"
    assert set(stack.preview().expect_ok().ops().values()) == {"same"}
    stack.destroy().expect_ok()
    assert not objects.exists(f"/api/v1/namespaces/{namespace}")
