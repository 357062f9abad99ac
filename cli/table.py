"""Plain tables for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows as aligned text.

    Args:
        rows: The head first; all of the same length.
        right: Columns whose text stands at their right edge, such as numbers.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def usd(value: float | None, digits: int = 4) -> str:
    """A price, or that nobody knows it."""
    return "unknown" if value is None else f"{value:,.{digits}f}"
