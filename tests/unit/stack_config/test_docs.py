"""The stack files that the pages show are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from stack_config import StackConfig, load
from stack_config.stack_file import NAMESPACE

DOCS = Path(__file__).parents[3] / "docs"


def example(page: str) -> StackConfig:
    """The first whole stack file of a page."""
    blocks = re.findall(r"```yaml\n(config:\n.*?)```", (DOCS / page).read_text(), re.DOTALL)
    config = yaml.safe_load(blocks[0])["config"]
    values = {key.removeprefix(f"{NAMESPACE}:"): value for key, value in config.items()}
    return load({"stackId": "docs1234", **values}, "docs")


@pytest.mark.parametrize("page", ["failover.md", "tenants.md"])
def test_the_example_is_valid(page: str) -> None:
    assert example(page).clusters


def test_what_the_example_of_failover_tries() -> None:
    tried = [
        (c.cloud, c.region, c.gpu, c.provision_deadline_s) for c in example("failover.md").candidates("chat")
    ]
    assert tried == [
        ("lambda", "us-east", "H100-SXM", None),
        ("lambda", "us-west", "H100-SXM", None),
        ("runpod", "us-east", "H100", 420),
    ]
