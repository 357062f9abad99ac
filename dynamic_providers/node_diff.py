"""What a change of a node's inputs does: nothing, an update in place, or another node.

The rule is that of `NodeRequest.spec8`, said property by property: a living node stays as long as the
candidate that won is still among the candidates and nothing has changed that its cloud can't change in place.
A further fallback, a cap or a moved price never replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dynamic_providers.base import has_unknown, inputs_in, own_props
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import Kind, root_of
from dynamic_providers.inputs import TEMPLATE, CandidateInput, NodeInputs, candidate_from
from gpu_clouds import catalog
from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Candidate, InstanceState

REPLACING = frozenset({"guard", "node", "replaceTrigger", "weightsCache", "tls"})
"""Another value is another node, whatever its cloud can do."""

GROWING = frozenset({"weightsCache.sizeGb"})
"""They count for what is made later."""

STEERING = frozenset({"budgetHourlyUsd", "clusterNodes"})
"""They say what else may be launched; a node that lives does not change with them."""

_REPLACE = {Kind.ADD: Kind.ADD_REPLACE, Kind.DELETE: Kind.DELETE_REPLACE, Kind.UPDATE: Kind.UPDATE_REPLACE}


def node_diff(outs: Mapping[str, Any], news: Mapping[str, Any], updatable: frozenset[str]) -> dict[str, Kind]:
    """Property path -> what happens to it.

    Args:
        outs: Old outputs, which repeat the old inputs.
        news: New inputs, normalised; may hold values that are not known yet.
        updatable: `capabilities.updatable` of the cloud that the node lives in.
    """
    old = inputs_in(NodeInputs, outs)
    new = own_props(news)
    if outs.get("imported"):
        # A cloud tells only some of the inputs: the rest is taken from the program without a change.
        old = {**new, **{key: value for key, value in old.items() if key in _TOLD}}
    found: dict[str, Kind] = {}
    for path, kind in compare(old, new).items():
        root = root_of(path)
        if root not in STEERING and root != "candidates":
            stays = path in GROWING or not _replaces(root, outs, new, updatable)
            found[path] = kind if stays else _replacing(kind)
    found |= _candidates(outs, old, new)
    if outs.get("state", InstanceState.READY) != InstanceState.READY:
        # A create that failed half-way, or a node that was stopped or failed since: an update makes it ready.
        found["state"] = Kind.UPDATE
    return found


def _covering(asked: Sequence[Candidate], chosen: Candidate) -> Candidate | None:
    """The candidate that the node was made from, best with the same credential set."""
    same = [c for c in asked if _identity(c) == _identity(chosen)]
    for candidate in same:
        if candidate.credentials == chosen.credentials:
            return candidate
    return same[0] if same else None


def _covering_import(asked: Sequence[Candidate], chosen: Candidate, region: str) -> Candidate | None:
    """The candidate that an imported node could have been made from."""
    for candidate in asked:
        machine = (candidate.cloud, candidate.gpu, candidate.gpu_count, candidate.capacity)
        if machine == (chosen.cloud, chosen.gpu, chosen.gpu_count, chosen.capacity):
            try:
                places = catalog.resolve_region(candidate.cloud, candidate.region)
            except ValidationError:
                continue
            if not places or region in places:
                return candidate
    return None


def living_candidate(outs: Mapping[str, Any], asked: Sequence[Candidate]) -> Candidate | None:
    """Which of the candidates the node with these outputs stands for; None if none any more."""
    chosen = candidate_from(outs["candidate"])
    if outs.get("imported"):
        return _covering_import(asked, chosen, str(outs.get("region", "")))
    return _covering(asked, chosen)


_TOLD = frozenset({"guard", "node", "image"})


def _candidates(outs: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Kind]:
    given = new.get("candidates", [])
    if has_unknown(given):
        return {"candidates": Kind.UPDATE}
    asked = [CandidateInput.model_validate(value).candidate() for value in given]
    stays = "candidate" not in outs or living_candidate(outs, asked) is not None
    if outs.get("imported"):
        return {} if stays else {"candidates": Kind.UPDATE_REPLACE}
    changed = compare({"candidates": old.get("candidates", [])}, {"candidates": given})
    return changed if stays else {path: _replacing(kind) for path, kind in changed.items()}


def _replaces(root: str, outs: Mapping[str, Any], new: Mapping[str, Any], updatable: frozenset[str]) -> bool:
    if root == "guard":
        return True  # also when not known yet: the guard itself is being replaced
    if has_unknown(new.get(root)):
        return False  # decided once it is known
    if root == "adoptId":
        wanted = new.get("adoptId", "")
        return bool(wanted) and wanted != outs.get("instanceId")
    return root in REPLACING or (root in TEMPLATE and TEMPLATE[root] not in updatable)


def _replacing(kind: Kind) -> Kind:
    return _REPLACE.get(kind, kind)


def _identity(candidate: Candidate) -> tuple[object, ...]:
    """What `spec8` takes of a candidate: all but the credential set, which may be renamed."""
    return (candidate.cloud, candidate.region, candidate.gpu, candidate.gpu_count, candidate.capacity)
