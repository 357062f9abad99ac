"""Images of an exact version."""

from __future__ import annotations

import pytest

from policies.pinned_images import is_exact, look
from policies.reading import UNKNOWN
from stack_config.policies import Rule
from tests.policies.made import deployment, made, node, sky

DIGEST = "@sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("image", "exact"),
    [
        ("vllm/vllm-openai:v0.11.0", True),
        ("postgres:17.5", True),
        ("ghcr.io:5000/x/y:2024-05-01", True),
        ("x/y:3f9c2ab", True),
        ("x/y" + DIGEST, True),
        ("x/y:latest" + DIGEST, True),
        ("x/y", False),
        ("registry.example.org:5000/x/y", False),
        ("x/y:latest", False),
        ("x/y:nightly", False),
        ("nginx:1", False),
        ("x/y@sha256:short", False),
    ],
)
def test_an_exact_version_names_one_build(image: str, exact: bool) -> None:
    assert is_exact(image) is exact
    assert bool(list(look(node(image=image), Rule(), "none"))) is not exact
    assert bool(list(look(node(image=image), Rule(), "prod"))) is not image.endswith(DIGEST)


def test_every_container_is_looked_at_and_no_image_is_repeated() -> None:
    web = deployment(
        {"name": "web", "image": "secret.example.org/x"},
        {"name": "later", "image": UNKNOWN},
        initContainers=[{"name": "first", "image": "busybox"}],
    )
    found = list(look(web, Rule(), "none"))
    assert [line.rpartition("(")[2] for line in found] == ["container web)", "container first)"]
    assert "secret" not in "".join(found)


def test_a_machine_image_of_skypilot_is_none() -> None:
    assert not list(look(sky(image="ami-0abc"), Rule(), "prod"))
    assert list(look(sky(image="docker:x/y"), Rule(), "none"))
    assert not list(look(made("aws:ec2/instance:Instance", image="x"), Rule(), "none"))
