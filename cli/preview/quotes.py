"""What candidates cost and whether they are to be had, and what the other way of renting would cost. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cli.preview.amounts import Amount
from cli.preview.lines import Line
from cli.preview.prices import Price
from cli.state import NODE_TYPE, candidate_text, price

ON_DEMAND, SPOT = "on_demand", "spot"
NOT_AVAILABLE = "none"
"""Availability of what its cloud says is sold out."""


class Key(NamedTuple):
    """Which offer: what a candidate says, with every default filled in."""

    cloud: str
    credentials: str
    region: str
    gpu: str
    gpu_count: int
    capacity: str

    @property
    def twin(self) -> Key:
        """The same machine, rented the other way."""
        return self._replace(capacity=SPOT if self.capacity == ON_DEMAND else ON_DEMAND)


@dataclass(frozen=True, slots=True)
class Quote:
    """An answer for one candidate.

    Attributes:
        hourly_usd: Price of the node, USD per hour; None if unknown.
        availability: `high`, `low`, `none`, …; empty where nobody was asked.
        source: Where the price is from, and its day.
    """

    hourly_usd: float | None
    availability: str = ""
    source: str = ""


Quotes = Mapping[Key, Quote]


def key_of(candidate: Mapping[str, Any]) -> Key:
    """The key of a candidate as inputs and outputs hold it."""
    cloud, credentials, region, gpu = (
        str(candidate.get(name, "")) for name in ("cloud", "credentials", "region", "gpu")
    )
    count = int(price(candidate.get("gpuCount", 1)) or 1)
    return Key(cloud, credentials, region, gpu, count, str(candidate.get("capacity", ON_DEMAND)))


def words(key: Key) -> str:
    """A candidate in words: `runpod EU-RO-1 RTX4090 x1`."""
    return candidate_text(
        {"cloud": key.cloud, "region": key.region, "gpu": key.gpu, "gpuCount": key.gpu_count}
        | {"capacity": key.capacity}
    )


def wanted(lines: Iterable[Line]) -> list[Key]:
    """The candidates of all nodes that are to stay or to come, and what runs now; each once."""
    found: dict[Key, None] = {}
    for line in lines:
        if line.type == NODE_TYPE and line.action != "delete":
            found.update(dict.fromkeys(key_of(candidate) for candidate in line.candidates))
            if line.after is not None and line.after.candidate is not None:
                found[key_of(line.after.candidate)] = None
    return list(found)


def with_estimate(line: Line, quotes: Quotes) -> Line:
    """The line, with the price of the first candidate to be had where the preview has none for a new node."""
    after = line.after
    if line.type != NODE_TYPE or after is None or not after.amount.is_unknown or not line.candidates:
        return line
    free = [each for each in line.candidates if _availability(key_of(each), quotes) != NOT_AVAILABLE]
    chosen = (free or line.candidates)[0]
    quote = quotes.get(key_of(chosen))
    if quote is None or quote.hourly_usd is None:
        return line
    found = Price(Amount.of(round(quote.hourly_usd, 2)), candidate_text(chosen), quote.source, chosen)
    return replace(line, after=found)


def _availability(key: Key, quotes: Quotes) -> str:
    quote = quotes.get(key)
    return quote.availability if quote else ""


@dataclass(frozen=True, slots=True)
class Saving:
    """What spot saves or would save, USD per hour.

    Attributes:
        spot_nodes: Nodes on spot whose on-demand price is known.
        saved_usd: What they save.
        other_nodes: Nodes on demand whose spot price is known and lower.
        possible_usd: What those would save.
    """

    spot_nodes: int = 0
    saved_usd: float = 0.0
    other_nodes: int = 0
    possible_usd: float = 0.0


def saving(lines: Iterable[Line], quotes: Quotes) -> Saving:
    """Holds each node's price against that of the other way of renting."""
    spot_nodes = other_nodes = 0
    saved = possible = 0.0
    for line in lines:
        after = line.after
        if line.type != NODE_TYPE or after is None or after.candidate is None or after.amount.is_unknown:
            continue
        key = key_of(after.candidate)
        twin = quotes.get(key.twin)
        if twin is None or twin.hourly_usd is None:
            continue
        if key.capacity == SPOT:
            spot_nodes, saved = spot_nodes + 1, saved + twin.hourly_usd - after.amount.high
        elif twin.hourly_usd < after.amount.high:
            other_nodes, possible = other_nodes + 1, possible + after.amount.high - twin.hourly_usd
    return Saving(spot_nodes, saved, other_nodes, possible)
