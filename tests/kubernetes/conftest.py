"""Fixtures on a real Kubernetes API: `cluster`, `kubectl`, `namespace`, `gpu_pool`, `new_stack`.

The cluster is started once a session, in the first folder below `.gpuplane/kubernetes-tests` that no other
session uses, and stopped at its end. One that a killed session has left there is found and used.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.kubernetes_api import nodes, processes
from engine.kubernetes_api.cluster import Cluster, start, stop
from engine.kubernetes_api.programs import Programs, ensure
from engine.standins.placing import in_front
from tests.engine.harness import REPOSITORY, Stack, engine_bin

_SESSIONS = REPOSITORY / ".gpuplane" / "kubernetes-tests"
NODE_S = 120.0


@pytest.fixture(scope="session")
def programs() -> Programs:
    return ensure()


@contextmanager
def _own_folder() -> Iterator[Path]:
    _SESSIONS.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        with (_SESSIONS / f"{number}.session").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield _SESSIONS / str(number)
            return


@pytest.fixture(scope="session")
def cluster(programs: Programs) -> Iterator[Cluster]:
    """A cluster with one node without GPUs."""
    with _own_folder() as folder:
        try:
            running = start(folder, programs)
            nodes.add(running.api, nodes.node("cpu-0", 0))
            assert processes.wait_until(lambda: nodes.is_ready(running.api, "cpu-0"), NODE_S)
            yield running
        finally:
            stop(folder)


Kubectl = Callable[..., str]


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster, programs: Programs) -> Kubectl:
    """Runs kubectl and returns its output: `kubectl("get", "pods", input="…")`; fails when kubectl does."""

    def run(*arguments: str, input: str | None = None) -> str:
        done = subprocess.run(
            [programs["kubectl"], *arguments],
            env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
            input=input,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@dataclass(frozen=True)
class Objects:
    """What is in the cluster."""

    cluster: Cluster

    def get(self, path: str) -> dict[str, Any]:
        """An object or list, by its path: `/apis/apps/v1/namespaces/x/deployments/y`."""
        return self.cluster.api.get(path)

    def exists(self, path: str) -> bool:
        return self.cluster.api.answers(path)

    def names(self, path: str) -> list[str]:
        return [item["metadata"]["name"] for item in self.get(path)["items"]]


@pytest.fixture
def objects(cluster: Cluster) -> Objects:
    return Objects(cluster)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own; its content goes with it."""
    name = f"test-{secrets.token_hex(4)}"
    path = f"/api/v1/namespaces/{name}"
    cluster.api.apply(path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    assert processes.wait_until(lambda: cluster.api.answers(account), NODE_S)
    yield name
    cluster.api.delete(path)


@dataclass
class Pool:
    """Nodes with GPUs that only pods with this selector get."""

    selector: dict[str, str]
    toleration: dict[str, str]
    names: list[str] = field(default_factory=list)

    def pod_spec(self, gpus: int) -> dict[str, Any]:
        """A pod's spec that wants GPUs of this pool."""
        return {
            "nodeSelector": self.selector,
            "tolerations": [self.toleration],
            "containers": [
                {"name": "main", "image": "x/y:1", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
            ],
        }


NewPool = Callable[..., Pool]


@pytest.fixture
def gpu_pool(cluster: Cluster) -> Iterator[NewPool]:
    """Makes fake GPU nodes of the test's own: `gpu_pool(2, gpus=8)`."""
    made: list[str] = []

    def make(
        count: int = 1,
        gpus: int = nodes.GPUS,
        *,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        product: str = nodes.PRODUCT,
    ) -> Pool:
        mark = f"p{secrets.token_hex(4)}"  # digits alone would be a number in a stack file
        pool = Pool(
            {"gpuplane-test/pool": mark},
            {"key": "gpuplane-test/pool", "operator": "Equal", "value": mark, "effect": "NoSchedule"},
        )
        own = {"key": "gpuplane-test/pool", "value": mark, "effect": "NoSchedule"}
        for number in range(count):
            name = f"gpu-{mark}-{number}"
            made.append(name)
            pool.names.append(name)
            body = nodes.node(
                name, gpus, product=product, labels={**(labels or {}), **pool.selector}, taints=[own, *taints]
            )
            nodes.add(cluster.api, body)
        ready = processes.wait_until(
            lambda: all(nodes.is_ready(cluster.api, name) for name in pool.names), NODE_S
        )
        assert ready, pool.names
        return pool

    yield make
    for name in made:
        with suppress(Exception):
            nodes.remove(cluster.api, name)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backend with an empty stack, made once; every test's stack is a copy of it."""
    if engine_bin() is None:
        pytest.fail("these tests need an engine: run `make engine`")
    root = tmp_path_factory.mktemp("template")
    Stack(root / "stack", "")
    return root / "stack"


NewStack = Callable[..., Stack]


def with_stand_in(stack: Stack, *packages: str) -> Stack:
    """The same stack, which uses the stand-ins of these packages whatever plugins there are."""
    stack.env["PATH"] = in_front(packages, stack.env["PATH"])
    return stack


@pytest.fixture
def new_stack(template: Path, tmp_path: Path, cluster: Cluster) -> NewStack:
    """Makes stacks on the cluster, with the stand-in; keyword arguments as for `Stack`."""
    made: list[Stack] = []

    def make(program: str, *, env: Mapping[str, str] | None = None, **options: Any) -> Stack:
        variables = {"KUBECONFIG": str(cluster.kubeconfig), **(env or {})}
        stack = Stack(tmp_path / f"stack{len(made)}", program, template=template, env=variables, **options)
        made.append(with_stand_in(stack, "kubernetes"))
        return stack

    return make
