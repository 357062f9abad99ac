"""What happens to everything that has no price of its own: equal changes of one type are one row."""

from __future__ import annotations

from collections.abc import Sequence

from cli.preview.lines import ACTIONS, Line
from cli.preview.markdown import folded, safe, table
from cli.preview.node_rows import OPEN_ROWS

_NAMES = 5
"""Names in one row."""


def resources_section(lines: Sequence[Line], rows: int, cell: int) -> str:
    """The table of other resources that change.

    Args:
        lines: All of them.
        rows: How many rows it may have.
        cell: Characters of a cell.
    """
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for line in lines:
        if not line.is_priced and line.action != "same":
            groups.setdefault((line.action, line.type, line.why), []).append(line.name)
    if not groups:
        return ""
    found = [
        (
            ACTIONS[action],
            _names(names, cell),
            safe(kind, cell),
            "<br>".join(safe(each, cell) for each in why),
        )
        for (action, kind, why), names in list(groups.items())[:rows]
    ]
    if len(groups) > rows:
        rest = list(groups.values())[rows:]
        found.append(("…", f"{sum(len(names) for names in rest)} more", "", ""))
    text = table(("Change", "Other resources", "Type", "Why"), found)
    many = sum(len(names) for names in groups.values())
    return text if len(found) <= OPEN_ROWS else folded(f"{many} other resources", text)


def _names(names: Sequence[str], cell: int) -> str:
    shown = ", ".join(safe(name, max(20, cell // 3)) for name in names[:_NAMES])
    return f"{shown} and {len(names) - _NAMES} more" if len(names) > _NAMES else shown
