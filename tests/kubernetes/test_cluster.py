"""The cluster itself: what listens where, what its nodes do, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from engine.kubernetes_api import processes
from engine.kubernetes_api.cluster import find, start, stop
from tests.engine.harness import wait_until


def listening(pids: set[int]) -> set[str]:
    """The addresses that these processes listen on."""
    found = set()
    for pid in pids:
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.add(connection.laddr[0])
    return found


def test_everything_listens_on_this_machine_only(cluster):
    assert listening({process.pid for process in cluster.processes}) == {"127.0.0.1"}


def test_its_files_are_for_this_user_only(cluster):
    for file in (cluster.kubeconfig, cluster.layout.token_file, cluster.layout.account_key):
        assert file.stat().st_mode & 0o077 == 0
    assert cluster.api.token not in repr(cluster)


def test_the_kubeconfig_is_enough_in_another_place(cluster, kubectl, tmp_path):
    elsewhere = tmp_path / "config"
    elsewhere.write_text(cluster.kubeconfig.read_text())
    told = json.loads(kubectl("--kubeconfig", str(elsewhere), "version", "-o", "json"))
    assert told["serverVersion"]["gitVersion"] == told["clientVersion"]["gitVersion"] == "v1.36.3"


def deployment(name: str, replicas: int, spec: dict[str, Any]) -> str:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }
    return yaml.safe_dump(body)


def phases(objects: Any, namespace: str) -> list[str]:
    pods = objects.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return sorted(pod["status"]["phase"] for pod in pods)


def test_the_scheduler_gives_out_the_gpus_that_there_are(kubectl, namespace, objects, gpu_pool):
    pool = gpu_pool(2, gpus=8)
    kubectl(
        "-n",
        namespace,
        "apply",
        "-f",
        "-",
        input=deployment("model", 5, {**pool.pod_spec(4), "hostname": "x"}),
    )
    expected = ["Pending", "Running", "Running", "Running", "Running"]
    wait_until(lambda: phases(objects, namespace) == expected, 90, "four of five pods run")
    pods = objects.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    placed = [pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")]
    assert sorted(placed) == sorted([*pool.names, *pool.names])
    waiting = next(pod for pod in pods if pod["status"]["phase"] == "Pending")
    assert "2 Insufficient nvidia.com/gpu" in waiting["status"]["conditions"][0]["message"]


@pytest.fixture
def second(cluster) -> Iterator[Path]:
    """A folder for another cluster; one that a killed session has left in it is stopped."""
    folder = cluster.layout.folder.with_name(f"{cluster.layout.folder.name}-second")
    stop(folder)
    yield folder
    stop(folder)


def test_a_start_is_repeated_without_harm_and_a_stop_leaves_nothing(programs, second):
    first = start(second, programs)
    assert start(second, programs) == first == find(second)

    os.kill(next(each.pid for each in first.processes if each.name == "etcd"), signal.SIGKILL)
    assert processes.wait_until(lambda: find(second) is None, 30)
    again = start(second, programs)
    assert not any(each.alive for each in first.processes), "what was left of the broken one is ended"
    assert again.api.answers("/readyz")

    stop(second)
    assert not any(each.alive for each in again.processes)
    assert not second.exists() and find(second) is None
