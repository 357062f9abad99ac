"""What the engine's events say of policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stack_config.policies import NAMES
from tests.engine.harness import REPOSITORY, Result

PACK = REPOSITORY / "policies"
WITH_PACK = ("--policy-pack", str(PACK))


def all_policies(enforcement: str, **sections: Mapping[str, Any]) -> dict[str, Any]:
    """The section `policies` with one enforcement for all, and what else the test wants of some."""
    keys = [_camel(field) for field in NAMES.values()]
    return {key: {"enforcement": enforcement, **sections.get(key, {})} for key in keys}


def findings(result: Result) -> dict[str, list[dict[str, Any]]]:
    """Policy -> its events; every finding has three lines, and the last is the remedy."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event in result.events:
        if told := event.get("policyEvent"):
            lines = told["message"].strip().splitlines()
            assert len(lines) == 3 and lines[2].startswith("Remedy: "), told["message"]
            assert told["severity"], told
            found.setdefault(told["policyName"], []).append(told)
    return found


def what(result: Result, policy: str) -> list[str]:
    """The middle lines of a policy's findings: which resource, and what is wrong."""
    return [told["message"].strip().splitlines()[1] for told in findings(result).get(policy, [])]


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)
