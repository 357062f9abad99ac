"""What happens to each thing that costs money: equal neighbours are one row, many rows are folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cli.preview.cost_section import amounts, before_and_after
from cli.preview.lines import ACTIONS, Line
from cli.preview.markdown import folded, safe, table
from cli.preview.prices import Price

OPEN_ROWS = 12
"""Rows of a table that are shown open: with the rest of the report they fill about one screen."""
_HEAD = ("Change", "Node", "What", "USD/hour", "USD/month", "Why", "Price from")


def nodes_section(lines: Sequence[Line], rows: int, cell: int) -> str:
    """The table of nodes, SkyPilot clusters and pools of Kubernetes.

    Args:
        lines: All of them, in the order of a report.
        rows: How many rows it may have.
        cell: Characters of a cell.
    """
    priced = [line for line in lines if line.is_priced]
    if not priced:
        return ""
    groups = list(_groups(priced))
    found = [_row(group, cell) for group in groups[:rows]]
    if len(groups) > rows:
        rest = [line for group in groups[rows:] for line in group]
        before, after = before_and_after(rest)
        found.append(
            (
                "…",
                f"{len(rest)} more",
                "",
                amounts(before, after),
                amounts(before, after, monthly=True),
                "",
                "",
            )
        )
    text = table(_HEAD, found, right=(3, 4))
    return text if len(found) <= OPEN_ROWS else folded(f"{len(priced)} nodes and clusters", text)


def _groups(lines: Sequence[Line]) -> Iterator[list[Line]]:
    group: list[Line] = []
    for line in lines:
        if group and _key(group[0]) != _key(line):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _key(line: Line) -> tuple[object, ...]:
    prices = [(p.amount, p.what, p.source) if p else None for p in (line.before, line.after)]
    return (line.action, line.parent, line.why, *prices)


def _row(group: Sequence[Line], cell: int) -> tuple[str, ...]:
    first = group[0]
    before, after = before_and_after(group)
    name = safe(first.name, cell // 2)
    each = ""
    if len(group) > 1:
        name = f"{name} … {safe(group[-1].name, cell // 2)}"
        each = f" ({len(group)} at {_each(first)})"
    return (
        ACTIONS[first.action],
        name,
        _what(first.before, first.after, cell),
        amounts(before, after) + each,
        amounts(before, after, monthly=True),
        "<br>".join(safe(reason, cell) for reason in first.why),
        safe(first.after.source, cell) if first.after else "",
    )


def _each(line: Line) -> str:
    prices = [price.amount for price in (line.before, line.after) if price is not None]
    return amounts(prices[0], prices[-1]) if prices else "unknown"


def _what(before: Price | None, after: Price | None, cell: int) -> str:
    texts = [safe(price.what, cell) for price in (before, after) if price is not None and price.what]
    return " → ".join(dict.fromkeys(texts))
