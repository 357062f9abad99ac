"""Money of a report: an amount may be a range, and parts of it may be unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cli.state import HOURS_A_MONTH

UNKNOWN = "unknown"
"""What stands where a number is not known."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What something costs, USD per hour.

    Attributes:
        low: The least that it can be.
        high: The most: an autoscaled pool has a range.
        unknown: How many parts have no known price; they are in neither number.
    """

    low: float = 0.0
    high: float = 0.0
    unknown: int = 0

    @classmethod
    def of(cls, hourly_usd: float | None) -> Amount:
        """The amount of one thing; None is unknown."""
        return cls(unknown=1) if hourly_usd is None else cls(hourly_usd, hourly_usd)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.low + other.low, self.high + other.high, self.unknown + other.unknown)

    @property
    def is_unknown(self) -> bool:
        """Nothing of it is known."""
        return self.unknown > 0 and not self.high

    def hour(self) -> str:
        """In words: `3.99`, `0.00 to 7.98`, `unknown`."""
        return self._text(1)

    def month(self) -> str:
        """The same for a month of 730 hours."""
        return self._text(HOURS_A_MONTH)

    def _text(self, hours: float) -> str:
        if self.is_unknown:
            return UNKNOWN
        low, high = usd(self.low * hours), usd(self.high * hours)
        known = low if low == high else f"{low} to {high}"
        return f"{known} + {UNKNOWN}" if self.unknown else known


def total(amounts: Iterable[Amount]) -> Amount:
    """Their sum."""
    low = high = 0.0
    unknown = 0
    for amount in amounts:
        low, high, unknown = low + amount.low, high + amount.high, unknown + amount.unknown
    return Amount(low, high, unknown)


def change(before: Amount, after: Amount, hours: float = 1) -> str:
    """The difference in words: `+3.98`, `-0.44`, `±0.00`, `+0.00 to +7.98`, `unknown`."""
    if before.unknown or after.unknown:
        return UNKNOWN
    low = _signed((after.low - before.low) * hours)
    high = _signed((after.high - before.high) * hours)
    return low if low == high else f"{low} to {high}"


def usd(value: float) -> str:
    """A price with two digits; four where two would say nothing."""
    return f"{value:,.4f}" if 0 < abs(value) < 0.01 else f"{value:,.2f}"


def _signed(value: float) -> str:
    text = usd(abs(value))
    return f"±{text}" if not float(text.replace(",", "")) else f"{'+' if value > 0 else '-'}{text}"
