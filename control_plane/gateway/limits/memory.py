"""Limits of one process.

What is promised: in any 60 s no layer lets in more requests than its limit, nor requests for which more
tokens than its limit were reserved. What a request uses beyond its reservation counts when it is settled.
Money counts in the calendar month (UTC) in which a request was let in.

How: each layer counts by whole seconds and looks at the last 61 of them, which hold any 60 s up to now. What
a request did not use is given back in the second in which it was reserved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from control_plane.gateway.call import Call
from control_plane.gateway.declared import ApiKey, Declared, Limits
from control_plane.gateway.limits import answers
from control_plane.gateway.limits.layers import (
    UNLIMITED,
    WINDOW_S,
    Layer,
    Meter,
    ReadSpent,
    Reason,
    Second,
    month_of,
    nano_usd,
)
from control_plane.gateway.parts import Headers, Refused, Reservation
from control_plane.store.rows import Spent

Count = Callable[[str, str], None]
"""Told of each refusal: layer and reason, as metrics name them."""


class Taken:
    """Where a request's reservation was taken.

    Attributes:
        meters: From which.
        seconds: In which entry of each.
        month: In which month.
        money: How much money, 1e-9 USD.
    """

    __slots__ = ("meters", "money", "month", "seconds")

    def __init__(self, meters: Sequence[Meter], seconds: list[Second], month: str, money: int) -> None:
        self.meters = meters
        self.seconds = seconds
        self.month = month
        self.money = money


class MemoryLimiter:
    """Limits within one process.

    Args:
        monotonic: Monotonic seconds.
        wall: Seconds since the epoch, for calendar months.
        read_spent: What was spent in a month before this process began.
        count: Told of each refusal.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        read_spent: ReadSpent,
        count: Count,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._read_spent = read_spent
        self._count = count
        self._spent = Spent()
        self.month, self._month_ends = month_of(wall())
        self._instance = Meter(Layer.INSTANCE, "", Limits())
        self._tenants: dict[str, Meter] = {}
        self._keys: dict[str, Meter] = {}
        self._models: dict[str, Meter] = {}
        self._known: set[Meter] = set()

    @property
    def degraded(self) -> bool:
        """Whether limits are not shared although they should be: never here."""
        return False

    async def start(self) -> None:
        """Reads what was spent in this month. Before the first `apply`."""
        self._spent = await self._read_spent(self.month)
        self._instance.money = self.spent_before(self._instance)

    async def close(self) -> None:
        """Nothing is to be ended."""

    def apply(self, declared: Declared) -> None:
        """Takes over the limits that are declared now; what was used stays used."""
        self._instance.limit(declared.limits)
        known = {self._instance}
        for tenant in declared.tenants:
            known.add(self._limited(self._tenants, Layer.TENANT, tenant.name, tenant.limits))
        for key in declared.keys:
            known.add(self._limited(self._keys, Layer.KEY, key.id, key.limits))
        for model in declared.models:
            known.add(self._limited(self._models, Layer.MODEL, model.name, model.limits))
        served = {name for node in declared.nodes for name in node.models}
        for name in served - {model.name for model in declared.models}:
            known.add(self._limited(self._models, Layer.MODEL, name, Limits()))
        self._known = known

    def meters_of(self, call: Call, key: ApiKey) -> list[Meter]:
        """The layers of a request. A model that is asked for by an alias has two: the alias and itself."""
        tenant = self._tenants.get(call.tenant)
        if tenant is None:
            tenant = self._limited(self._tenants, Layer.TENANT, call.tenant, Limits())
        own = self._keys.get(key.id)
        if own is None:
            own = self._limited(self._keys, Layer.KEY, key.id, key.limits)
        meters = [self._instance, tenant, own]
        model = self._models.get(call.model)
        if model is not None:
            meters.append(model)
        if call.asked_model != call.model:
            alias = self._models.get(call.asked_model)
            if alias is not None:
                meters.append(alias)
        return meters

    def spent_before(self, meter: Meter) -> int:
        """What the store has said that was spent in this month, 1e-9 USD."""
        spent = self._spent
        if meter.layer is Layer.INSTANCE:
            return nano_usd(spent.instance)
        by = {Layer.TENANT: spent.tenants, Layer.KEY: spent.keys, Layer.MODEL: spent.models}[meter.layer]
        return nano_usd(by.get(meter.name, 0.0))

    def all_meters(self) -> Iterator[Meter]:
        """All of them."""
        yield self._instance
        for meters in (self._tenants, self._keys, self._models):
            yield from meters.values()

    async def take(self, call: Call, key: ApiKey, tokens: int, usd: float) -> Reservation:
        """Takes from all layers or from none; see `parts.Limiter`."""
        return self.take_now(self.meters_of(call, key), tokens, usd)

    def take_now(self, meters: Sequence[Meter], tokens: int, usd: float) -> Reservation:
        """As `take`, from these."""
        now = self._monotonic()
        second = int(now)
        self.turn_month()
        money = nano_usd(usd)
        gone = second - WINDOW_S
        for meter in meters:
            if meter.oldest <= gone:
                meter.forget(second)
            if (
                meter.requests >= meter.most_requests
                or meter.tokens + tokens > meter.most_tokens
                or meter.running >= meter.most_running
                or meter.money + money > meter.most_money
            ):
                raise self._refused(meters, tokens, money, now)
        return self.record(meters, second, tokens, usd, money)

    def record(
        self, meters: Sequence[Meter], second: int, tokens: int, usd: float, money: int
    ) -> Reservation:
        """Takes without looking at limits.

        Args:
            meters: From which.
            second: The present one.
            tokens: How many.
            usd: Money in USD.
            money: The same in 1e-9 USD.
        """
        seconds: list[Second] = []
        least_requests = least_tokens = UNLIMITED >> 1
        tight_requests = tight_tokens = None
        for meter in meters:
            entry = meter.newest
            if entry.at != second:
                entry = meter.second(second)
            entry.requests += 1
            entry.tokens += tokens
            seconds.append(entry)
            meter.running += 1
            meter.money += money
            meter.requests += 1
            meter.tokens += tokens
            left = meter.most_requests - meter.requests
            if left < least_requests:
                least_requests, tight_requests = left, meter
            left = meter.most_tokens - meter.tokens
            if left < least_tokens:
                least_tokens, tight_tokens = left, meter
        headers: Headers = []
        if tight_requests is not None:
            headers = answers.requests_headers(tight_requests.requests_header, least_requests, WINDOW_S)
        if tight_tokens is not None:
            headers += answers.tokens_headers(tight_tokens.tokens_header, least_tokens, WINDOW_S)
        return Reservation(tokens, usd, headers, Taken(meters, seconds, self.month, money))

    def settle(self, reservation: Reservation, tokens: int, usd: float) -> None:
        """Gives back what was not used; see `parts.Limiter`. Harmless when it was done already."""
        taken = reservation.taken
        if not isinstance(taken, Taken):
            return
        reservation.taken = None
        second = int(self._monotonic())
        back = reservation.tokens - tokens
        spent = nano_usd(usd) - taken.money
        if taken.month != self.month:
            spent = 0
        for meter, entry in zip(taken.meters, taken.seconds, strict=True):
            meter.running -= 1
            meter.money += spent
            if back < 0:
                entry = meter.second(second)
            elif entry.at < 0:
                continue
            entry.tokens -= back
            meter.tokens -= back

    def turn_month(self) -> None:
        """Begins a new month once it is there: no money spent, and without what is no longer declared."""
        wall = self._wall()
        if wall < self._month_ends:
            return
        self.month, self._month_ends = month_of(wall)
        self._spent = Spent()
        for meters in (self._tenants, self._keys, self._models):
            for name in [name for name, meter in meters.items() if meter not in self._known]:
                if not meters[name].running:
                    del meters[name]
        for meter in self.all_meters():
            meter.money = 0

    def month_left_s(self) -> int:
        """Whole seconds until the next month."""
        return max(1, math.ceil(self._month_ends - self._wall()))

    def refused(
        self,
        meter: Meter,
        reason: Reason,
        refused: Refused,
        requests_left: int | None = None,
        tokens_left: int | None = None,
    ) -> Refused:
        """Counts a refusal and gives it the headers of limits.

        Args:
            meter: Whose limit.
            reason: Which.
            refused: The refusal.
            requests_left: Requests that are left; None: as this process has counted.
            tokens_left: Tokens that are left; None: as this process has counted.
        """
        self._count(meter.layer.value, reason.value)
        reset = min(WINDOW_S, max(0, meter.newest.at + WINDOW_S - int(self._monotonic())))
        if meter.limits.requests_per_minute:
            if requests_left is None:
                requests_left = meter.most_requests - meter.requests
            refused.headers += answers.requests_headers(meter.requests_header, requests_left, reset)
        if meter.limits.tokens_per_minute:
            if tokens_left is None:
                tokens_left = meter.most_tokens - meter.tokens
            refused.headers += answers.tokens_headers(meter.tokens_header, tokens_left, reset)
        return refused

    def never(self, meters: Sequence[Meter], tokens: int, money: int) -> Refused | None:
        """The refusal of a request that no waiting would let in; None for any other."""
        for meter in meters:
            limit = meter.limits.tokens_per_minute
            if limit and tokens > limit:
                return self.refused(meter, Reason.TOKENS, answers.never_fits(meter.layer, limit, tokens))
            budget = nano_usd(meter.limits.budget_usd)
            if budget and money > budget:
                refused = answers.over_budget(meter.layer, budget, meter.money, money, 0)
                return self.refused(meter, Reason.BUDGET, refused)
        return None

    def _refused(self, meters: Sequence[Meter], tokens: int, money: int, now: float) -> Refused:
        """The limit with the longest wait: before that the request would be refused again."""
        if (never := self.never(meters, tokens, money)) is not None:
            return never
        longest = 0
        for meter in meters:
            meter.forget(int(now))
            if meter.money + money > meter.most_money:
                wait = self.month_left_s()
                if wait > longest:
                    longest, reason, blocking = wait, Reason.BUDGET, meter
            for each, wait in (
                (Reason.REQUESTS, meter.wait_requests(now)),
                (Reason.TOKENS, meter.wait_tokens(tokens, now)),
                (Reason.IN_FLIGHT, 1 if meter.running >= meter.most_running else 0),
            ):
                if wait > longest:
                    longest, reason, blocking = wait, each, meter
        if reason is Reason.BUDGET:
            refused = answers.over_budget(blocking.layer, blocking.most_money, blocking.money, money, longest)
        else:
            limit, used, needed = {
                Reason.REQUESTS: (blocking.most_requests, blocking.requests, 1),
                Reason.TOKENS: (blocking.most_tokens, blocking.tokens, tokens),
                Reason.IN_FLIGHT: (blocking.most_running, blocking.running, 1),
            }[reason]
            refused = answers.over_limit(blocking.layer, reason, limit, used, needed, longest)
        return self.refused(blocking, reason, refused)

    def _limited(self, meters: dict[str, Meter], layer: Layer, name: str, limits: Limits) -> Meter:
        meter = meters.get(name)
        if meter is None:
            meter = meters[name] = Meter(layer, name, limits)
            meter.money = self.spent_before(meter)
        elif meter.limits != limits:
            meter.limit(limits)
        return meter
