"""The span of time that `gpuplane spend` counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cli.errors import REFUSED, CliError

Span = tuple[datetime, datetime]

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_AGO = re.compile(r"([1-9]\d{0,4})([hd])")


@dataclass(frozen=True, slots=True)
class Period:
    """From a full hour on: bills are told by the hour.

    Attributes:
        begin: Where it begins, UTC.
        end: Where it ends, excluded, UTC; None: now, whatever time it is where a node is.
    """

    begin: datetime
    end: datetime | None = None

    def cut(self, first: datetime, last: datetime) -> Span | None:
        """The part of a span that lies in the period; None where none does."""
        first, last = max(first, self.begin), last if self.end is None else min(last, self.end)
        return (first, last) if first < last else None

    def __str__(self) -> str:
        until = "now" if self.end is None else f"{self.end:%Y-%m-%d %H:%M}"
        return f"{self.begin:%Y-%m-%d %H:%M} to {until} UTC"


def read_period(since: str, month: str, now: datetime) -> Period:
    """The period that a person asks for; by default this month, UTC.

    Args:
        since: A date or time in ISO 8601 (UTC where it says no zone), or `36h`, `7d`: so long ago; empty for
            none. Counted from the full hour before it.
        month: `2026-11`; empty for none.
        now: The time.

    Raises:
        CliError: It makes no sense, or lies in the future.
    """
    if since and month:
        raise CliError("give --since or --month, not both", REFUSED)
    if since:
        period = Period(_hour(_since(since, now)))
    else:
        period = _month(month or now.astimezone(UTC).strftime("%Y-%m"), now)
    if period.begin > now:
        raise CliError(f"{since or month} is in the future: nothing is spent yet", REFUSED)
    return period


def merged_s(spans: Iterable[Span], inside: Span) -> float:
    """For how long at least one of the spans lasts inside another one, seconds; overlaps count once.

    Args:
        spans: In any order.
        inside: What lies outside of it does not count.
    """
    first, last = inside
    total, until = 0.0, first
    for begin, end in sorted(spans):
        begin, end = max(begin, until), min(end, last)
        if begin < end:
            total += (end - begin).total_seconds()
            until = end
    return total


def _month(text: str, now: datetime) -> Period:
    found = _MONTH.fullmatch(text)
    year = int(found[1]) if found else 0
    if found is None or not 2000 <= year < 9999:
        raise CliError(f"--month {text}: give a month such as 2026-11", REFUSED)
    begin = datetime(year, int(found[2]), 1, tzinfo=UTC)
    end = (begin + timedelta(days=32)).replace(day=1)
    return Period(begin, None if end > now else end)


def _since(text: str, now: datetime) -> datetime:
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - (timedelta(hours=int(ago[1])) if ago[2] == "h" else timedelta(days=int(ago[1])))
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CliError(
            f"--since {text}: give a date (2026-11-01), a time (2026-11-01T08:00+01:00), 36h or 7d", REFUSED
        ) from None


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
