"""The life of GPU pools in the real engine, on pretended clouds; what runs in them, on a real API.

No cloud accepts or refuses anything here: docs/stand-ins.md says what that means.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from engine.kubernetes_api.cluster import Cluster
from tests.engine.harness import Result
from tests.kubernetes.components.conftest import PROGRAM, NewPretended
from tests.kubernetes.conftest import Objects
from tests.unit.components.kubernetes_pools.clusters import cluster as a_cluster

POOLS = {
    "eks": "aws:eks/nodeGroup:NodeGroup",
    "gke": "gcp:container/nodePool:NodePool",
    "aks": "azure-native:containerservice:AgentPool",
}
_RIGHTS = "/apis/rbac.authorization.k8s.io/v1"
INSIDE = (
    "/apis/apps/v1/namespaces/kube-system/daemonsets/nvidia-device-plugin",
    "/apis/apps/v1/namespaces/kube-system/daemonsets/efa-device-plugin",
    "/apis/apps/v1/namespaces/kube-system/deployments/cluster-autoscaler",
    "/api/v1/namespaces/kube-system/serviceaccounts/cluster-autoscaler",
    f"{_RIGHTS}/clusterroles/cluster-autoscaler",
    f"{_RIGHTS}/clusterrolebindings/cluster-autoscaler",
    f"{_RIGHTS}/namespaces/kube-system/roles/cluster-autoscaler",
    f"{_RIGHTS}/namespaces/kube-system/rolebindings/cluster-autoscaler",
)
"""What an EKS cluster has inside that is ours."""

ON_THE_REAL_API = PROGRAM.replace(
    "import pulumi\n",
    "import os\nfrom pathlib import Path\n\nimport pulumi\n\nimport components.{module} as component\n\n"
    'text = Path(os.environ["CLUSTER_KUBECONFIG"]).read_text()\n'
    "component.{function} = lambda *arguments: pulumi.Output.secret(text)\n",
    1,
)
"""The program, with the kubeconfig of a cluster that is there in place of the pretended one's."""


def nodes_of(cloud: str, number: int) -> Callable[[dict[str, Any]], None]:
    """What an autoscaler does to a pool."""

    def change(pool: dict[str, Any]) -> None:
        if cloud == "eks":
            pool["scalingConfig"] = {**pool["scalingConfig"], "desiredSize": number}
        elif cloud == "gke":
            pool["initialNodeCount"] = number
        else:
            pool["count"] = number

    return change


def unchanged(result: Result) -> bool:
    return result.ok and not any(
        word in result.output for word in (" to create", " to update", " to replace", " to delete")
    )


@pytest.mark.parametrize("cloud", ["gke", "aks"])
def test_scaling_is_no_difference_and_another_way_of_renting_replaces_the_pool(
    pretended: NewPretended, cloud: str
) -> None:
    # Without a driver of the cloud's, AKS needs nothing in the cluster itself.
    first = a_cluster(cloud, {"driver": "none"} if cloud == "aks" else {})
    world = pretended(cloud)
    world.configure(first)
    world.stack.up().expect_ok()
    kind = POOLS[cloud]
    small = next(pool for pool in world.objects()[kind].values() if "system" not in str(pool.get("name")))
    assert "small" in (small.get("name"), small.get("agentPoolName"))

    world.change(kind, nodes_of(cloud, 3))
    scaled = world.stack.preview("--refresh")
    assert unchanged(scaled), scaled.output

    # The name stays, so the old pool has to be gone before the new one is made.
    first["pools"]["small"]["capacity"] = "spot"
    world.configure(first)
    flipped = world.stack.up()
    flipped.expect_ok()
    assert "replaced" in flipped.output, flipped.output
    assert unchanged(world.stack.preview())

    world.stack.destroy().expect_ok()
    assert world.objects() == {}


def test_an_eks_cluster_with_what_runs_inside_it(
    pretended: NewPretended, cluster: Cluster, objects: Objects, request: pytest.FixtureRequest
) -> None:
    program = ON_THE_REAL_API.format(module="eks_gpu_cluster", function="_kubeconfig")
    world = pretended("eks", program, CLUSTER_KUBECONFIG=str(cluster.kubeconfig))
    pools = {
        "small": {"gpu": "L4", "max": 4, "image": "al2023"},
        "large": {"gpu": "H200", "max": 2, "rdma": True, "zones": ["us-east-1a"]},
    }
    made = a_cluster("eks", pools=pools)
    world.configure(made)
    for path in INSIDE:
        request.addfinalizer(partial(cluster.api.delete, path))
    world.stack.up().expect_ok()
    assert [path for path in INSIDE if not objects.exists(path)] == []
    system = "/apis/apps/v1/namespaces/kube-system"
    for name in ("nvidia-device-plugin", "efa-device-plugin"):
        spec = objects.get(f"{system}/daemonsets/{name}")["spec"]["template"]["spec"]
        terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        wanted = terms["nodeSelectorTerms"][0]["matchExpressions"][0]
        assert wanted["key"] == "gpuplane/pool"
        assert wanted["values"] == ["small" if name.startswith("nvidia") else "large"]
    autoscaler = objects.get(f"{system}/deployments/cluster-autoscaler")
    command = autoscaler["spec"]["template"]["spec"]["containers"][0]["command"]
    assert "--cluster-name=train-teststck" in command

    world.change(POOLS["eks"], nodes_of("eks", 2))
    scaled = world.stack.preview("--refresh")
    assert unchanged(scaled), scaled.output

    pools["small"]["capacity"] = "spot"
    world.configure(made)
    flipped = world.stack.up()
    flipped.expect_ok()
    assert "replaced" in flipped.output, flipped.output

    # What is in the cluster goes with it, and tags go with their group: none is deleted by itself.
    world.stack.destroy().expect_ok()
    assert set(world.objects()) <= {"aws:autoscaling/tag:Tag"}


@pytest.mark.parametrize(
    ("cloud", "pool", "said"),
    [
        ("eks", {"gpu": "H1000"}, "pools.small.gpu: GPU 'H1000' is unknown; did you mean \"H100-SXM\"?"),
        ("gke", {"gpu": "H200"}, 'GKE does not sell a3-ultragpu-8g as on_demand; did you mean "spot"?'),
        ("aks", {"capacity": "block", "reservation": "x"}, "block is AWS's: Azure does not sell it"),
    ],
)
def test_a_mistake_is_one_line_of_the_preview(
    pretended: NewPretended, cloud: str, pool: dict[str, Any], said: str
) -> None:
    world = pretended(cloud)
    preview = world.preview(a_cluster(cloud, pool))
    assert not preview.ok
    lines = [line for line in preview.output.splitlines() if said in line]
    assert lines, preview.output
    assert "Traceback" not in preview.output
    assert f"gpuplane:{cloud}Clusters.train.pools.small." in lines[0]
    assert "to create" not in preview.output.replace("1 to create", ""), "only the stack itself"
