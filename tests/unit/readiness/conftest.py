from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_clouds.models import Instance, InstanceState
from gpu_clouds.probing import NodeProbe
from tests.unit.readiness.ssh_server import Node, new_key, ssh_server


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    if shutil.which("ssh") is None:
        pytest.skip("this machine has no ssh client")
    with ssh_server(tmp_path) as made:
        made.accepts = {new_key(tmp_path / "state" / "id_ed25519")}
        yield made


@pytest.fixture
def probe(tmp_path: Path) -> NodeProbe:
    return NodeProbe(tmp_path / "state", threading.Event())


def instance(node: Node, instance_id: str = "i-1") -> Instance:
    return Instance(
        instance_id, "n", "lambda", InstanceState.READY, "active", ssh=f"ubuntu@127.0.0.1:{node.port}"
    )
