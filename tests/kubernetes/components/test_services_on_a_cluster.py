"""A database and a model on a cluster of the same stack: a pretended one, whose inside is a real API."""

from __future__ import annotations

from engine.kubernetes_api.cluster import Cluster
from tests.kubernetes.components.conftest import NewPretended
from tests.kubernetes.conftest import NewPool, Objects
from tests.kubernetes.services import PROGRAM
from tests.unit.components.kubernetes_pools.clusters import cluster as a_cluster

INSIDE = """\
import os
from pathlib import Path

import pulumi

import components.eks_gpu_cluster as component

text = Path(os.environ["CLUSTER_KUBECONFIG"]).read_text()
component._kubeconfig = lambda *arguments: pulumi.Output.secret(text)
"""


def test_both_get_onto_the_cluster_and_the_model_onto_the_pool(
    pretended: NewPretended, cluster: Cluster, namespace: str, gpu_pool: NewPool, objects: Objects
) -> None:
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    nodes = gpu_pool(1, gpus=1, labels={"gpuplane/pool": namespace}, taints=[taint])
    world = pretended("eks", INSIDE + PROGRAM, CLUSTER_KUBECONFIG=str(cluster.kubeconfig))
    # Bottlerocket brings its device plugin, so that nothing but the autoscaler is made beside the services.
    made = a_cluster("eks", pools={namespace: {"gpu": "L4", "gpuCount": 1, "max": 2}})
    world.configure(made)
    place = {"cluster": "train", "namespace": namespace}
    model = {
        "model": "Qwen/Qwen3-8B",
        "memory": "2Gi",
        "sharedMemory": "1Gi",
        "cpu": "1",
        "kubernetes": {
            **place,
            "pool": namespace,
            "tolerations": [{"key": nodes.toleration["key"]}],
        },
    }
    database = {"target": "kubernetes", "kubernetes": {**place, "keep": False}}
    world.stack.set_config({"gpuplane:modelServers": {"chat": {**model, "gpus": 2}}})
    refused = world.stack.preview()
    assert not refused.ok
    assert f"chat.gpus: a node of pool {namespace} has 1 GPUs, not 2" in refused.output

    world.stack.set_config(
        {"gpuplane:modelServers": {"chat": model}, "gpuplane:postgresServices": {"main": database}}
    )
    world.stack.up().expect_ok()
    apps = f"/apis/apps/v1/namespaces/{namespace}"
    assert objects.get(f"{apps}/deployments/chat")["status"]["readyReplicas"] == 1
    assert objects.get(f"{apps}/statefulsets/main")["status"]["readyReplicas"] == 1
    pods = objects.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    on = {pod["metadata"]["labels"]["app.kubernetes.io/name"]: pod["spec"]["nodeName"] for pod in pods}
    assert on["vllm"] in nodes.names
    assert on["postgres"] not in nodes.names
    world.stack.destroy().expect_ok()
    # Tags of a scaling group go with it: nobody takes them away one by one.
    assert set(world.objects()) <= {"aws:autoscaling/tag:Tag"}
    assert objects.names(f"{apps}/deployments") == []
