"""What a stack costs, as a table and as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cli.state import HOURS_A_MONTH, Node


def as_data(stack: str, nodes: Sequence[Node]) -> dict[str, Any]:
    """The cost of a stack as plain data; a price that nobody knows is null and is not in the totals."""
    hourly = _total(nodes)
    return {
        "stack": stack,
        "nodes": [
            {
                "name": node.name,
                "id": node.id,
                "candidate": node.candidate,
                "hourlyUsd": node.hourly_usd,
                "monthlyUsd": None if node.monthly_usd is None else round(node.monthly_usd, 2),
                "note": node.note,
            }
            for node in nodes
        ],
        "totalHourlyUsd": hourly,
        "totalMonthlyUsd": round(hourly * HOURS_A_MONTH, 2),
        "unpriced": sum(node.hourly_usd is None for node in nodes),
    }


def as_table(stack: str, nodes: Sequence[Node]) -> str:
    """The same for a person."""
    if not nodes:
        return f"stack {stack} has no node and costs nothing"
    hourly = _total(nodes)
    rows = [("NODE", "CANDIDATE", "USD/HOUR", "USD/MONTH", "")]
    rows += [
        (node.name, node.candidate, _usd(node.hourly_usd, 4), _usd(node.monthly_usd, 2), node.note)
        for node in nodes
    ]
    rows.append(("total", "", _usd(hourly, 4), _usd(hourly * HOURS_A_MONTH, 2), ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                row[1].ljust(widths[1]),
                row[2].rjust(widths[2]),
                row[3].rjust(widths[3]),
                row[4],
            ]
        ).rstrip()
        for row in rows
    ]
    unknown = sum(node.hourly_usd is None for node in nodes)
    if unknown:
        lines.append(f"the price of {unknown} node(s) is unknown and not in the total")
    return "\n".join(lines)


def _total(nodes: Sequence[Node]) -> float:
    return round(sum(node.hourly_usd or 0.0 for node in nodes), 6)


def _usd(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:,.{digits}f}"
