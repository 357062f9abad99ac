"""A saved plan: which nodes and SkyPilot clusters it would rent, and at what estimated price."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cli.errors import CliError
from cli.state import CLUSTER_TYPE, NODE_TYPE, candidate_text, price

_RENTING = frozenset({"create", "create-replacement"})
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's word for a text that is not known yet."""
_PRICING = frozenset({"accelerators", "infra", "choose", "nodes", "spot", "workspace"})
_SERVER = frozenset({"credentials", "endpoint", "user", "caFile", "allowInsecure"})


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """A node or a SkyPilot cluster that the plan would rent.

    Attributes:
        name: Its slug.
        candidate: What the plan expects to get, in words.
        estimated_usd: The plan's estimate, USD per hour; None where the plan has none.
        candidates: What may be rented, as the node's inputs say it.
        order: `listed` or `price`.
        cluster: Of a SkyPilot cluster: the inputs that its price follows from, and those that say which
            server it is on, but for its token; empty for a node.
    """

    name: str
    candidate: str
    estimated_usd: float | None
    candidates: tuple[Mapping[str, Any], ...] = ()
    order: Literal["listed", "price"] = "listed"
    cluster: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Today:
    """What a node would be now.

    Attributes:
        candidate: The first candidate that is available, in words.
        hourly_usd: Its price, USD per hour; None where no cloud tells one.
    """

    candidate: str
    hourly_usd: float | None


def read_plan(file: Path) -> list[PlannedNode]:
    """The nodes that a plan would rent.

    Args:
        file: What `pulumi preview --save-plan` wrote.

    Raises:
        CliError: It is no plan.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        plans = document["resourcePlans"]
        return [_planned(urn, plan) for urn, plan in plans.items() if _rents(plan)]
    except OSError as error:
        raise CliError(f"plan {file} can not be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CliError(
            f"{file} is not a plan; make one with `pulumi preview --save-plan {file}` (PULUMI_EXPERIMENTAL=1)"
        ) from None


def price_moves(planned: list[PlannedNode], today: Mapping[str, Today], tolerance_pct: float) -> list[str]:
    """What has become dearer since the plan; one line for each node.

    Args:
        planned: The plan's nodes.
        today: Node name -> what it would be now.
        tolerance_pct: How much dearer is accepted, percent.
    """
    moves = []
    for node in planned:
        now = today.get(node.name)
        if node.estimated_usd is None or now is None or now.hourly_usd is None:
            continue
        # A hair's breadth for the rounding of the estimate, so that exactly the tolerance passes.
        if now.hourly_usd > node.estimated_usd * (1 + tolerance_pct / 100) + 1e-9:
            other = f", now {now.candidate}" if now.candidate != node.candidate else ""
            moves.append(
                f"{node.name}: price moved from {node.estimated_usd:g} to {now.hourly_usd:g} USD per hour "
                f"since the plan ({node.candidate}{other})"
            )
    return moves


def not_compared(planned: list[PlannedNode], today: Mapping[str, Today]) -> list[str]:
    """Names of nodes whose price is unknown in the plan or now."""
    return [
        node.name
        for node in planned
        if node.estimated_usd is None or node.name not in today or today[node.name].hourly_usd is None
    ]


def _rents(plan: Mapping[str, Any]) -> bool:
    goal = plan.get("goal") or {}
    return goal.get("type") in (NODE_TYPE, CLUSTER_TYPE) and not _RENTING.isdisjoint(plan.get("steps") or ())


def _planned(urn: str, plan: Mapping[str, Any]) -> PlannedNode:
    outputs = plan.get("state") or {}
    if plan["goal"]["type"] == CLUSTER_TYPE:
        return _planned_cluster(urn, outputs)
    candidates = outputs.get("candidates")
    if not isinstance(candidates, list):
        candidates = []  # not known when the plan was made
    return PlannedNode(
        name=str(outputs.get("node") or urn.rsplit("::", 1)[-1]),
        candidate=candidate_text(outputs.get("candidate")),
        estimated_usd=price(outputs.get("estimatedHourlyUsd")),
        candidates=tuple(candidate for candidate in candidates if isinstance(candidate, Mapping)),
        order="price" if outputs.get("order") == "price" else "listed",
    )


def _planned_cluster(urn: str, outputs: Mapping[str, Any]) -> PlannedNode:
    known = {
        key: value
        for key, value in outputs.items()
        if key in _PRICING | _SERVER and value not in (_UNKNOWN, None) and not isinstance(value, Mapping)
    }
    what = " or ".join(_texts(known.get("accelerators"))) or "CPU"
    where = " or ".join(_texts(known.get("infra")))
    return PlannedNode(
        name=str(outputs.get("node") or urn.rsplit("::", 1)[-1]),
        candidate=" ".join(word for word in ("skypilot", where, what) if word),
        estimated_usd=price(outputs.get("estimatedHourlyUsd")),
        cluster=known,
    )


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
