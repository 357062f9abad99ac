"""What this replica has leased of one meter's limits, and what it is to ask and to give back. No I/O."""

from __future__ import annotations

import math

from control_plane.gateway.limits.layers import Meter, Reason, nano_usd
from control_plane.gateway.limits.script import LEASE_S, NOTHING, Ask, Granted, Need

HORIZON_S = 1.0
"""For how long a lease should last, by the rate of the last requests, seconds."""
DENIED_S = 0.1
"""How long a refusal holds before Redis is asked again, seconds."""
_BEAT_S = 3.0
_IDLE_S = 1.0


class Holding:
    """Leases of one meter.

    Attributes:
        meter: Whose limits.
        key: Its key in Redis.
        requests: Requests that are left of the lease.
        tokens: Tokens that are left of the lease.
        second: The server's second that the lease counts in.
        until: Until when the lease may be used, monotonic seconds.
        places: Places in flight that this replica holds.
        money: Money that is leased and not spent, 1e-9 USD; below 0: spent beyond it.
        spent: Money that all replicas have leased or spent, as last heard, 1e-9 USD.
        requests_left: Of the limit, as last heard.
        tokens_left: Of the limit, as last heard.
        forced_requests: Requests that were let in without a lease, and Redis doesn't know of.
        forced_tokens: The same for tokens.
        forced_money: The same for money.
        waiting: Tokens and money of the requests that wait for the next trip.
    """

    __slots__ = (
        "_back",
        "_denied",
        "_money_taken",
        "_others",
        "_rate",
        "_taken",
        "_tight",
        "_tokens_taken",
        "_touched",
        "forced_money",
        "forced_requests",
        "forced_tokens",
        "key",
        "meter",
        "money",
        "places",
        "requests",
        "requests_left",
        "second",
        "spent",
        "tokens",
        "tokens_left",
        "until",
        "wait_requests",
        "wait_tokens",
        "waiting",
    )

    def __init__(self, meter: Meter, key: str, spent: int) -> None:
        self.meter = meter
        self.key = key
        self.requests = self.tokens = self.second = self.places = self.money = 0
        self.until = 0.0
        self.spent = spent
        self.requests_left = meter.limits.requests_per_minute
        self.tokens_left = meter.limits.tokens_per_minute
        self.forced_requests = self.forced_tokens = self.forced_money = 0
        self.wait_requests = self.wait_tokens = 1
        self.waiting: list[tuple[int, int]] = []
        self._back: dict[int, tuple[int, int]] = {}
        self._denied: dict[Reason, tuple[float, int]] = {}
        self._others = 0
        self._rate = 0.0
        self._taken = self._tokens_taken = self._money_taken = 0
        self._touched = -math.inf
        self._tight = False

    def lacks(self, now: float, tokens: int, money: int) -> list[tuple[Reason, int]]:
        """What is not there for a request, and how much of it is needed.

        Args:
            now: Monotonic seconds.
            tokens: Tokens to reserve.
            money: Money to reserve, 1e-9 USD.
        """
        limits, missing = self.meter.limits, []
        if limits.requests_per_minute and (self.requests < 1 or now >= self.until):
            missing.append((Reason.REQUESTS, 1))
        if limits.tokens_per_minute and (self.tokens < tokens or now >= self.until):
            missing.append((Reason.TOKENS, tokens))
        if limits.in_flight and self.meter.running >= self.places:
            missing.append((Reason.IN_FLIGHT, 1))
        if limits.budget_usd and self.money < money:
            missing.append((Reason.BUDGET, money))
        return missing

    def covers(self, now: float, tokens: int, money: int) -> bool:
        """Whether nothing is lacking."""
        limits = self.meter.limits
        return not (
            (limits.requests_per_minute and (self.requests < 1 or now >= self.until))
            or (limits.tokens_per_minute and (self.tokens < tokens or now >= self.until))
            or (limits.in_flight and self.meter.running >= self.places)
            or (limits.budget_usd and self.money < money)
        )

    def denied(self, missing: list[tuple[Reason, int]], now: float) -> list[Reason]:
        """Which of what is lacking was refused a moment ago."""
        found = []
        for reason, amount in missing:
            until, least = self._denied.get(reason, (0.0, 0))
            if now < until and amount >= least:
                found.append(reason)
        return found

    def take(self, tokens: int, money: int) -> int:
        """Takes from the lease; returns its second. What is not limited is counted down to no effect."""
        self.requests -= 1
        self.tokens -= tokens
        self.money -= money
        self._taken += 1
        self._tokens_taken += tokens
        self._money_taken += money
        return self.second

    def give_back(self, second: int, tokens: int, money: int, now: float) -> None:
        """Takes back what a request did not use of a lease.

        Args:
            second: The lease's second.
            tokens: Tokens; below 0: it used more.
            money: Money; below 0: it cost more.
            now: Monotonic seconds.
        """
        self.money += money
        if tokens and self.meter.limits.tokens_per_minute:
            if second == self.second and now < self.until and self.tokens + tokens >= 0:
                self.tokens += tokens
            elif tokens > 0:
                self._return(second, 0, tokens)
            else:
                self.forced_tokens -= tokens

    def new_month(self) -> None:
        """No money is leased or spent in a new month."""
        self.money = self.spent = self.forced_money = 0
        self._denied.pop(Reason.BUDGET, None)

    def due(self, now: float) -> bool:
        """Whether Redis should hear of it although no request waits."""
        silent = now - self._touched
        unused = not self._taken and self._tight and silent >= 2 * DENIED_S
        over = (now >= self.until or unused) and (self.requests > 0 or self.tokens > 0)
        waits = self._back or self.forced_requests or self.forced_tokens or self.forced_money
        spare = self.places > self.meter.running
        if silent >= _IDLE_S or self._tight:
            return bool(
                over or waits or (spare and (self._tight or not self._taken)) or self._idle_money(silent)
            )
        return silent >= _BEAT_S and self.places > 0

    def watched(self) -> bool:
        """Whether its budget is in use, so that what others spend of it should be known if Redis is lost."""
        return self.meter.limits.budget_usd > 0 and self.meter.requests > 0

    def beat_due(self, now: float) -> bool:
        """Whether its places in flight would soon count as those of a dead replica."""
        return self.places > 0 and now - self._touched >= _BEAT_S

    def idle(self, now: float) -> bool:
        """Whether there is nothing more to tell Redis."""
        return not (
            self.places
            or self.meter.running
            or self.watched()
            or self._back
            or self.forced_requests
            or self.forced_tokens
            or self.forced_money
            or self.money > 0
            or (now < self.until and (self.requests > 0 or self.tokens > 0))
        )

    def asked(self, ask: Ask, now: float) -> None:
        """Fills in what to ask and gives back what is left of the present lease.

        Args:
            ask: With replica and month.
            now: Monotonic seconds.
        """
        limits, meter = self.meter.limits, self.meter
        ask.limit = (
            limits.requests_per_minute,
            limits.tokens_per_minute,
            limits.in_flight,
            nano_usd(limits.budget_usd),
        )
        self._drop_lease()
        per_s = 1 / max(0.25, min(now - self._touched, 10.0))
        self._rate = max(self._taken * per_s, self._rate / 2) if self._taken or self.waiting else 0.0
        count = len(self.waiting)
        ask.requests = (min(1, count), min(1, count), count, max(count, math.ceil(self._rate * HORIZON_S)))
        share = self._rate / self._taken if self._taken else 0.0
        each = self._tokens_taken // self._taken if self._taken else 0
        ask.tokens = _need([tokens for tokens, _ in self.waiting], self._tokens_taken * share, each)
        ask.money = _need([max(0, money - self.money) for _, money in self.waiting], 0, 0)
        if count:
            handy = math.ceil(self._money_taken * share * HORIZON_S) - max(0, self.money)
            ask.money = (*ask.money[:3], max(ask.money[3], handy))
        spare = meter.running // 4 + math.ceil(self._rate / 10) if self._taken or count else 0
        ask.places = (min(1, count), min(1, count), count, count + spare)
        ask.running = meter.running
        if not count and self._idle_money(now - self._touched):
            self.forced_money -= self.money
            self.money = 0
        ask.back = [(second, *amounts) for second, amounts in self._back.items()]
        self._back.clear()
        ask.forced = (
            min(self.forced_requests, meter.requests),
            min(self.forced_tokens, meter.tokens),
            self.forced_money,
        )
        ask.fresh = (
            meter.requests if limits.requests_per_minute else 0,
            meter.tokens if limits.tokens_per_minute else 0,
            self.spent,
        )
        self.forced_requests = self.forced_tokens = self.forced_money = 0
        self.waiting = []
        self._taken = self._tokens_taken = self._money_taken = 0
        self._touched = now

    def got(self, ask: Ask, answer: Granted, sent: float) -> None:
        """Takes over what was leased.

        Args:
            ask: What was asked.
            answer: What came.
            sent: When it was asked, monotonic seconds: the lease lasts from then on.
        """
        self._drop_lease()
        self.requests, self.tokens, self.places = answer.requests, answer.tokens, answer.places
        self.money += answer.money
        self.second, self.until = answer.second, sent + LEASE_S
        self.spent, self._others = answer.spent, answer.places_others
        self.requests_left, self.tokens_left = answer.requests_left, answer.tokens_left
        self.wait_requests, self.wait_tokens = max(1, answer.wait_requests), max(1, answer.wait_tokens)
        requests, tokens, in_flight, _ = ask.limit
        self._tight = bool(
            (requests and answer.requests_left * 8 < requests)
            or (tokens and answer.tokens_left * 8 < tokens)
            or (in_flight and (in_flight - answer.places - answer.places_others) * 8 < in_flight)
        )
        self._denied.clear()
        until = sent + DENIED_S
        if answer.requests < ask.requests[0]:
            self._denied[Reason.REQUESTS] = (until, 1)
        if answer.tokens < ask.tokens[0]:
            self._denied[Reason.TOKENS] = (until, ask.tokens[0])
        if answer.places < ask.running + ask.places[0]:
            self._denied[Reason.IN_FLIGHT] = (until, 1)
        if answer.money < ask.money[0]:
            self._denied[Reason.BUDGET] = (until, self.money + ask.money[0])

    def leave(self) -> None:
        """Is to keep nothing after the next trip."""
        self.forced_money -= max(0, self.money)
        self.money = min(0, self.money)
        self._taken = 0

    def lost(self, ask: Ask) -> None:
        """The trip failed, perhaps after all: what was used is told again, what was given back is not."""
        requests, tokens, money = ask.forced
        self.forced_requests += requests
        self.forced_tokens += tokens
        self.forced_money += max(0, money)

    def _idle_money(self, silent: float) -> bool:
        return self.money > 0 and not self._taken and silent >= _IDLE_S

    def _drop_lease(self) -> None:
        if self.requests > 0 or self.tokens > 0:
            self._return(self.second, max(0, self.requests), max(0, self.tokens))
        self.requests = self.tokens = 0

    def _return(self, second: int, requests: int, tokens: int) -> None:
        before = self._back.get(second, (0, 0))
        self._back[second] = (before[0] + requests, before[1] + tokens)
        while len(self._back) > 64:
            # Redis has forgotten the oldest ones, or will have.
            del self._back[min(self._back)]


def _need(amounts: list[int], handy: float, each: int) -> Need:
    if not amounts:
        return (0, each, 0, math.ceil(handy)) if handy else NOTHING
    total = sum(amounts)
    return min(amounts), max(amounts), total, max(total, math.ceil(handy))
