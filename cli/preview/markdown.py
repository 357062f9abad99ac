"""Text from outside as safe Markdown: it can make no link, HTML, mention, table cell or list of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SPECIAL = re.compile(r"[\\`*_\[\]~|]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}
_ENTITY = re.compile("[&<>$]")
# Mentions and references are made of the rendered text, so an entity would not stop them; an
# invisible space does.
_REFERENCE = re.compile(r"([@#!%^])(?=[\w\"{])|(?<=\w)(:)(?=//)|\b(www)(?=\.)", re.IGNORECASE)
_INVISIBLE = "&#8203;"
# Controls, line separators, halves of pairs, and what turns the direction of text or hides it.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
_LEADING = re.compile(r"^([-+=#:]|\d+[.)])")


def safe(text: str, most: int = 200) -> str:
    """One line of text, as itself, in any place of a paragraph or table cell.

    Args:
        text: Whatever came from outside.
        most: Characters that are kept.
    """
    line = _UNSEEN.sub(" ", text).strip()
    if len(line) > most:
        line = line[: max(1, most - 1)].rstrip() + "…"
    line = _REFERENCE.sub(lambda found: f"{found[0]}\x00", line)
    line = _ENTITY.sub(lambda found: _ENTITIES[found[0]], line)
    line = _SPECIAL.sub(lambda found: "\\" + found[0], line)
    line = _LEADING.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", line)
    return line.replace("\x00", _INVISIBLE)


def word(text: str) -> str:
    """A name as it may stand in an HTML comment."""
    return re.sub(r"-{2,}|[^A-Za-z0-9._/-]", "_", text)[:100]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table of cells that are Markdown already.

    Args:
        head: Its first row.
        rows: Each as long as the head.
        right: Columns of numbers.
    """
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def folded(summary: str, body: str) -> str:
    """A block that is closed at first.

    Args:
        summary: Its title; our own words and numbers only, because it is HTML.
        body: Markdown.
    """
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
