"""What a cluster will most likely cost, from the prices of its server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from dynamic_providers.estimates import HOURS_A_MONTH
from dynamic_providers.sky_pilot_inputs import SkyPilotClusterInputs, split_accelerator
from gpu_clouds.clock import utc_now
from gpu_clouds.skypilot.prices import SOURCE, Prices

__all__ = ["SOURCE", "Choice", "Estimate", "estimate"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One accelerator in one place.

    Attributes:
        accelerator: `H100:2`; empty without GPUs.
        infra: Where; empty for anywhere.
        hourly_usd: Price of all nodes, USD per hour; None where the server does not tell.
        nodes: How many nodes that are.
    """

    accelerator: str
    infra: str
    hourly_usd: float | None
    nodes: int = 1

    def __str__(self) -> str:
        many = f"{self.nodes} nodes of" if self.nodes > 1 else ""
        words = [
            many,
            self.accelerator or "CPU",
            f"on {self.infra}" if self.infra else "",
            _price(self.hourly_usd),
        ]
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Estimate:
    """All choices with their prices.

    Attributes:
        choices: In the order of the inputs.
        ordered: They are tried as they stand, else the cheapest first.
        as_of: When the prices were read.
    """

    choices: tuple[Choice, ...]
    ordered: bool
    as_of: date

    @property
    def hourly_usd(self) -> float | None:
        """Price of the choice that is tried first, USD per hour; None if not known."""
        prices = [choice.hourly_usd for choice in self.choices if choice.hourly_usd is not None]
        return (prices[0] if self.ordered else min(prices)) if prices else None

    @property
    def dearest(self) -> Choice | None:
        """The dearest choice; None where no price is known."""
        priced = [(choice.hourly_usd, choice) for choice in self.choices if choice.hourly_usd is not None]
        return max(priced, key=lambda pair: pair[0])[1] if priced else None

    def as_outputs(self) -> dict[str, Any]:
        """The outputs of a create in preview."""
        outs: dict[str, Any] = {"candidateInfra": [str(choice) for choice in self.choices]}
        if self.hourly_usd is not None:
            outs["estimatedHourlyUsd"] = round(self.hourly_usd, 2)
            outs["estimatedMonthlyUsd"] = round(self.hourly_usd * HOURS_A_MONTH, 2)
            outs["estimateSource"] = SOURCE
            outs["estimateDate"] = self.as_of.isoformat()
        return outs


def estimate(inputs: SkyPilotClusterInputs, prices: Prices | None) -> Estimate:
    """Every choice with its price of now.

    Args:
        inputs: The cluster.
        prices: The server's catalogue; None for no prices.

    Raises:
        ApiError: The server can not be asked.
    """
    choices = []
    for accelerator, infra in inputs.choices():
        name, count = split_accelerator(accelerator)
        price = None
        if prices is not None and name:
            price = prices.hourly_usd(infra, name, count, spot=inputs.spot, nodes=inputs.nodes)
        choices.append(Choice(accelerator, infra, price, inputs.nodes))
    return Estimate(tuple(choices), inputs.choose == "ordered", utc_now().date())


def _price(hourly_usd: float | None) -> str:
    return "" if hourly_usd is None else f"at {hourly_usd:.2f} USD/h"
