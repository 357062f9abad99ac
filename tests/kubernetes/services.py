"""Stacks with databases and model servers, for the tests of both."""

from __future__ import annotations

from typing import Any

from tests.engine.harness import REPOSITORY, Result, Stack

PROGRAM = """\
import pulumi

from components.kubernetes_clusters import KubernetesClusters
from components.settings import read_stack
from components.stack_services import StackServices

config = read_stack()
clusters = KubernetesClusters(config)
services = StackServices(config, clusters)
clusters.declare()
services.declare()
for name, value in services.outputs().items():
    pulumi.export(name, value)
"""

ENV = {"PYTHONPATH": str(REPOSITORY)}


def configure(stack: Stack, **sections: dict[str, Any]) -> None:
    """Writes sections of the stack file: `configure(stack, postgresServices={"main": {…}})`."""
    stack.set_config({"gpuplane:stackId": "teststck"})
    stack.set_config({f"gpuplane:{name}": value for name, value in sections.items()})


def unchanged(result: Result) -> bool:
    """Whether a run leaves everything as it is."""
    return set(result.expect_ok().ops().values()) == {"same"}
