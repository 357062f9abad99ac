"""What one resource costs, as its state or its plan tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.preview.amounts import Amount
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
    """

    amount: Amount
    what: str = ""
    source: str = ""
    candidate: Mapping[str, Any] | None = None


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
    low, high = price(found.get("min")), price(found.get("max"))
    amount = Amount.of(None) if low is None or high is None else Amount(low, high)
    pools = found.get("pools")
    words = (
        [f"{name}: {pool.get('machine', '')}" for name, pool in pools.items() if isinstance(pool, Mapping)]
        if isinstance(pools, Mapping)
        else []
    )
    return Price(amount, ", ".join(words) or "GPU pools", dated(found.get("source"), found.get("asOf")))


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
