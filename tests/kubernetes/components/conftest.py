"""Stacks with Kubernetes clusters on pretended clouds: the real engine, stand-ins for plugins."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.standins.servicer import STATE_VARIABLE
from tests.engine.harness import REPOSITORY, Result, Stack
from tests.kubernetes.conftest import with_stand_in

PACKAGES = {"eks": "aws", "gke": "gcp", "aks": "azure-native"}
"""Cloud -> package of its plugin."""

PROGRAM = """\
import pulumi

from components.kubernetes_clusters import KubernetesClusters
from components.settings import read_stack

found = KubernetesClusters(read_stack())
found.declare()
pulumi.export("kubernetes", found.outputs())
"""

WHOLE = (REPOSITORY / "__main__.py").read_text(encoding="utf-8")
"""The real program, with the guard and everything else."""


@dataclass
class Pretended:
    """A stack whose cloud is pretended.

    Attributes:
        stack: The stack.
        cloud: `eks`, `gke` or `aks`.
        store: The pretended cloud.
    """

    stack: Stack
    cloud: str
    store: Path

    def configure(self, cluster: Mapping[str, Any]) -> None:
        """Writes the one cluster, `train`, into the stack file."""
        values = {"gpuplane:stackId": "teststck", f"gpuplane:{self.cloud}Clusters": {"train": cluster}}
        self.stack.set_config(values)

    def preview(self, cluster: Mapping[str, Any]) -> Result:
        self.configure(cluster)
        return self.stack.preview("--diff")

    def objects(self) -> dict[str, dict[str, Any]]:
        """Type -> id -> object of the pretended cloud."""
        found: dict[str, dict[str, Any]] = {}
        for file in self.store.glob("*.json"):
            found |= json.loads(file.read_text(encoding="utf-8"))
        return {kind: objects for kind, objects in found.items() if objects}

    def change(self, kind: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Changes every object of a type behind the engine's back."""
        for file in self.store.glob("*.json"):
            document = json.loads(file.read_text(encoding="utf-8"))
            if document.get(kind):
                for each in document[kind].values():
                    change(each)
                file.write_text(json.dumps(document), encoding="utf-8")


NewPretended = Callable[..., Pretended]


@pytest.fixture
def pretended(template: Path, tmp_path: Path) -> NewPretended:
    """Makes a stack on a pretended cloud: `pretended("eks")`."""

    def make(cloud: str, program: str = PROGRAM, **env: str) -> Pretended:
        store = tmp_path / "cloud"
        store.mkdir()
        variables = {"PYTHONPATH": str(REPOSITORY), STATE_VARIABLE: str(store), **env}
        stack = Stack(tmp_path / "stack", program, template=template, env=variables)
        return Pretended(with_stand_in(stack, PACKAGES[cloud], "kubernetes"), cloud, store)

    return make
