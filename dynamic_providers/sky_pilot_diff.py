"""What a change of a cluster's inputs does: nothing, an update in place, or another cluster.

In place is what the server really changes in place, measured against release 0.14.1; docs/skypilot.md has the
table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynamic_providers.base import has_unknown, inputs_in, own_props
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import Kind, root_of
from dynamic_providers.sky_pilot_inputs import JOB, REPLACING, SETUP, SkyPilotClusterInputs
from gpu_clouds.models import InstanceState

TOLD = frozenset({"guard", "node", "nodes", "accelerators"})
"""What the server tells of a cluster that is imported; all else is taken from the program as it is."""

_REPLACE = {Kind.ADD: Kind.ADD_REPLACE, Kind.DELETE: Kind.DELETE_REPLACE, Kind.UPDATE: Kind.UPDATE_REPLACE}


def cluster_diff(outs: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Kind]:
    """Property path -> what happens to it.

    Args:
        outs: Old outputs, which repeat the old inputs.
        news: New inputs, normalised; may hold values that are not known yet.
    """
    old = inputs_in(SkyPilotClusterInputs, outs)
    new = own_props(news)
    if outs.get("imported"):
        old = {**new, **{key: value for key, value in old.items() if key in TOLD}}
    found = {
        path: _REPLACE.get(kind, kind) if _replaces(root_of(path), old, new) else kind
        for path, kind in compare(old, new).items()
    }
    if not outs.get("imported"):
        found |= _not_done(outs, new)
    if needs_care(str(outs.get("state", "")), new):
        # A launch that failed half way, or a cluster that has stopped or broken since: an update heals it.
        found["state"] = Kind.UPDATE
    return found


def replaces(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Whether a change of inputs means another cluster.

    Args:
        olds: Old inputs.
        news: New inputs.
    """
    old, new = own_props(olds), own_props(news)
    return any(_replaces(root_of(path), old, new) for path in compare(old, new))


def needs_care(state: str, props: Mapping[str, Any]) -> bool:
    """Whether a cluster in this state is not as declared.

    Args:
        state: The output `state`; empty counts as fine.
        props: The inputs, normalised.
    """
    if state in ("", InstanceState.READY):
        return False
    if state in (InstanceState.STOPPED, InstanceState.STOPPING):
        given = props.get("whenStopped")
        fine = given == "leave" if given is not None else props.get("autostopMin") is not None
        return not fine
    return True


def _not_done(outs: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Kind]:
    """A job or setup that is declared and was never started: an earlier `up` did not get that far."""
    given = {key: value for key, value in new.items() if not has_unknown(value)}
    if outs.get("state") != InstanceState.READY or {*JOB, *SETUP} & (set(new) - set(given)):
        return {}
    inputs = SkyPilotClusterInputs.model_validate({"node": "x", **given})
    wanted = {"run": ("jobName", inputs.job_name), "setup": ("setupName", inputs.setup_name)}
    return {key: Kind.UPDATE for key, (name, value) in wanted.items() if value and outs.get(name) != value}


def _replaces(root: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    if root == "guard":
        return True  # also when not known yet: the guard itself is being replaced
    if has_unknown(new.get(root)):
        return False  # decided once it is known
    if root == "ports":
        return not set(old.get("ports", [])) <= set(new.get("ports", []))
    return root in REPLACING
