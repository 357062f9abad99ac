"""Errors, warnings and findings of policies."""

from __future__ import annotations

from collections.abc import Sequence

from cli.preview.document import STACK_TYPE, Preview
from cli.preview.markdown import folded, safe
from cli.preview.messages import Finding, Message

_OPEN = 12
"""Entries that are shown open; more are folded."""
_LINES = 3
"""Lines of one finding or warning."""
_ERROR_LINES = 12
"""Lines of one error: a head line, then attempts or rules."""
_LEVELS = {"mandatory": "must be fixed", "advisory": "advice", "remediate": "put right"}


def messages_section(messages: Sequence[Message], rows: int, cell: int) -> str:
    """Errors first, then warnings.

    Args:
        messages: All of them.
        rows: How many are listed.
        cell: Characters of a line.
    """
    ordered = sorted(messages, key=lambda message: message.severity != "error")
    kinds = [
        f"{kind.capitalize()}s" for kind in ("error", "warning") if any(m.severity == kind for m in messages)
    ]
    return _list(" and ".join(kinds).capitalize(), [_message(m, cell) for m in ordered], rows)


def findings_section(preview: Preview, rows: int, cell: int) -> str:
    """What policies found, mandatory ones first; that they ran and found nothing is said too.

    Args:
        preview: Of which preview.
        rows: How many are listed.
        cell: Characters of a line.
    """
    if not preview.findings:
        packs = ", ".join(safe(name, 40) for name in preview.packs[:5])
        return f"Policies ({packs}): no finding." if packs and not preview.failed else ""
    found = sorted(set(preview.findings), key=lambda f: (f.level != "mandatory", f.policy, f.urn))
    must = sum(each.level == "mandatory" for each in found)
    head = (
        f"Policies: {must} to fix, {len(found) - must} other"
        if must < len(found)
        else f"Policies: {must} to fix"
    )
    return _list(head, [_finding(each, cell) for each in found], rows)


def _message(message: Message, cell: int) -> str:
    most = _ERROR_LINES if message.severity == "error" else _LINES
    return _entry(f"**{message.severity}**", _name(message.urn), message.text, most, max(cell, 160) * 2)


def _finding(finding: Finding, cell: int) -> str:
    level = _LEVELS.get(finding.level, finding.level)
    severity = f", {finding.severity}" if finding.severity else ""
    head = f"**{safe(finding.policy, 60)}** ({safe(level, 30)}{safe(severity, 20)})"
    return _entry(head, _name(finding.urn), finding.text, _LINES, cell * 2)


def _entry(head: str, name: str, text: str, most: int, cell: int) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    more = len(lines) - most
    shown = lines if more <= 0 else [*lines[: most - 1], f"… {more + 1} more lines"]
    about = f" {safe(name, 60)}:" if name else ":"
    body = "<br>".join(safe(line, cell) for line in shown)
    return f"- {head}{about} {body}"


def _name(urn: str) -> str:
    """The resource's name; none for the stack as a whole."""
    return "" if f"::{STACK_TYPE}::" in urn else urn.rpartition("::")[2]


def _list(head: str, entries: Sequence[str], rows: int) -> str:
    if not entries:
        return ""
    shown = [*entries[:rows], f"- … {len(entries) - rows} more"] if len(entries) > rows else list(entries)
    if len(shown) <= _OPEN:
        return f"**{head}**\n\n" + "\n".join(shown)
    first, rest = shown[:_OPEN], shown[_OPEN:]
    return (
        f"**{head}**\n\n"
        + "\n".join(first)
        + "\n\n"
        + folded(f"{len(entries) - _OPEN} more", "\n".join(rest))
    )
