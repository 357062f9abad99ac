"""Images of an exact version: what runs tomorrow is what was tested today."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pulumi_policy import Severity

from policies.costs import CLUSTER, NODE
from policies.kubernetes_objects import containers
from policies.reading import Seen, text
from policies.rules import resource_policy
from stack_config.policies import Rule, Stage

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_EXACT = re.compile(r"\d+\.\d+|^[0-9a-f]{7,40}$|20\d\d-?[01]\d-?[0-3]\d")
"""Tags that name one build: a version with at least two numbers, a commit, a date."""

_IN_DOCKER = "docker:"


def look(resource: Seen, limits: Rule, stage: Stage) -> Iterator[str]:
    """Reports images without an exact version, and in stage `prod` those without a digest."""
    for where, image in images(resource):
        if _DIGEST.search(image):
            continue
        if stage == "prod":
            yield f"runs an image without a digest{where}, in stage prod"
        elif not is_exact(image):
            yield f"runs an image without an exact version{where}"


def images(resource: Seen) -> Iterator[tuple[str, str]]:
    """Where an image is named, in words, and the image."""
    image = text(resource.props.get("image"))
    if resource.type == NODE and image:
        yield "", image
    elif resource.type == CLUSTER and image.startswith(_IN_DOCKER):
        yield "", image.removeprefix(_IN_DOCKER)
    for container in containers(resource):
        if named := text(container.spec.get("image")):
            yield f" (container {container.name})", named


def is_exact(image: str) -> bool:
    """Whether an image has a tag that names one build, or a digest."""
    if _DIGEST.search(image):
        return True
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return bool(colon) and bool(_EXACT.search(tag))


policy = resource_policy(
    "pinned-images",
    Rule,
    look,
    display_name="Pinned images",
    description="Images have an exact version, and in stage prod a digest.",
    severity=Severity.MEDIUM,
    remediation_steps="name a tag such as v0.11.0, or in prod image@sha256:… as the registry shows it.",
)
