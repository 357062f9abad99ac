"""What the pods of a model server are like, and what is around them."""

from __future__ import annotations

from typing import Any

import pytest

from components.kubernetes_pools.outputs import pool_outputs
from components.model_serving import objects
from components.model_serving.pods import Uses, arguments, pod
from stack_config.model_servers import (
    ModelIngress,
    ModelPlace,
    ModelScaling,
    ModelServerSpec,
    ModelToleration,
)
from tests.unit.components.kubernetes_pools.clusters import cluster, plans

USES = Uses(key="chat-key", token="chat-token", account="chat")


def spec(**fields: Any) -> ModelServerSpec:
    return ModelServerSpec(model="Qwen/Qwen3-8B", **fields)


def container(made: ModelServerSpec, group: str = "") -> dict[str, Any]:
    found: dict[str, Any] = pod("chat", made, None, USES, group)["containers"][0]
    return found


@pytest.mark.parametrize("group", ["", "chat-0"])
def test_gpus_asked_for_are_gpus_allowed_and_memory_too(group: str) -> None:
    found = container(spec(gpus=4, nodes=2 if group else 1), group)["resources"]
    assert found["requests"]["nvidia.com/gpu"] == found["limits"]["nvidia.com/gpu"] == "4"
    assert found["requests"]["memory"] == found["limits"]["memory"]


@pytest.mark.parametrize("seconds", [60, 65, 1800, 21_600])
def test_nobody_is_ended_while_it_loads(seconds: int) -> None:
    probe = container(spec(start_s=seconds))["startupProbe"]
    assert seconds <= probe["failureThreshold"] * probe["periodSeconds"] < seconds + 10
    assert objects.deployment("chat", spec(start_s=seconds), None, USES)["progressDeadlineSeconds"] > seconds


@pytest.mark.parametrize("cloud", ["eks", "gke", "aks"])
def test_it_gets_onto_the_nodes_of_a_pool(cloud: str) -> None:
    (plan,), problems = plans(cloud, cluster(cloud))
    assert problems == []
    place = ModelPlace(node_selector={"zone": "a"}, tolerations=(ModelToleration(key="own"),))
    found = pod("chat", spec(kubernetes=place), pool_outputs(plan), USES)
    assert found["nodeSelector"] == {"gpuplane/pool": "small", "zone": "a"}
    tolerated = {(each["key"], each["effect"]) for each in found["tolerations"]}
    assert {(taint.key, taint.effect) for taint in plan.taints} <= tolerated
    assert {("nvidia.com/gpu", "NoSchedule"), ("own", "NoSchedule")} <= tolerated
    assert len(tolerated) == len(found["tolerations"])


def test_secrets_are_references() -> None:
    found = {each["name"]: each for each in container(spec())["env"]}
    assert found["VLLM_API_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "chat-key", "key": "api-key"}
    assert found["HF_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "chat-token", "key": "token"}


def test_shared_memory_is_memory() -> None:
    found = pod("chat", spec(shared_memory="4Gi"), None, USES)
    volume = next(each for each in found["volumes"] if each["name"] == "shm")
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "4Gi"}
    assert {"name": "shm", "mountPath": "/dev/shm"} in found["containers"][0]["volumeMounts"]


def test_the_gpus_of_a_node_share_layers_and_nodes_share_the_model() -> None:
    one = arguments(spec(gpus=2))
    assert one[0] == "Qwen/Qwen3-8B"
    assert one[one.index("--tensor-parallel-size") + 1] == "2"
    assert "--pipeline-parallel-size" not in one
    two = arguments(spec(gpus=8, nodes=2))
    assert two[two.index("--pipeline-parallel-size") + 1] == "2"
    assert two[two.index("--distributed-executor-backend") + 1] == "mp"


@pytest.mark.parametrize(
    ("model", "args", "streamed"),
    [("a/b", (), False), ("s3://m/x", (), True), ("gs://m/x", ("--load-format=sharded_state",), False)],
)
def test_a_bucket_is_streamed(model: str, args: tuple[str, ...], streamed: bool) -> None:
    assert ("runai_streamer" in arguments(ModelServerSpec(model=model, args=args))) == streamed


def test_the_pods_of_one_copy_know_their_first() -> None:
    made = spec(gpus=8, nodes=2, kubernetes=ModelPlace(namespace="models"))
    env = {each["name"]: each.get("value") for each in container(made, "chat-1")["env"]}
    assert env["LEADER"] == "chat-1-0.chat-1.models.svc"
    assert env["NODES"] == "2"
    workload = objects.stateful_set("chat", "chat-1", made, None, USES)
    assert workload["podManagementPolicy"] == "Parallel"
    assert objects.headless_service("chat", "chat-1")["publishNotReadyAddresses"] is True
    assert objects.service("chat", made)["selector"]["apps.kubernetes.io/pod-index"] == "0"


@pytest.mark.parametrize("surge", [True, False])
def test_an_update_needs_spare_gpus_only_where_that_is_said(surge: bool) -> None:
    rolling = objects.deployment("chat", spec(surge=surge), None, USES)["strategy"]["rollingUpdate"]
    assert rolling == (
        {"maxSurge": 1, "maxUnavailable": 0} if surge else {"maxSurge": 0, "maxUnavailable": 1}
    )


def test_scaling() -> None:
    scaling = ModelScaling(min=2, max=6, target=3, prometheus_url="http://p")
    assert objects.deployment("chat", spec(scaling=scaling), None, USES)["replicas"] == 2
    hpa = objects.autoscaler("chat", scaling)
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (2, 6)
    assert hpa["metrics"][0]["pods"]["metric"]["name"] == "vllm_num_requests_waiting"
    trigger = objects.scaled_object("chat", "models", scaling)["triggers"][0]["metadata"]
    assert trigger["query"] == 'sum(vllm:num_requests_waiting{namespace="models",pod=~"chat-.*"})'
    assert trigger["threshold"] == "3"


def test_an_ingress_has_tls_and_lets_answers_through_as_they_come() -> None:
    wanted = ModelIngress(host="chat.example.com", cert_issuer="letsencrypt", wait=False)
    assert objects.ingress("chat", wanted)["tls"] == [
        {"hosts": ["chat.example.com"], "secretName": "chat-tls"}
    ]
    found = objects.ingress_annotations(wanted)
    assert found["nginx.ingress.kubernetes.io/force-ssl-redirect"] == "true"
    assert found["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert found["cert-manager.io/cluster-issuer"] == "letsencrypt"
    assert found["pulumi.com/skipAwait"] == "true"
