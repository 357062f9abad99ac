"""What a node has cost: the price of the state against the cloud's bill, and idle money. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Decimal

from cli.spend_period import Period, Span, merged_s
from cli.state import HOURS_A_MONTH, Node
from gpu_clouds.billing import BILLED_BY_S, Charge
from gpu_clouds.models import InstanceState

BY_HOURS = "running hours x price"
"""Source of an actual amount where there is no bill to read."""
_MICRO = Decimal("0.000001")
_PAID = frozenset({InstanceState.PENDING, InstanceState.RUNNING, InstanceState.READY, InstanceState.STOPPING})
"""States in which a cloud charges for the machine itself, as far as its state tells."""
_GONE = frozenset({InstanceState.DELETING, InstanceState.GONE})


@dataclass(frozen=True, slots=True)
class Use:
    """When a node was used.

    Attributes:
        busy: Spans of time in which something ran on it; None where nobody knows.
        source: Who says so; why nobody knows where nobody does.
    """

    busy: tuple[Span, ...] | None = None
    source: str = "nothing says when it was used"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was learnt of one node.

    Attributes:
        at: When, by its cloud's clock.
        state: The node's; None where its cloud did not answer.
        begun: Since when it runs; None where nobody knows.
        note: What a person should know of `begun`.
        hourly_usd: Its price now as its cloud shows it, USD; None where it shows none.
        charges: What it was billed in the period; None where there is no bill.
        bill: Where the charges come from.
        use: When it was used.
        problem: What could not be read; empty where all could.
    """

    at: datetime
    state: InstanceState | None = None
    begun: datetime | None = None
    note: str = ""
    hourly_usd: float | None = None
    charges: tuple[Charge, ...] | None = None
    bill: str = ""
    use: Use = field(default_factory=Use)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One node's money in the period, USD; None is unknown.

    Attributes:
        node: The node.
        read_at: When its cloud was read, by that cloud's clock.
        running_s: For how long it ran, seconds.
        estimated: Price of the state x running hours.
        actual: What it did cost.
        storage: Of it for disks.
        idle: What was paid while nobody used it.
        source: Where `actual` comes from.
        idle_source: Where `idle` comes from, or why it is unknown.
        notes: What a person should know besides.
        problem: What could not be read.
    """

    node: Node
    read_at: datetime
    running_s: Decimal | None
    estimated: Decimal | None
    actual: Decimal | None
    storage: Decimal | None
    idle: Decimal | None
    source: str
    idle_source: str
    notes: tuple[str, ...] = ()
    problem: str = ""

    @property
    def difference(self) -> Decimal | None:
        """How much more than estimated it did cost."""
        if self.actual is None or self.estimated is None:
            return None
        return self.actual - self.estimated

    @property
    def monthly(self) -> Decimal | None:
        """The price of the state for a month of 730 hours."""
        return _price(self.node.hourly_usd, Decimal(HOURS_A_MONTH * 3600))


def line(node: Node, reading: Reading, period: Period) -> Line:
    """What one node has cost.

    Args:
        node: As the state has it.
        reading: What its cloud and its users say.
        period: What counts.
    """
    notes: list[str] = [reading.note] if reading.note else []
    span = _running(reading, period, notes)
    running = _running_s(reading, span)
    actual, storage, source = _actual(node, reading, running, notes)
    idle, idle_source = _idle(node, reading, span)
    return Line(
        node=node,
        read_at=reading.at,
        running_s=running,
        estimated=None if running is None else _price(node.hourly_usd, running),
        actual=actual,
        storage=storage,
        idle=idle,
        source=source,
        idle_source=idle_source,
        notes=tuple(notes),
        problem=reading.problem,
    )


def total(amounts: Iterable[Decimal | None]) -> Decimal:
    """The sum of the known ones, exact: each is a whole number of micro-dollars."""
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def _running(reading: Reading, period: Period, notes: list[str]) -> Span | None:
    """The part of the period in which the node has run; None where nobody knows. Empty where it has not."""
    if reading.state is None:
        return None
    if reading.state in _GONE:
        notes.append("is not in its cloud any more")
        return None
    if reading.state not in _PAID:
        notes.append(f"is {reading.state}: since when, its cloud does not say")
        return None
    if reading.begun is None:
        return None
    ahead = (reading.begun - reading.at).total_seconds()
    if ahead > 0:
        notes.append(f"its cloud's clock is at least {ahead:.0f} s ahead of this machine's")
    return period.cut(reading.begun, reading.at) or (period.begin, period.begin)


def _running_s(reading: Reading, span: Span | None) -> Decimal | None:
    told = [charge.running_s for charge in reading.charges or ()]
    if told and all(seconds is not None for seconds in told):
        return total(told)
    return None if span is None else Decimal(repr((span[1] - span[0]).total_seconds()))


def _actual(
    node: Node, reading: Reading, running: Decimal | None, notes: list[str]
) -> tuple[Decimal | None, Decimal | None, str]:
    if reading.charges is not None:
        if not reading.charges and running:
            notes.append("its bill has no record of it yet")
        if any(charge.total_usd is None for charge in reading.charges):
            return None, None, f"{reading.bill}: it has no amount for this period"
        billed = _rounded(total(charge.total_usd for charge in reading.charges))
        return billed, _rounded(total(charge.storage_usd for charge in reading.charges)), reading.bill
    price = node.hourly_usd if reading.hourly_usd is None else reading.hourly_usd
    if reading.problem or running is None or price is None:
        return None, None, "unknown"
    by = BILLED_BY_S.get(node.cloud, 1)
    whole = (running / by).to_integral_value(ROUND_CEILING) * by
    return _price(price, whole), None, BY_HOURS


def _idle(node: Node, reading: Reading, span: Span | None) -> tuple[Decimal | None, str]:
    if reading.state is InstanceState.STOPPED and reading.charges is not None:
        stopped = [charge for charge in reading.charges if charge.total_usd == charge.storage_usd]
        return _rounded(total(charge.total_usd for charge in stopped)), "billed while it was stopped"
    if reading.use.busy is None:
        return None, reading.use.source
    if span is None:
        return None, "its running hours are unknown"
    seconds = (span[1] - span[0]).total_seconds()
    unused = Decimal(repr(seconds)) - Decimal(repr(merged_s(reading.use.busy, span)))
    return _price(node.hourly_usd, unused), reading.use.source


def _price(hourly_usd: float | None, seconds: Decimal) -> Decimal | None:
    return None if hourly_usd is None else _rounded(Decimal(repr(hourly_usd)) * seconds / 3600)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_MICRO)
