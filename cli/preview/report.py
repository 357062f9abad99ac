"""The report: sections in a fixed order, cut until they fit into a comment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cli.preview.candidates import candidates_section
from cli.preview.cost_section import cost_section, cost_totals
from cli.preview.document import Preview
from cli.preview.lines import ACTIONS, Line, lines_of
from cli.preview.markdown import safe, word
from cli.preview.node_rows import nodes_section
from cli.preview.quotes import Quotes, with_estimate
from cli.preview.resource_rows import resources_section
from cli.preview.said_section import findings_section, messages_section

MARKER = "<!-- gpuplane preview-report"
"""What the first line of every report begins with."""
LIMIT_BYTES = 60_000
"""Size of a report: GitHub takes 65,536 characters in a comment."""
_STEPS = (
    *((rows, 200) for rows in (1000, 800, 650, 500, 400, 300, 250)),
    *((200, 160), (150, 160), (100, 160), (50, 120), (20, 120), (10, 100), (5, 80), (2, 60)),
)
"""Rows of each table and characters of each cell that are tried, until the report fits."""


def marker(stack: str) -> str:
    """The first line of the reports of a stack: the comment that begins with it is the one to update."""
    return f"{MARKER}: {word(stack)} -->"


def render(
    preview: Preview,
    *,
    resources: Iterable[Mapping[str, Any]] = (),
    quotes: Quotes | None = None,
    notes: Sequence[str] = (),
    limit: int = LIMIT_BYTES,
) -> str:
    """The report as Markdown.

    Args:
        preview: What the preview printed.
        resources: Those of the state before it (`deployment.resources` of `pulumi stack export`): what a
            preview that failed did not reach costs money too.
        quotes: Prices and availability of candidates; by default no availability and no comparison.
        notes: Further lines, such as which cloud could not be asked.
        limit: Bytes that it may have at most; a cut report says so.
    """
    quotes = quotes or {}
    lines = [with_estimate(line, quotes) for line in lines_of(preview, resources)]
    text = ""
    for rows, cell in _STEPS:
        parts = _sections(preview, lines, quotes, notes, rows, cell)
        text = "\n\n".join(part for part in parts if part) + "\n"
        if len(text.encode()) <= limit:
            break
    return text


def _sections(
    preview: Preview, lines: list[Line], quotes: Quotes, notes: Sequence[str], rows: int, cell: int
) -> Iterator[str]:
    yield f"{marker(preview.stack)}\n{_title(preview, lines)}"
    if preview.failed:
        why = (
            " because of its policies" if preview.is_complete else "; what it did not reach is missing below"
        )
        yield f"**The preview failed{why}.**"
    yield messages_section(preview.messages, rows, cell)
    yield findings_section(preview, rows, cell)
    yield cost_totals(preview, lines, quotes)
    yield "\n".join(f"- {safe(note, 300)}" for note in (*notes, *preview.notes)[:rows])
    yield nodes_section(lines, rows, cell)
    if preview.is_complete:
        yield cost_section(lines, rows, cell)
    yield resources_section(lines, rows, cell)
    yield candidates_section(lines, quotes, rows, cell)


def _title(preview: Preview, lines: Sequence[Line]) -> str:
    counted = {action: sum(line.action == action for line in lines) for action in ACTIONS}
    shown = sum(step.op == "same" for step in preview.steps)
    counted["same"] = max(counted["same"], shown + preview.unseen - 1)  # the stack itself is one of them
    told = [f"{count} {ACTIONS[action]}" for action, count in counted.items() if count]
    name = f" of {safe(preview.stack, 60)}" if preview.stack else ""
    return f"### Preview{name}: {', '.join(told) or 'nothing to do'}"
