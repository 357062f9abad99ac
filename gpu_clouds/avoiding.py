"""Places with bad machines: where a node of this run turned out to be unusable, others are tried first."""

from __future__ import annotations

from gpu_clouds import catalog
from gpu_clouds.errors import ValidationError
from gpu_clouds.launching import Priced
from gpu_clouds.models import Candidate
from gpu_clouds.operation import Match, Operation
from gpu_clouds.run import Run
from gpu_clouds.waiting import UnusableError

LAUNCHES_OF_ONE = 3
"""So often a candidate is launched in one round while it has places left that are not known to be bad."""


def avoid_place_of(op: Operation, match: Match, error: UnusableError) -> None:
    """Remembers where an unusable node was.

    Args:
        op: The operation.
        match: The node as it was launched.
        error: What is wrong with it.
    """
    places = _places(match.candidate)
    region = error.region or match.instance.region or (places[0] if len(places) == 1 else "")
    if region:
        op.run.avoid(match.cloud.name, region, f"a node in {region} was unusable in this run")
        op.note(f"{match.cloud.name} {region} is tried last for the rest of this run: {error.message}")


def has_other_place(run: Run, candidate: Candidate) -> bool:
    """Whether some place of the candidate is not known to be bad."""
    return not why_last(run, candidate)


def why_last(run: Run, candidate: Candidate) -> str:
    """Why a candidate is tried after all others; empty if it is not."""
    avoided, places = run.avoided(candidate.cloud), _places(candidate)
    known_bad = bool(places) and all(place in avoided for place in places)
    return avoided[places[0]] if known_bad else ""


def take_next(run: Run, waiting: list[Priced]) -> Priced:
    """Takes the first that is not in a bad place, else the first, out of a list that is not empty."""
    fine = (priced for priced in waiting if has_other_place(run, priced.candidate))
    chosen = next(fine, waiting[0])
    waiting.remove(chosen)
    return chosen


def _places(candidate: Candidate) -> tuple[str, ...]:
    try:
        return catalog.resolve_region(candidate.cloud, candidate.region)
    except ValidationError:
        return (candidate.region,)
