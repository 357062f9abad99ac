"""Every rule of model servers, by one that breaks it, and good ones that break none."""

from __future__ import annotations

from typing import Any

import pytest

from components.stack_services import broken_rules
from stack_config import StackConfigError, load

GOOD: dict[str, Any] = {"model": "Qwen/Qwen3-8B"}
EKS = {
    "region": "us-east-1",
    "zones": ["us-east-1a", "us-east-1b"],
    "pools": {
        "small": {"gpu": "L4", "gpuCount": 1, "max": 2},
        "large": {"gpu": "H200", "gpuCount": 8, "max": 2},
    },
}
SMALL = {"cluster": "train", "pool": "small"}
LARGE = {"cluster": "train", "pool": "large"}


def problems(changes: dict[str, Any], name: str = "chat") -> list[str]:
    """Every broken rule as text, whoever found it."""
    values = {
        "stackId": "teststck",
        "eksClusters": {"train": EKS},
        "modelServers": {name: {**GOOD, **changes}},
    }
    try:
        config = load(values, "dev")
    except StackConfigError as error:
        return [str(problem) for problem in error.problems]
    return [str(problem) for problem in broken_rules(config)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kubernetes": SMALL, "replicas": 2},
        {"kubernetes": LARGE, "gpus": 8, "nodes": 2},
        {"kubernetes": LARGE, "gpus": 4, "replicas": 4},
        {"model": "s3://models/llama"},
        {"weights": {"claim": "models"}, "replicas": 3},
        {"weights": {"size": "200Gi", "accessMode": "ReadWriteOnce"}},
        {"scaling": {"max": 4}},
        {"scaling": {"kind": "keda", "max": 4, "prometheusUrl": "http://prometheus.monitoring:9090"}},
        {"ingress": {"host": "chat.example.com", "tlsSecret": "chat-tls"}},
        {"hfTokenSecret": "hugging-face"},
    ],
)
def test_a_good_one_breaks_no_rule(changes: dict[str, Any]) -> None:
    assert problems(changes) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"kubernetes": {"pool": "small"}},
            "kubernetes.pool: is a pool of a cluster of this stack; name that",
        ),
        ({"kubernetes": {"cluster": "trian"}}, "kubernetes.cluster: this stack makes no cluster 'trian'"),
        (
            {"kubernetes": {"cluster": "train", "pool": "smal"}},
            "cluster train has no pool 'smal'; did you mean \"small\"?",
        ),
        ({"kubernetes": LARGE, "gpus": 9}, "gpus: a node of pool large has 8 GPUs, not 9"),
        ({"kubernetes": SMALL, "replicas": 3}, "replicas: 3 pods with 1 GPUs do not fit into pool small"),
        ({"kubernetes": SMALL, "scaling": {"max": 3}}, "scaling.max: 3 pods with 1 GPUs do not fit"),
        ({"args": ["--tensor-parallel-size", "2"]}, "args: --tensor-parallel-size is made of other keys"),
        ({"env": {"VLLM_API_KEY": "x"}}, "env.VLLM_API_KEY: is made of other keys"),
        ({"memory": "8Gi", "sharedMemory": "6Gi"}, "sharedMemory: is more than half of memory"),
        ({"nodes": 2, "scaling": {"max": 2}}, "scaling: copies on several nodes do not scale by load"),
        ({"nodes": 2, "surge": True}, "surge: copies on several nodes start anew in their place"),
        ({"nodes": 2, "image": "vllm/vllm-openai:v0.11.2"}, "several nodes need vLLM 0.12 or later"),
        ({"image": "vllm/vllm-openai:latest"}, "image: must be an image with a version"),
        ({"hfToken": "hf_canary", "hfTokenSecret": "a"}, "has hfToken and hfTokenSecret"),
        ({"apiKey": "canary-4711"}, "apiKey: has fewer than 16 characters"),
        ({"apiKey": "canary-4711-4711-4711", "keyRotation": "2"}, "keyRotation: the key is given, not made"),
        ({"model": "https://example.com/model"}, "model: is neither a name nor a bucket"),
        (
            {"model": "gs://m/x", "weights": {"claim": "c"}},
            "weights: weights of a bucket are read from there",
        ),
        ({"weights": {}}, "weights: has to have either claim or size"),
        ({"weights": {"claim": "a", "size": "1Gi"}}, "weights: has to have either claim or size"),
        (
            {"replicas": 2, "weights": {"size": "1Gi", "accessMode": "ReadWriteOnce"}},
            "weights.accessMode: 2 pods may need it at once",
        ),
        ({"scaling": {"min": 4, "max": 2}}, "scaling.min: is above max (2)"),
        ({"scaling": {"kind": "keda", "max": 2}}, "scaling.prometheusUrl: is required for kind keda"),
        (
            {"scaling": {"max": 2, "prometheusUrl": "http://p"}},
            "scaling.prometheusUrl: is not used with kind hpa",
        ),
        ({"scaling": {"max": 2}, "replicas": 2}, "replicas: the number follows scaling"),
        ({"ingress": {"host": "chat.example.com"}}, "ingress: needs a certificate"),
        ({"ingress": {"host": "chat"}}, "ingress.host: must look like chat.example.com"),
        (
            {
                "ingress": {
                    "host": "chat.example.com",
                    "tlsSecret": "t",
                    "annotations": {"nginx.ingress.kubernetes.io/force-ssl-redirect": "false"},
                }
            },
            "would answer without TLS",
        ),
    ],
)
def test_a_wrong_one_is_one_line(changes: dict[str, Any], said: str) -> None:
    found = problems(changes)
    assert len(found) == 1, found
    assert said in found[0]
    assert found[0].startswith("gpuplane:modelServers.chat")
    assert "canary" not in found[0]


def test_a_name_is_one_of_kubernetes() -> None:
    (said,) = problems({}, "Chat")
    assert "a name has lower-case letters" in said
