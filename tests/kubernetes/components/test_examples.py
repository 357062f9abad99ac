"""The example stacks preview in the real engine, with stand-ins in the clouds' place and no account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stack_config import load, read_stack_file
from tests.engine.harness import REPOSITORY
from tests.examples import EXAMPLES, one, stack_of
from tests.kubernetes.components.conftest import WHOLE, NewPretended

TOTALS = {"eks": ["0.00", "117.30"], "gke": ["unknown", "unknown"], "aks": ["0.00", "203.90"]}
POOLS = {
    "eks": {"small", "spare", "large"},
    "gke": {"small", "slices", "large"},
    "aks": {"small", "spare", "large"},
}


@pytest.mark.parametrize("cloud", ["eks", "gke", "aks"])
def test_the_example_previews(pretended: NewPretended, cloud: str) -> None:
    path = REPOSITORY / f"Pulumi.{cloud}.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert "gpuplane:stackId" not in document["config"], "`gpuplane init` writes one into the copy"
    world = pretended(cloud, WHOLE)
    world.stack.set_config({**document["config"], "gpuplane:stackId": "teststck"})
    preview = world.stack.preview().expect_ok()
    lines = [line.split() for line in preview.output.splitlines()]
    assert f"estimated cost of {cloud.upper()} cluster inference" in preview.output, preview.output
    assert next(line for line in lines if line[:1] == ["total"])[1:3] == TOTALS[cloud]
    assert {line[0] for line in lines if line and line[0] in POOLS[cloud]} == POOLS[cloud]
    assert "no proof" in preview.output, "a stand-in's preview must say what it is"
    assert world.objects() == {}


@pytest.mark.parametrize("cloud", ["eks", "gke", "aks"])
def test_the_example_keeps_the_rules(cloud: str) -> None:
    values = read_stack_file(REPOSITORY / f"Pulumi.{cloud}.yaml")
    config = load({**values, "stackId": "k3v9x2pq"}, cloud)
    assert len(getattr(config, f"{cloud}_clusters")["inference"].pools) == 3


SERVICES = {
    "models": {"inference", "chat", "main", "cache"},
    "skypilot": {"platform", "sky", "research-workspace", "product-workspace", "research-account", "train"},
}
"""Examples of what runs on a cluster of the stack -> some of what they declare."""


@pytest.mark.parametrize("name", SERVICES)
def test_an_example_of_services_previews(name: str, template: Path, tmp_path: Path) -> None:
    example = one(name)
    stack = stack_of(example, tmp_path, template)
    preview = stack.preview().expect_ok()
    assert SERVICES[name] <= preview.ops().keys(), preview.output
    assert set(preview.ops().values()) == {"create"}
    assert "no proof" in preview.output, "a stand-in's preview must say what it is"


def test_every_example_for_kubernetes_is_previewed() -> None:
    assert {example.name for example in EXAMPLES if example.plugins} == {*TOTALS, *SERVICES}
