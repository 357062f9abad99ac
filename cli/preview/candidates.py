"""What may be rented for each node, in the order in which it is tried, and what of it is to be had now."""

from __future__ import annotations

from collections.abc import Sequence

from cli.preview.amounts import usd
from cli.preview.lines import Line
from cli.preview.markdown import folded, safe, table
from cli.preview.quotes import SPOT, Key, Quotes, key_of, words
from cli.state import NODE_TYPE, natural

_HEAD = ("Nodes", "Candidate", "USD/hour", "Available now", "The other way", "Price from")


def candidates_section(lines: Sequence[Line], quotes: Quotes, rows: int, cell: int) -> str:
    """A folded table of candidates; nodes with the same ones are named once.

    Args:
        lines: All of them.
        quotes: Prices and availability.
        rows: How many rows it may have.
        cell: Characters of a cell.
    """
    groups: dict[tuple[Key, ...], list[Line]] = {}
    for line in lines:
        if line.type == NODE_TYPE and line.candidates and line.action != "delete":
            groups.setdefault(tuple(key_of(each) for each in line.candidates), []).append(line)
    found = [
        row
        for keys, members in groups.items()
        for row in _rows(keys, sorted(members, key=lambda line: natural(line.name)), quotes, cell)
    ]
    if not found:
        return ""
    many = len(found)
    if many > rows:
        found = [*found[:rows], (f"… {many - rows} more", "", "", "", "", "")]
    return folded("Candidates of each node, in the order they are tried", table(_HEAD, found, right=(2,)))


def _rows(keys: Sequence[Key], members: Sequence[Line], quotes: Quotes, cell: int) -> list[tuple[str, ...]]:
    names = safe(members[0].name, cell // 2)
    if len(members) > 1:
        names = f"{names} … {safe(members[-1].name, cell // 2)} ({len(members)})"
    chosen = {key_of(line.after.candidate) for line in members if line.after and line.after.candidate}
    found: list[tuple[str, ...]] = []
    for place, key in enumerate(dict.fromkeys(keys)):
        quote = quotes.get(key)
        text = safe(words(key), cell)
        found.append(
            (
                names if place == 0 else "",
                f"**{text}**" if key in chosen else text,
                "" if quote is None else "unknown" if quote.hourly_usd is None else usd(quote.hourly_usd),
                safe((quote.availability if quote else "") or "not asked", 30),
                _other_way(key, quotes),
                safe(quote.source, cell) if quote else "",
            )
        )
    return found


def _other_way(key: Key, quotes: Quotes) -> str:
    """`spot 0.34 (-22 %)`; empty where nobody knows."""
    here, twin = quotes.get(key), quotes.get(key.twin)
    if twin is None or twin.hourly_usd is None:
        return ""
    way = "spot" if key.twin.capacity == SPOT else "on demand"
    share = ""
    if here is not None and here.hourly_usd:
        share = f" ({(twin.hourly_usd / here.hourly_usd - 1) * 100:+.0f} %)"
    return f"{way} {usd(twin.hourly_usd)}{share}"
