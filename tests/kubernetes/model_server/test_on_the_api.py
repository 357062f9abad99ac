"""Model servers on a real API with fake GPU nodes: scheduled and Ready; no model is served."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.engine.harness import Stack
from tests.kubernetes.conftest import NewPool, NewStack, Objects, Pool
from tests.kubernetes.services import ENV, PROGRAM, configure, unchanged

APPS, CORE = "/apis/apps/v1/namespaces", "/api/v1/namespaces"
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def declare(stack: Stack, namespace: str, pool: Pool, **changes: Any) -> None:
    place = {
        "namespace": namespace,
        "nodeSelector": pool.selector,
        "tolerations": [{"key": pool.toleration["key"]}],
    }
    server = {
        "model": "Qwen/Qwen3-8B",
        "memory": "2Gi",
        "sharedMemory": "1Gi",
        "cpu": "1",
        "kubernetes": place,
    }
    configure(stack, modelServers={"chat": {**server, **changes}})


def test_the_life_of_a_model(
    new_stack: NewStack, namespace: str, gpu_pool: NewPool, objects: Objects
) -> None:
    pool = gpu_pool(1, gpus=8, taints=[TAINT])
    stack = new_stack(PROGRAM, env=ENV)
    declare(stack, namespace, pool, gpus=4, replicas=2)
    assert set(stack.preview().expect_ok().ops().values()) == {"create"}
    stack.up().expect_ok()
    deployment = objects.get(f"{APPS}/{namespace}/deployments/chat")
    assert deployment["status"]["readyReplicas"] == 2
    pods = objects.get(f"{CORE}/{namespace}/pods")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == set(pool.names)
    # Without their own reference the endpoints would be no proof that the service finds them.
    slices = objects.get(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")["items"]
    assert {each["targetRef"]["name"] for part in slices for each in part["endpoints"]} == {
        pod["metadata"]["name"] for pod in pods
    }
    outputs = stack.outputs()["modelServers"]["chat"]
    assert outputs["url"] == f"http://chat.{namespace}.svc/v1"
    env = pods[0]["spec"]["containers"][0]["env"]
    source = next(each for each in env if each["name"] == "VLLM_API_KEY")["valueFrom"]["secretKeyRef"]
    key = base64.b64decode(
        objects.get(f"{CORE}/{namespace}/secrets/{source['name']}")["data"][source["key"]]
    ).decode()
    assert len(key) == 48
    assert key not in stack.state_text()
    assert base64.b64encode(key.encode()).decode() not in stack.state_text()
    assert unchanged(stack.preview())

    # There is no spare GPU: the new pods take the old ones' place, one by one.
    declare(stack, namespace, pool, gpus=4, replicas=2, args=["--max-model-len", "8192"])
    stack.up().expect_ok()
    pods = objects.get(f"{CORE}/{namespace}/pods")["items"]
    assert all("8192" in pod["spec"]["containers"][0]["args"] for pod in pods)

    stack.destroy().expect_ok()
    assert objects.names(f"{APPS}/{namespace}/deployments") == []


def test_nine_gpus_of_eight_stay_pending_and_the_scheduler_says_why(
    new_stack: NewStack, namespace: str, gpu_pool: NewPool, objects: Objects
) -> None:
    pool = gpu_pool(1, gpus=8)
    stack = new_stack(PROGRAM, env=ENV)
    declare(stack, namespace, pool, gpus=3, replicas=3, waitS=8)
    refused = stack.up()
    assert not refused.ok
    assert "Insufficient nvidia.com/gpu" in refused.output
    phases = sorted(pod["status"]["phase"] for pod in objects.get(f"{CORE}/{namespace}/pods")["items"])
    assert phases == ["Pending", "Running", "Running"]
    # What there is room for comes up in the next run.
    declare(stack, namespace, pool, gpus=3, replicas=2, waitS=60)
    stack.up().expect_ok()
    assert objects.get(f"{APPS}/{namespace}/deployments/chat")["status"]["readyReplicas"] == 2
    stack.destroy().expect_ok()


def test_a_copy_on_two_nodes(
    new_stack: NewStack, namespace: str, gpu_pool: NewPool, objects: Objects
) -> None:
    pool = gpu_pool(2, gpus=8)
    stack = new_stack(PROGRAM, env=ENV)
    declare(stack, namespace, pool, gpus=8, nodes=2)
    stack.up().expect_ok()
    assert objects.get(f"{APPS}/{namespace}/statefulsets/chat-0")["status"]["readyReplicas"] == 2
    pods = objects.get(f"{CORE}/{namespace}/pods")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == set(pool.names)
    first = {pod["metadata"]["uid"] for pod in pods}

    def behind(service: str) -> set[str]:
        slices = objects.get(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")["items"]
        return {
            each["targetRef"]["name"]
            for part in slices
            if part["metadata"]["labels"]["kubernetes.io/service-name"] == service
            for each in part["endpoints"]
        }

    assert behind("chat") == {"chat-0-0"}, "only the first pod serves"
    assert behind("chat-0") == {"chat-0-0", "chat-0-1"}
    assert unchanged(stack.preview())

    # Every pod starts anew, together.
    declare(stack, namespace, pool, gpus=8, nodes=2, args=["--max-model-len", "8192"])
    changed = stack.up().expect_ok()
    assert "replace" in {step["op"] for step in changed.steps()}
    again = objects.get(f"{CORE}/{namespace}/pods")["items"]
    assert len(again) == 2
    assert not first & {pod["metadata"]["uid"] for pod in again}
    stack.destroy().expect_ok()


def test_what_is_around_a_model(
    new_stack: NewStack, namespace: str, gpu_pool: NewPool, objects: Objects, kubectl: Any
) -> None:
    pool = gpu_pool(1, gpus=8)
    stack = new_stack(PROGRAM, env=ENV)
    more = {
        "scaling": {"max": 4},
        "weights": {"size": "1Gi", "keep": False},
        "ingress": {"host": "chat.example.com", "tlsSecret": "chat-tls", "wait": False},
    }
    declare(stack, namespace, pool, **more)
    token = "hf_canary4711"
    stack.run(
        *(
            "config",
            "set",
            "--secret",
            "--path",
            "gpuplane:modelServers.chat.hfToken",
            token,
            "--stack",
            "test",
        )
    ).expect_ok()
    up = stack.up().expect_ok()
    assert token not in up.output + stack.state_text()
    assert stack.outputs()["modelServers"]["chat"]["url"] == "https://chat.example.com/v1"
    ingress = objects.get(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/chat")["spec"]
    assert ingress["tls"] == [{"hosts": ["chat.example.com"], "secretName": "chat-tls"}]
    hpa = objects.get(f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/chat")["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (1, 4)
    assert objects.exists(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/chat")
    claim = objects.get(f"{CORE}/{namespace}/persistentvolumeclaims/chat-weights")
    assert claim["status"]["phase"] == "Bound"

    # What an autoscaler does is no difference, and a change of something else leaves its number.
    kubectl("scale", "deployment/chat", "--replicas=3", "-n", namespace)
    assert unchanged(stack.preview("--refresh"))
    env = {"scaling": {"max": 5}}
    declare(stack, namespace, pool, **{**more, **env})
    stack.up().expect_ok()
    assert objects.get(f"{APPS}/{namespace}/deployments/chat")["spec"]["replicas"] == 3
    stack.destroy().expect_ok()
    assert objects.names(f"{CORE}/{namespace}/persistentvolumeclaims") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nodes": 2, "image": "vllm/vllm-openai:v0.11.0"}, "image: several nodes need vLLM 0.12 or later"),
        ({"args": ["--api-key=x"]}, "args: --api-key is made of other keys"),
        ({"ingress": {"host": "chat.example.com"}}, "ingress: needs a certificate"),
    ],
)
def test_a_mistake_is_one_line_of_the_preview(
    new_stack: NewStack, namespace: str, changes: dict[str, Any], said: str
) -> None:
    stack = new_stack(PROGRAM, env=ENV)
    declare(stack, namespace, Pool({}, {"key": "x"}), **changes)
    refused = stack.preview()
    assert not refused.ok
    assert said in refused.output
    assert "Traceback" not in refused.output
