"""Why a resource changes: which of its inputs differ. A value is shown only where it can be no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cli.preview.document import Step
from cli.state import candidate_text

SHOWN = frozenset(
    {
        *(
            "accelerators",
            "autodown",
            "autostopMin",
            "budgetHourlyUsd",
            "candidates",
            "choose",
            "clusterNodes",
        ),
        *(
            "cpus",
            "deleteBeforeReplace",
            "diskGb",
            "diskTier",
            "expiresAt",
            "gpu",
            "gpuCount",
            "guard",
            "image",
        ),
        *(
            "infra",
            "instanceType",
            "keepOnFailure",
            "maxHourlyUsd",
            "memory",
            "node",
            "nodes",
            "order",
            "ports",
        ),
        *("spot", "stackId", "templateId", "volumeGb", "weightsCache", "whenStopped"),
    }
)
"""Inputs of our own resources whose values are shown. Whatever is not named here may hold a secret that
somebody forgot to mark."""
MOST = 4
"""Reasons of one resource that are told."""
_OURS = "pulumi-python:dynamic/"
_SECRET_KEY = "4dabf18193072939515e22adb298388d"
"""The engine's mark of a special value: a secret, an asset, an unknown."""
_LONGEST = 60
_PART = re.compile(r"""\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\.?([^.\[\]]+)""")
_ADJECTIVE = {"add": "added", "delete": "removed"}
_MISSING = object()


def reasons(step: Step) -> list[str]:
    """Each difference of a step in words: `image: v1 → v2`, `env changed`, `candidates[0].gpu: …`.

    Args:
        step: An update or a replacement; others have no differences.
    """
    by_root: dict[str, list[str]] = {}
    for path in step.diff:
        by_root.setdefault(_root(path), []).append(path)
    found = []
    for root, paths in by_root.items():
        if root == "__provider":
            found.append("the provider's code has moved")
        elif len(paths) > 2:
            found.append(f"{root}: {len(paths)} differences{_effect(step, paths)}")
        else:
            found += [_difference(step, path) for path in paths]
    if len(found) > MOST:
        found = [*found[: MOST - 1], f"{len(found) - MOST + 1} more"]
    return found


def _difference(step: Step, path: str) -> str:
    kind = step.diff[path].removesuffix("-replace")
    effect = _effect(step, [path])
    if step.type.startswith(_OURS) and _root(path) in SHOWN:
        old, new = _text(_value(step.old, path)), _text(_value(step.new, path))
        if old and new:
            return f"{path}: {old} → {new}{effect}"
        if new and kind == "add":
            return f"{path} added: {new}{effect}"
        if old and kind == "delete":
            return f"{path} removed: {old}{effect}"
    return f"{path} {_ADJECTIVE.get(kind, 'changed')}{effect}"


def _effect(step: Step, paths: Sequence[str]) -> str:
    """Marks what makes it another resource, where not every difference does."""
    replacing = [path for path, kind in step.diff.items() if kind.endswith("-replace")]
    return " (replaces it)" if len(replacing) < len(step.diff) and set(paths) & set(replacing) else ""


def _root(path: str) -> str:
    found = _PART.match(path)
    return next((part for part in found.groups() if part), path) if found else path


def _value(state: Mapping[str, Any] | None, path: str) -> object:
    """What stands at a path of the inputs."""
    place: object = (state or {}).get("inputs")
    for found in _PART.finditer(path):
        index, quoted, word = found.groups()
        if index is not None and isinstance(place, list):
            place = place[int(index)] if int(index) < len(place) else _MISSING
        elif isinstance(place, Mapping):
            place = place.get(quoted if quoted is not None else word, _MISSING)
        else:
            return _MISSING
    return place


def _text(value: object) -> str:
    """A plain value in words; empty for one that is missing, secret, or no plain value."""
    if isinstance(value, Mapping):
        plain = _SECRET_KEY not in value and value.get("gpu") and "[secret]" not in value.values()
        return candidate_text(value) if plain else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}"
    if not isinstance(value, str) or "[secret]" in value or _SECRET_KEY in value:
        return ""
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
