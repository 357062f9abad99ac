"""Limits that several replicas share through Redis.

Each replica leases parts of the limits and takes from its leases without asking anybody. What a lease lets in
counts in Redis from the lease on, and for as long as it may be used longer: so the promise of one process
(`memory.py`) holds for all replicas together. What is not used is given back; leases are large at high rates,
and exactly what is needed where little is left. A request never waits longer than `wait_s` for Redis.

Without Redis each replica keeps to its share: the limits, and what was left of budgets, divided by the number
of replicas that were seen last. When Redis is back it is told what was used meanwhile; if its data are lost,
it is told what each replica knows.

What a killed replica held: places in flight are free after 10 s, requests and tokens after a minute; money
that it had leased counts as spent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from control_plane.gateway.call import Call
from control_plane.gateway.declared import ApiKey, Declared, Limits
from control_plane.gateway.limits.desk import Desk, DeskLost, Trip, key_of
from control_plane.gateway.limits.holding import Holding
from control_plane.gateway.limits.layers import Meter, nano_usd
from control_plane.gateway.limits.leased_answers import headers_of, raise_if, refusal
from control_plane.gateway.limits.memory import MemoryLimiter, Taken
from control_plane.gateway.limits.script import Ask
from control_plane.gateway.parts import Reservation

_TURN_S = 0.1
_BEAT_S = 1.0
_PROBE_S = 0.5
_SLOW_TRIPS = 2
"""So many trips in a row that took too long mean that Redis is lost; one may be this process's own delay."""
_TRIES = 4
_TURNS = 4
"""Turns of the event loop in which those who waited take what was leased for them, before the next trip."""
Changed = Callable[[bool], None]
"""Told when limits become each replica's own (True), and when they are shared again (False)."""


@dataclass(slots=True)
class Leased:
    """Where a reservation was taken.

    Attributes:
        taken: In this process's own counts.
        holdings: From which leases.
        seconds: Of which second each lease was; empty: without leases.
        money: How much, 1e-9 USD.
    """

    taken: object
    holdings: Sequence[Holding]
    seconds: list[int]
    money: int


class RedisLimiter:
    """Limits that are shared.

    Args:
        local: This process's own counts.
        desk: The way to Redis.
        me: This replica's name, which no other has had.
        monotonic: Monotonic seconds.
        sleep: Waits so many seconds.
        wait_s: How long a request waits for Redis, seconds.
        changed: Told when Redis is lost and when it is back.
    """

    def __init__(
        self,
        local: MemoryLimiter,
        desk: Desk,
        me: str,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wait_s: float = 0.05,
        changed: Changed = lambda lost: None,
    ) -> None:
        self._local = local
        self._desk = desk
        self._me = me
        self._monotonic = monotonic
        self._sleep = sleep
        self._wait_s = wait_s
        self._changed = changed
        self._holdings: dict[Meter, Holding] = {}
        self._active: set[Holding] = set()
        self._due: set[Holding] = set()
        self._beat_due = False
        self._next: asyncio.Future[bool] | None = None
        self._going: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._lost = False
        self._slow = 0
        self._replicas = 1
        self._month = local.month
        self._log = structlog.get_logger()

    @property
    def degraded(self) -> bool:
        """Whether Redis is lost, so that each replica keeps to its share."""
        return self._lost

    async def start(self) -> None:
        """Reads what was spent and looks for Redis. Before the first `apply`."""
        await self._local.start()
        if not await self._trip([], alive=True):
            self._lose("no answer at the start")
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Gives everything back and ends the connection."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._going is not None:
            await asyncio.gather(self._going, return_exceptions=True)
        if not self._lost:
            for holding in self._active:
                holding.leave()
            await self._trip(list(self._active), leave=True)
        await self._desk.close()

    def apply(self, declared: Declared) -> None:
        """Takes over the limits that are declared now; what was used stays used."""
        self._local.apply(declared)
        tenants = {key.id: key.tenant for key in declared.keys}
        for meter in self._local.all_meters():
            if meter not in self._holdings and meter.limits != Limits():
                tenant = tenants.get(meter.name, "") if meter.layer.value == "key" else meter.name
                key = key_of(meter.layer.value, meter.name, tenant)
                self._holdings[meter] = Holding(meter, key, self._local.spent_before(meter))
        if self._lost:
            self._keep_to_share()

    async def take(self, call: Call, key: ApiKey, tokens: int, usd: float) -> Reservation:
        """Takes from all layers or from none; see `parts.Limiter`."""
        meters = self._local.meters_of(call, key)
        self._turn_month()
        holdings = [holding for meter in meters if (holding := self._holdings.get(meter)) is not None]
        money = nano_usd(usd)
        for _ in range(_TRIES):
            if self._lost:
                break
            now = self._monotonic()
            missing = [holding for holding in holdings if not holding.covers(now, tokens, money)]
            if not missing:
                return self._from_leases(meters, holdings, tokens, usd, money)
            raise_if(self._local.never(meters, tokens, money))
            raise_if(refusal(self._local, missing, tokens, money, now))
            if not await self._lease(holdings, tokens, money):
                break
        else:
            now = self._monotonic()
            if missing := [holding for holding in holdings if not holding.covers(now, tokens, money)]:
                raise_if(refusal(self._local, missing, tokens, money, now, always=True))
            return self._from_leases(meters, holdings, tokens, usd, money)
        return self._by_itself(meters, holdings, tokens, usd, money)

    def settle(self, reservation: Reservation, tokens: int, usd: float) -> None:
        """Gives back what was not used; see `parts.Limiter`. Harmless when it was done already."""
        leased = reservation.taken
        if not isinstance(leased, Leased):
            return
        taken = reservation.taken = leased.taken
        self._turn_month()
        back = reservation.tokens - tokens
        money = leased.money - nano_usd(usd)
        if isinstance(taken, Taken) and taken.month != self._month:
            money = 0
        self._local.settle(reservation, tokens, usd)
        if not leased.seconds:
            for holding in leased.holdings:
                holding.forced_money -= money
                holding.forced_tokens = max(0, holding.forced_tokens - back)
            return
        now = self._monotonic()
        for holding, second in zip(leased.holdings, leased.seconds, strict=True):
            holding.give_back(second, back, money, now)

    def _from_leases(
        self, meters: Sequence[Meter], holdings: Sequence[Holding], tokens: int, usd: float, money: int
    ) -> Reservation:
        reservation = self._local.record(meters, int(self._monotonic()), tokens, usd, money)
        seconds = [holding.take(tokens, money) for holding in holdings]
        reservation.headers = headers_of(holdings)
        reservation.taken = Leased(reservation.taken, holdings, seconds, money)
        return reservation

    def _by_itself(
        self, meters: Sequence[Meter], holdings: Sequence[Holding], tokens: int, usd: float, money: int
    ) -> Reservation:
        """Takes from this replica's share."""
        raise_if(self._local.never(meters, tokens, money))
        # A request larger than the share, though not than the limit, reserves the share; the rest follows.
        share = min([tokens, *(meter.most_tokens for meter in meters)])
        reservation = self._local.take_now(meters, share, usd)
        for holding in holdings:
            holding.forced_requests += 1
            holding.forced_tokens += share
            holding.forced_money += money
            self._active.add(holding)
        reservation.taken = Leased(reservation.taken, holdings, [], money)
        return reservation

    async def _lease(self, holdings: Sequence[Holding], tokens: int, money: int) -> bool:
        """Asks for what a request needs, in one trip with all that wait; False: no answer in time.

        All its leases are renewed together: the others would be used up soon as well.
        """
        for holding in holdings:
            holding.waiting.append((tokens, money))
        answered = self._soon(holdings)
        try:
            async with asyncio.timeout(self._wait_s):
                return await asyncio.shield(answered)
        except TimeoutError:
            return False

    def _soon(self, holdings: Sequence[Holding], alive: bool = False) -> asyncio.Future[bool]:
        """Has these on the next trip. Trips go one by one, so that answers can't overtake one another."""
        self._due.update(holdings)
        self._beat_due = self._beat_due or alive
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._going is None or self._going.done():
            self._going = asyncio.create_task(self._go())
        return self._next

    async def _go(self) -> None:
        while (answered := self._next) is not None:
            due, alive = list(self._due), self._beat_due
            self._due.clear()
            self._next, self._beat_due = None, False
            answered.set_result(await self._trip(due, alive=alive))
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    async def _trip(self, holdings: Sequence[Holding], *, alive: bool = False, leave: bool = False) -> bool:
        sent = self._monotonic()
        asks = [(holding, self._ask(holding, sent)) for holding in holdings]
        month = self._month
        try:
            answers_, replicas = await self._desk.go(
                Trip([(holding.key, ask) for holding, ask in asks], alive, leave)
            )
        except DeskLost as error:
            for holding, ask in asks:
                holding.lost(ask)
                self._active.add(holding)
            self._slow += 1
            if self._slow >= _SLOW_TRIPS or str(error) != TimeoutError.__name__:
                self._lose(str(error))
            return False
        self._slow = 0
        if replicas:
            self._replicas = replicas
        for (holding, ask), answer in zip(asks, answers_, strict=True):
            if month == self._month:
                holding.got(ask, answer, sent)
            self._active.add(holding)
        return True

    def _ask(self, holding: Holding, now: float) -> Ask:
        holding.meter.forget(int(now))
        ask = Ask(self._me, self._month, (0, 0, 0, 0), replicas=self._replicas)
        ask.floor = self._local.spent_before(holding.meter)
        holding.asked(ask, now)
        return ask

    async def _keep(self) -> None:
        """Tells Redis that this replica lives, gives back what is not used, looks for a lost Redis."""
        beat = self._monotonic()
        while True:
            await self._sleep(_PROBE_S if self._lost else _TURN_S)
            self._turn_month()
            now = self._monotonic()
            if self._lost:
                await self._look_for_it()
                continue
            due = [holding for holding in self._active if holding.due(now) or holding.beat_due(now)]
            self._active = {holding for holding in self._active if not holding.idle(now)}
            alive = now - beat >= _BEAT_S
            if alive:
                due += [holding for holding in self._active if holding.watched()]
            beat = now if alive else beat
            if due or alive:
                await self._soon(due, alive)

    async def _look_for_it(self) -> None:
        """Tells Redis what was used meanwhile; if it answers, limits are shared again."""
        if self._going is not None:
            await self._going
        if not await self._trip(list(self._active), alive=True):
            return
        self._lost = False
        for meter in self._holdings:
            meter.limit(meter.limits)
        self._changed(False)
        self._log.warning("redis is back: limits are shared again", replicas=self._replicas)

    def _lose(self, why: str) -> None:
        if self._lost:
            return
        self._lost = True
        self._keep_to_share()
        self._changed(True)
        self._log.warning(
            "redis is lost: each replica keeps to its share of the limits", why=why, replicas=self._replicas
        )

    def _keep_to_share(self) -> None:
        count = self._replicas
        for meter, holding in self._holdings.items():
            limits = meter.limits
            if limits.requests_per_minute:
                meter.most_requests = max(1, limits.requests_per_minute // count)
            if limits.tokens_per_minute:
                meter.most_tokens = max(1, limits.tokens_per_minute // count)
            if limits.in_flight:
                meter.most_running = max(1, limits.in_flight // count)
            if limits.budget_usd:
                left = max(0, nano_usd(limits.budget_usd) - holding.spent)
                meter.most_money = meter.money + left // count

    def _turn_month(self) -> None:
        self._local.turn_month()
        if self._month != self._local.month:
            self._month = self._local.month
            for holding in self._holdings.values():
                holding.new_month()
            if self._lost:
                self._keep_to_share()
