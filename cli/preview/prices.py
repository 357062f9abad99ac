"""What one resource costs, as its state or its plan tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.preview.amounts import UNKNOWN, Amount, total
from cli.state import CLUSTER_TYPE, NODE_TYPE, candidate_text, price

POOL_TYPES = frozenset(
    f"gpuplane:kubernetes:{name}" for name in ("EksGpuCluster", "GkeGpuCluster", "AksGpuCluster")
)
"""Clusters of Kubernetes, whose pools have a price."""
ACTUAL = "actual price"
"""Source of the price of something that lives: what its cloud says that it costs."""
PRICED_TYPES = frozenset({NODE_TYPE, CLUSTER_TYPE}) | POOL_TYPES


@dataclass(frozen=True, slots=True)
class Price:
    """What one resource costs and is.

    Attributes:
        amount: USD per hour.
        what: What it is, in words.
        source: Where the price is from, with its day; `ACTUAL` for one that is paid already.
        candidate: What was or will most likely be rented; None where nobody tells.
        scope: What the price leaves out, in words; empty for nothing.
    """

    amount: Amount
    what: str = ""
    source: str = ""
    candidate: Mapping[str, Any] | None = None
    scope: str = ""


def price_of(kind: str, outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> Price:
    """The price in a resource's outputs.

    Args:
        kind: Its type token, one of `PRICED_TYPES`.
        outputs: `hourlyUsd` of one that lives, else `estimatedHourlyUsd`; `estimatedHourly` of pools.
        inputs: What it is where the outputs do not tell yet.
    """
    if kind in POOL_TYPES:
        return _pools(outputs)
    actual, estimated = price(outputs.get("hourlyUsd")), price(outputs.get("estimatedHourlyUsd"))
    source = ACTUAL
    if actual is None:
        source = dated(outputs.get("estimateSource"), outputs.get("estimateDate"))
    amount = Amount.of(estimated if actual is None else actual)
    if kind == CLUSTER_TYPE:
        return Price(amount, _cluster_words(outputs, inputs), source)
    candidate = _first(outputs.get("candidate"), inputs.get("candidates"))
    return Price(amount, candidate_text(candidate) if candidate else "", source, candidate)


def dated(source: object, day: object) -> str:
    """`RunPod, 2026-11-27`."""
    return ", ".join(each for each in (source, day) if isinstance(each, str) and each)


def _pools(outputs: Mapping[str, Any]) -> Price:
    found = outputs.get("estimatedHourly")
    if not isinstance(found, Mapping):
        return Price(Amount.of(None), "GPU pools")
    listed = found.get("pools")
    pools = (
        {name: pool for name, pool in listed.items() if isinstance(pool, Mapping)}
        if isinstance(listed, Mapping)
        else {}
    )
    # Of pools of which one has no known price, the others still have one.
    amount = total(_range(pool) for pool in pools.values()) if pools else _range(found)
    words = [f"{name}: {pool.get('machine', '')} {_range(pool).hour()}" for name, pool in pools.items()]
    sources = [dated(pool.get("source"), pool.get("asOf")) for pool in (pools or {"": found}).values()]
    return Price(
        amount,
        ", ".join(words) or "GPU pools",
        "; ".join(dict.fromkeys(source for source in sources if source and source != UNKNOWN)),
        scope=str(found.get("scope", "")),
    )


def _range(found: Mapping[str, Any]) -> Amount:
    low, high = price(found.get("min")), price(found.get("max"))
    return Amount.of(None) if low is None or high is None else Amount(low, high)


def _cluster_words(outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Of a SkyPilot cluster: what it is, else what may be tried."""
    choices = outputs.get("candidateInfra")
    if isinstance(choices, list) and choices and price(outputs.get("hourlyUsd")) is None:
        more = f" or {len(choices) - 1} more" if len(choices) > 1 else ""
        return f"skypilot {choices[0]}{more}"
    gpus, place, wanted = outputs.get("gpus"), outputs.get("place"), inputs.get("accelerators")
    words = [place] if isinstance(place, str) else []
    if isinstance(gpus, Mapping):
        words += [f"{gpu} x{price(count) or 0:g}" for gpu, count in gpus.items()]
    elif isinstance(wanted, list):
        words.append(" or ".join(str(each) for each in wanted))
    return " ".join(["skypilot", *words])


def _first(candidate: object, candidates: object) -> Mapping[str, Any] | None:
    """The candidate that the outputs name, else the first of the inputs."""
    listed = candidates if isinstance(candidates, list) else []
    return next((each for each in (candidate, *listed) if isinstance(each, Mapping)), None)
