"""What a node will most likely be and cost, before it exists. Pure, but for the prices that it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from dynamic_providers.inputs import CandidateInput
from gpu_clouds.models import Availability, Candidate, Offer

HOURS_A_MONTH = 730
"""365 days of 24 hours, divided by 12."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The candidate that a create would most likely get now.

    Attributes:
        candidate: The candidate.
        hourly_usd: Rounded price of the node, USD per hour; None where nobody tells one.
        source: Where the price comes from; empty without one.
        as_of: When it was read or written down; None without a price.
    """

    candidate: Candidate
    hourly_usd: float | None
    source: str = ""
    as_of: date | None = None

    def as_outputs(self) -> dict[str, Any]:
        """The outputs of a create in preview."""
        outs: dict[str, Any] = {"candidate": candidate_output(self.candidate)}
        if self.hourly_usd is not None and self.as_of is not None:
            outs["estimatedHourlyUsd"] = self.hourly_usd
            outs["estimatedMonthlyUsd"] = round(self.hourly_usd * HOURS_A_MONTH, 2)
            outs["estimateSource"] = self.source
            outs["estimateDate"] = self.as_of.isoformat()
        return outs


def candidate_output(candidate: Candidate) -> dict[str, Any]:
    """A candidate as an output holds it: what was asked for, every field that has a value."""
    return CandidateInput.of(candidate).model_dump(mode="json", by_alias=True, exclude_none=True)


def estimate(
    candidates: Sequence[Candidate], offers: Mapping[Candidate, Offer], order: Literal["listed", "price"]
) -> Estimate:
    """The first candidate that is to be had, in the order in which a create tries them.

    Args:
        candidates: What may be rented; at least one.
        offers: Prices of today or list prices; candidates without an offer have no known price.
        order: `listed` or `price`.

    Returns:
        The estimate; where no cloud has anything free, of the first candidate.
    """
    tried = list(candidates)
    if order == "price":
        tried.sort(key=lambda c: _price(offers.get(c)))
    free = [c for c in tried if c not in offers or offers[c].availability is not Availability.NONE]
    chosen = (free or tried)[0]
    offer = offers.get(chosen)
    if offer is None or offer.hourly_usd is None:
        return Estimate(chosen, None)
    return Estimate(chosen, round(offer.hourly_usd, 2), offer.source, offer.as_of.date())


def dearest(
    candidates: Sequence[Candidate], offers: Mapping[Candidate, Offer]
) -> tuple[Candidate, float] | None:
    """The dearest candidate and its price, USD per hour; None where no price is known."""
    priced = [
        (c, _price(offers.get(c))) for c in candidates if c in offers and offers[c].hourly_usd is not None
    ]
    return max(priced, key=lambda pair: pair[1], default=None)


def _price(offer: Offer | None) -> float:
    return float("inf") if offer is None or offer.hourly_usd is None else offer.hourly_usd
