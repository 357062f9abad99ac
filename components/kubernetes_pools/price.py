"""What the nodes of a pool cost, as far as anybody wrote it down. Pure.

What is not known is said to be unknown: it is never taken for nothing, and a budget that can't be checked is
refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.kubernetes_pools.shapes import Shape, list_price

HOURS_A_MONTH = 730
"""Hours in the month of an estimate, as in those of nodes (a test holds both equal): importing it from there
would bring the HTTP clients of all clouds into every preview."""

UNKNOWN = "unknown"
"""What stands where a number is not known."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one node.

    Attributes:
        hourly_usd: USD per hour; None if unknown.
        source: Where it is from, in words.
        as_of: Day of it, as `2026-09-06`; empty where it has none.
    """

    hourly_usd: float | None
    source: str = UNKNOWN
    as_of: str = ""


def price_of(shape: Shape, capacity: str, region: str, own_usd: float | None) -> Price:
    """The price of a node.

    A reservation of any of the three clouds is billed at the on-demand rate, used or not. Blocks, flex-start
    and most spot prices change by the day, so the catalogue has none.

    Args:
        shape: The machine.
        capacity: How it is rented.
        region: Where; a price of another region is taken, and its region said.
        own_usd: What the user pays, USD per hour; None for the list price.
    """
    if own_usd is not None:
        return Price(own_usd, "hourlyUsd")
    found = list_price(shape, "on_demand" if capacity == "reserved" else capacity)
    if found is None:
        return Price(None)
    elsewhere = "" if found.region == region else f", not of {region}"
    return Price(found.hourly_usd, f"list price of {found.region}{elsewhere}", found.as_of)
