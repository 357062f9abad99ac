"""What the pools of a cluster will cost, as the block that a preview prints and as an output. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from components.kubernetes_pools.plan import PoolPlan
from components.kubernetes_pools.price import HOURS_A_MONTH, UNKNOWN

SCOPE = "GPU nodes alone: control plane, system nodes, disks and traffic come on top"
"""What the estimate leaves out."""


def estimate(plans: Sequence[PoolPlan]) -> dict[str, Any]:
    """The output `estimatedHourly` of a cluster.

    Returns:
        `min` and `max` in USD per hour, each "unknown" where the price of any node in it is; `currency`,
        `source`, `asOf` (the oldest price), `scope`, and the same for each pool.
    """
    pools = {
        plan.name: {
            "min": _or_unknown(_times(plan, plan.pool.min)),
            "max": _or_unknown(_times(plan, plan.pool.max)),
            "machine": plan.shape.name,
            "capacity": plan.pool.capacity,
            "source": plan.price.source,
            "asOf": plan.price.as_of,
        }
        for plan in plans
    }
    return {
        "min": _or_unknown(_total(_times(plan, plan.pool.min) for plan in plans)),
        "max": _or_unknown(_total(_times(plan, plan.pool.max) for plan in plans)),
        "currency": "USD",
        "source": "; ".join(dict.fromkeys(plan.price.source for plan in plans)),
        "asOf": min((plan.price.as_of for plan in plans if plan.price.as_of), default=""),
        "scope": SCOPE,
        "pools": pools,
    }


def cost_block(title: str, plans: Sequence[PoolPlan]) -> str:
    """A line for each pool, then the total; empty without pools.

    Args:
        title: What the pools belong to: `EKS cluster train`.
        plans: The pools.
    """
    if not plans:
        return ""
    rows = [("POOL", "MACHINE", "NODES", "MIN USD/HOUR", "MAX USD/HOUR", "MAX USD/MONTH", "PRICE")]
    rows += [_row(plan) for plan in plans]
    low = _total(_times(plan, plan.pool.min) for plan in plans)
    high = _total(_times(plan, plan.pool.max) for plan in plans)
    rows.append(("total", "", "", _text(low), _text(high), _text(_month(high)), ""))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [
        "  ".join(
            [cell.ljust(widths[i]) if i < 3 else cell.rjust(widths[i]) for i, cell in enumerate(row[:6])]
            + [row[6]]
        ).rstrip()
        for row in rows
    ]
    head = f"estimated cost of {title} (a month has {HOURS_A_MONTH:g} hours; {SCOPE}):"
    return "\n".join([head, *lines])


def _row(plan: PoolPlan) -> tuple[str, str, str, str, str, str, str]:
    pool, price = plan.pool, plan.price
    ways = "" if pool.capacity == "on_demand" else f" {pool.capacity}"
    high = _times(plan, pool.max)
    dated = f"{price.source}, {price.as_of}" if price.as_of else price.source
    return (
        plan.name,
        f"{plan.shape.name} ({plan.shape.gpus} x {plan.shape.gpu}){ways}",
        f"{pool.min}-{pool.max}" if plan.autoscaled else f"{pool.max}",
        _text(_times(plan, pool.min)),
        _text(high),
        _text(_month(high)),
        dated,
    )


def _times(plan: PoolPlan, nodes: int) -> float | None:
    return None if plan.price.hourly_usd is None else plan.price.hourly_usd * nodes


def _total(each: Iterable[float | None]) -> float | None:
    """The sum; unknown as soon as one part is."""
    found = list(each)
    return None if None in found else sum(part or 0.0 for part in found)


def _month(hourly: float | None) -> float | None:
    return None if hourly is None else hourly * HOURS_A_MONTH


def _text(usd: float | None) -> str:
    return UNKNOWN if usd is None else f"{usd:,.2f}"


def _or_unknown(usd: float | None) -> float | str:
    return UNKNOWN if usd is None else round(usd, 4)
