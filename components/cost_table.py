"""What the declared nodes will most likely cost, as the block that a preview prints. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamic_providers.estimates import HOURS_A_MONTH

SHOWN_GROUPS = 20
"""Groups of equal nodes that are listed; what is more is folded into one line."""


@dataclass(frozen=True, slots=True)
class NodeCost:
    """One node.

    Attributes:
        cluster: Name of its cluster.
        node: Its name.
        candidate: What it will most likely be, or is, in words.
        hourly_usd: Estimate for a node to come, actual price of one that lives, USD per hour; None if
            unknown.
        is_new: It does not exist yet.
    """

    cluster: str
    node: str
    candidate: str
    hourly_usd: float | None
    is_new: bool


def node_cost(cluster: str, node: str, outputs: Mapping[str, Any]) -> NodeCost:
    """Reads the outputs of a node in a preview.

    Args:
        cluster: Name of its cluster.
        node: Its name.
        outputs: `candidate`, `hourlyUsd`, `estimatedHourlyUsd`; a value that is not known yet may be anything
            but a number or a mapping.
    """
    actual, estimated = _number(outputs.get("hourlyUsd")), _number(outputs.get("estimatedHourlyUsd"))
    candidate = outputs.get("candidate")
    words = candidate_words(candidate) if isinstance(candidate, Mapping) else "not known yet"
    return NodeCost(cluster, node, words, estimated if actual is None else actual, actual is None)


def candidate_words(candidate: Mapping[str, Any]) -> str:
    """`runpod EU-RO-1 RTX4090 x1`."""
    count = f"x{int(candidate.get('gpuCount') or 1)}"
    capacity = candidate.get("capacity", "on_demand")
    words = [candidate.get("cloud"), candidate.get("region"), candidate.get("gpu"), count]
    words += [] if capacity == "on_demand" else [capacity]
    return " ".join(str(word) for word in words if word)


def cost_table(nodes: Sequence[NodeCost]) -> str:
    """A line for each node, equal neighbours folded, then totals; empty where nothing new is declared.

    Args:
        nodes: Every declared node, cluster by cluster.
    """
    if not any(node.is_new for node in nodes):
        return ""
    groups = list(_groups(nodes))
    rows = [("NODE", "CANDIDATE", "USD/HOUR", "USD/MONTH", "")]
    rows += [_row(group) for group in groups[:SHOWN_GROUPS]]
    if len(groups) > SHOWN_GROUPS:
        rest = [node for group in groups[SHOWN_GROUPS:] for node in group]
        rows.append((f"… {len(rest)} more", "", *_prices(_total(rest)), ""))
    clusters = list(dict.fromkeys(node.cluster for node in nodes))
    if len(clusters) > 1:
        for cluster in clusters:
            members = [node for node in nodes if node.cluster == cluster]
            rows.append((f"cluster {cluster}", _count(members), *_prices(_total(members)), ""))
    rows.append(("total", _count(nodes), *_prices(_total(nodes)), ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(
            [
                name.ljust(widths[0]),
                what.ljust(widths[1]),
                hour.rjust(widths[2]),
                month.rjust(widths[3]),
                note,
            ]
        ).rstrip()
        for name, what, hour, month, note in rows
    ]
    unpriced = sum(node.hourly_usd is None for node in nodes)
    if unpriced:
        lines.append(f"the price of {unpriced} node(s) is not known and not in the totals")
    return "estimated cost (a month has 730 hours):\n" + "\n".join(lines)


def _groups(nodes: Iterable[NodeCost]) -> Iterable[list[NodeCost]]:
    """Neighbours of one cluster with the same candidate and price."""
    group: list[NodeCost] = []
    for node in nodes:
        if group and _key(group[0]) != _key(node):
            yield group
            group = []
        group.append(node)
    if group:
        yield group


def _key(node: NodeCost) -> tuple[object, ...]:
    return (node.cluster, node.candidate, node.hourly_usd, node.is_new)


def _row(group: Sequence[NodeCost]) -> tuple[str, str, str, str, str]:
    first, last = group[0], group[-1]
    price = first.hourly_usd
    note = "" if first.is_new else "exists"
    if len(group) == 1:
        return (first.node, first.candidate, *_prices(price), note)
    each = "" if price is None else f"{price:,.2f} each"
    total = None if price is None else price * len(group)
    return (
        f"{first.node} … {last.node}",
        f"{len(group)} of {first.candidate}",
        *_prices(total),
        ", ".join(x for x in (each, note) if x),
    )


def _prices(hourly: float | None) -> tuple[str, str]:
    if hourly is None:
        return ("unknown", "unknown")
    return (f"{hourly:,.2f}", f"{hourly * HOURS_A_MONTH:,.2f}")


def _total(nodes: Iterable[NodeCost]) -> float:
    return sum(node.hourly_usd or 0.0 for node in nodes)


def _count(nodes: Sequence[NodeCost]) -> str:
    return f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
