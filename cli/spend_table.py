"""What a stack has cost, as a table and as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from cli.spend_lines import Line, total
from cli.spend_period import Period
from cli.table import table

_HEAD = (
    "NODE",
    "CANDIDATE",
    "HOURS",
    "ESTIMATED",
    "ACTUAL",
    "DISKS",
    "DIFFERENCE",
    "IDLE",
    "USD/MONTH",
    "ACTUAL FROM",
)


@dataclass(frozen=True, slots=True)
class Spending:
    """What a stack has cost in a period.

    Attributes:
        stack: Name of the stack.
        period: The period.
        read_at: When it was read, by this machine's clock.
        lines: One for each node and cluster of the state.
        others: Credential set -> what its bill has besides: other stacks, and nodes that have ended, USD.
        problems: What did not answer -> why.
    """

    stack: str
    period: Period
    read_at: datetime
    lines: Sequence[Line]
    others: Mapping[str, Decimal] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether something that should have been read could not be."""
        return bool(self.problems) or any(line.problem for line in self.lines)


def as_data(spending: Spending) -> dict[str, Any]:
    """The spending as plain data; what nobody knows is null and is not in the totals."""
    lines = spending.lines
    end = spending.period.end
    compared = [line for line in lines if line.difference is not None]
    return {
        "stack": spending.stack,
        "since": spending.period.begin.isoformat(),
        "until": None if end is None else end.isoformat(),
        "readAt": spending.read_at.isoformat(timespec="seconds"),
        "nodes": [_line(line) for line in lines],
        "totals": {
            "estimatedUsd": _number(total(line.estimated for line in lines)),
            "actualUsd": _number(total(line.actual for line in lines)),
            "differenceUsd": _number(total(line.difference for line in lines)),
            "idleUsd": _number(total(line.idle for line in lines)),
            "monthlyUsd": _number(total(line.monthly for line in lines)),
            "notCompared": len(lines) - len(compared),
            "idleUnknown": sum(line.idle is None for line in lines),
        },
        "otherBilledUsd": {name: _number(amount) for name, amount in spending.others.items()},
        "problems": dict(spending.problems),
    }


def as_table(spending: Spending) -> str:
    """The same for a person."""
    head = f"stack {spending.stack}, {spending.period}, USD; read {spending.read_at:%Y-%m-%d %H:%M} UTC"
    lines = spending.lines
    if not lines:
        return "\n".join([f"{head}\nthe state has no node", *_others(spending)])
    rows = [_HEAD, *(_row(line) for line in lines)]
    sums = [total(getattr(line, name) for line in lines) for name in ("estimated", "actual", "storage")]
    rest = [total(getattr(line, name) for line in lines) for name in ("difference", "idle", "monthly")]
    rows.append(("total", "", "", *(f"{amount:,.2f}" for amount in (*sums, *rest)), ""))
    text = [head, table(rows, right=range(2, 9))]
    unknown = sum(line.difference is None for line in lines)
    if unknown:
        text.append(f"{unknown} of {len(lines)} could not be compared; what is unknown is in no total")
    text += _shared((line.node.name, note) for line in lines for note in line.notes)
    text += [f"idle of {each}" for each in _shared((line.node.name, line.idle_source) for line in lines)]
    return "\n".join([*text, *_others(spending)])


def _row(line: Line) -> tuple[str, ...]:
    hours = "unknown" if line.running_s is None else f"{line.running_s / 3600:,.2f}"
    amounts = (line.estimated, line.actual, line.storage, line.difference, line.idle, line.monthly)
    disks = "" if line.storage is None else _usd(line.storage)
    shown = [_usd(amount) for amount in amounts]
    shown[2] = disks
    return (
        line.node.name,
        line.node.candidate,
        hours,
        *shown,
        line.source if not line.problem else "did not answer",
    )


def _shared(notes: Iterable[tuple[str, str]]) -> list[str]:
    """What is said of nodes, once for all that it is said of."""
    by_note: dict[str, list[str]] = {}
    for name, note in notes:
        by_note.setdefault(note, []).append(name)
    return [f"{_names(names)}: {note}" for note, names in by_note.items()]


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _others(spending: Spending) -> list[str]:
    return [
        f"credential set {name} was billed {amount:,.2f} besides: other stacks, and nodes that have ended"
        for name, amount in spending.others.items()
        if amount
    ]


def _line(line: Line) -> dict[str, Any]:
    return {
        "name": line.node.name,
        "id": line.node.id,
        "cloud": line.node.cloud,
        "credentials": line.node.credentials,
        "candidate": line.node.candidate,
        "hourlyUsd": line.node.hourly_usd,
        "monthlyUsd": _number(line.monthly),
        "hours": None if line.running_s is None else round(float(line.running_s) / 3600, 6),
        "estimatedUsd": _number(line.estimated),
        "actualUsd": _number(line.actual),
        "storageUsd": _number(line.storage),
        "differenceUsd": _number(line.difference),
        "idleUsd": _number(line.idle),
        "source": line.source,
        "idleSource": line.idle_source,
        "readAt": line.read_at.isoformat(timespec="seconds"),
        "notes": list(line.notes),
        "problem": line.problem or None,
    }


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _usd(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"
