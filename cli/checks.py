"""One thing that the doctor has looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "fail"]
OK: Level = "ok"
WARN: Level = "warn"
FAIL: Level = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and what was seen.

    Attributes:
        name: What was looked at.
        level: `ok`, `warn` or `fail`.
        text: What was seen; free of secrets.
        next: What to do; empty where nothing is to be done.
    """

    name: str
    level: Level
    text: str
    next: str = ""


def as_text(check: Check) -> str:
    """One line for a person."""
    step = f"; {check.next}" if check.next else ""
    return f"{check.level:<4}  {check.name:<24}  {check.text}{step}"


def as_data(checks: Sequence[Check]) -> dict[str, Any]:
    """All of them as plain data."""
    return {
        "ok": all(check.level != FAIL for check in checks),
        "checks": [
            {"name": check.name, "level": check.level, "text": check.text, "next": check.next}
            for check in checks
        ],
    }
