"""The router: gives each request a place at a node, or lets it wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

from control_plane.gateway.call import Call
from control_plane.gateway.declared import Declared
from control_plane.gateway.errors import unknown_model
from control_plane.gateway.parts import Refused
from control_plane.gateway.routing.choice import choose, may_come
from control_plane.gateway.routing.fair_queue import FairQueue
from control_plane.gateway.routing.lease import NodeLease
from control_plane.gateway.routing.node_state import NodeHealth, NodeState
from control_plane.gateway.routing.probes import Probe, Prober
from control_plane.gateway.routing.retries import RetryBudget
from control_plane.gateway.routing.settings import RoutingSettings
from control_plane.gateway.routing.table import NodeTable
from control_plane.gateway.routing.views import Counters, NodeView, view
from control_plane.gateway.timers import Timer, Timers


@dataclass(eq=False, slots=True)
class _Waiter:
    call: Call
    exclude: Collection[str]
    place: asyncio.Future[NodeLease] = field(repr=False)
    queued: bool = True


class NodeRouter:
    """The `Router` of `parts.py`.

    Args:
        settings: Of the routing.
        timers: The time.
        probe: Asks a node whether it can answer; None: nodes are not probed.
    """

    def __init__(self, settings: RoutingSettings, timers: Timers, probe: Probe | None = None) -> None:
        self._settings = settings
        self._timers = timers
        self._table = NodeTable(settings)
        self._leaving: dict[NodeState, Timer] = {}
        self._queues: dict[str, FairQueue[_Waiter]] = {}
        self._waiting = 0
        self._weights: dict[str, int] = {}
        self._budget = RetryBudget(settings.retry_share, settings.retry_floor)
        self._prober = None
        if probe is not None:
            self._prober = Prober(probe, settings, timers, self._good_probe, self._bad_probe)
        self.counters = Counters()

    # What is declared.

    def apply(self, declared: Declared) -> None:
        """Takes over nodes and weights, all at once. Nodes that are no longer there drain.

        Needs the running event loop.
        """
        self._weights = {tenant.name: tenant.weight for tenant in declared.tenants}
        change = self._table.update(declared.nodes)
        for state in change.added:
            if self._prober is not None:
                state.probed = True
                self._prober.begin(state)
        for state in change.left:
            if self._prober is not None:
                self._prober.end(state)
            if state.in_flight:
                self._move_later(state, self._settings.drain_s)
        for model in list(self._queues):
            self._pump(model)
            self._refuse_hopeless(model)

    async def drained(self, name: str, drain_s: float) -> None:
        """Waits until a node that is no longer declared has no requests any more.

        Args:
            name: The node's.
            drain_s: After so many seconds those that still run are moved to other nodes.
        """
        for state in [each for each in self._leaving if each.node.name == name]:
            empty = asyncio.get_running_loop().create_future()

            def emptied(empty: asyncio.Future[None] = empty) -> None:
                if not empty.done():
                    empty.set_result(None)

            state.when_empty = emptied
            self._move_later(state, drain_s)
            if state.in_flight:
                await empty

    def _move_later(self, state: NodeState, seconds: float) -> None:
        before = self._leaving.get(state)
        if before is not None:
            before.cancel()
        self._leaving[state] = self._timers.call_at(self._timers.now() + seconds, partial(_move_all, state))

    async def close(self) -> None:
        """Ends the probes."""
        if self._prober is not None:
            await self._prober.close()

    # Requests.

    async def acquire(self, call: Call, exclude: Collection[str] = ()) -> NodeLease:
        """A place at a node, at once or after waiting for it.

        Args:
            call: The request; its `deadline` and the settings bound the wait.
            exclude: Nodes that failed it already; used again only where there is no other.

        Raises:
            Refused: 404: nobody serves the model. 503: the queue is full, the deadline has passed or no node
                is alive.
        """
        now = self._timers.now()
        if not exclude:
            self._budget.request(now)
        group = self._table.groups.get(call.model)
        if group is None:
            raise unknown_model(call.asked_model)
        queue = self._queues.get(call.model)
        if not queue:
            state = choose(group, call.prefix, exclude, now, self._settings.load_factor)
            if state is not None:
                return NodeLease(state, self)
        return await self._wait(call, exclude, now)

    def may_retry(self) -> bool:
        """Whether another retry is allowed; counts it if so."""
        return self._budget.take(self._timers.now())

    def has_other(self, call: Call, exclude: Collection[str]) -> bool:
        """Whether a node other than those in `exclude` may get the request, now or once it has a place."""
        group = self._table.groups.get(call.model)
        now = self._timers.now()
        return group is not None and any(
            name not in exclude and state.takes_new(now) for name, state in group.states.items()
        )

    async def _wait(self, call: Call, exclude: Collection[str], now: float) -> NodeLease:
        deadline = min(call.deadline, now + self._settings.queue_s)
        if not may_come(self._table.groups[call.model], now, deadline):
            raise self._no_node(call.model)
        if self._waiting >= self._settings.queue_length:
            self.counters.queue_full += 1
            raise _busy("Too many requests wait for a node already", 1)
        if deadline <= now:
            self.counters.queue_timeouts += 1
            raise _busy("No node had a place in time", 1)
        waiter = _Waiter(call, exclude, asyncio.get_running_loop().create_future())
        queue = self._queues.setdefault(call.model, FairQueue(self._weight))
        queue.add(call.tenant, waiter)
        self._waiting += 1
        self.counters.queued += 1
        timer = self._timers.call_at(deadline, lambda: self._timed_out(waiter))
        try:
            # Its node's breaker may be half open already, which nothing else would tell it.
            self._pump(call.model)
            return await waiter.place
        except asyncio.CancelledError:
            if waiter.place.done() and not waiter.place.cancelled() and not waiter.place.exception():
                waiter.place.result().released()
            self._take_out(waiter)
            raise
        finally:
            timer.cancel()
            self.counters.queue_seconds += self._timers.now() - now

    def _pump(self, model: str) -> None:
        queue = self._queues.get(model)
        while queue and queue.serve(self._try_to_serve):
            self._waiting -= 1
        if not queue:
            self._queues.pop(model, None)

    def _try_to_serve(self, waiter: _Waiter) -> bool:
        group = self._table.groups.get(waiter.call.model)
        if group is None:
            return False
        if waiter.place.cancelled():
            # Its request has ended, and its task had no turn yet to take it out.
            waiter.queued = False
            return True
        now = self._timers.now()
        state = choose(group, waiter.call.prefix, waiter.exclude, now, self._settings.load_factor)
        if state is None:
            return False
        waiter.queued = False
        waiter.place.set_result(NodeLease(state, self))
        return True

    def _timed_out(self, waiter: _Waiter) -> None:
        if not waiter.place.done() and self._take_out(waiter):
            self.counters.queue_timeouts += 1
            waiter.place.set_exception(_busy("No node had a place in time", 1))

    def _refuse_hopeless(self, model: str) -> None:
        group = self._table.groups.get(model)
        if group is not None and may_come(group, self._timers.now(), float("inf")):
            return

        def refuse(waiter: _Waiter) -> bool:
            gone = unknown_model(waiter.call.asked_model) if group is None else self._no_node(model)
            waiter.queued = False
            if not waiter.place.done():
                waiter.place.set_exception(gone)
            return True

        queue = self._queues.pop(model, None)
        while queue and queue.serve(refuse):
            self._waiting -= 1

    def _take_out(self, waiter: _Waiter) -> bool:
        queue = self._queues.get(waiter.call.model)
        if queue is None or not waiter.queued:
            return False
        waiter.queued = False
        queue.remove(waiter.call.tenant, waiter)
        self._waiting -= 1
        if not queue:
            del self._queues[waiter.call.model]
        return True

    def _weight(self, tenant: str) -> int:
        return self._weights.get(tenant, 1)

    def _no_node(self, model: str) -> Refused:
        now = self._timers.now()
        group = self._table.groups.get(model)
        back = min((state.comes_back() for state in group.states.values()), default=0.0) if group else 0.0
        self.counters.no_node += 1
        return _busy("No node of this model can answer now", 10 if back == float("inf") else back - now)

    # What leases and probes tell.

    def now(self) -> float:
        """Monotonic seconds."""
        return self._timers.now()

    def freed(self, state: NodeState) -> None:
        """A place at the node is free again: whoever waits for one gets it."""
        if state.draining and not state.in_flight:
            move = self._leaving.pop(state, None)
            if move is not None:
                move.cancel()
            if state.when_empty is not None:
                state.when_empty()
        elif self._waiting:
            self._pump_node(state)

    def opened(self, state: NodeState) -> None:
        """The node's breaker has opened: whoever waits is served when one may try again."""
        self.counters.opened += 1
        self._timers.call_at(state.breaker.retry_at, lambda: self._pump_node(state))

    def _pump_node(self, state: NodeState) -> None:
        for model in state.node.models:
            if model in self._queues:
                self._pump(model)

    def _good_probe(self, state: NodeState) -> None:
        state.good(self._timers.now())
        self.counters.probes += 1
        self._pump_node(state)

    def _bad_probe(self, state: NodeState, why: str, tried: bool) -> None:
        self.counters.probes += 1
        self.counters.failed_probes += 1
        if state.bad(self._timers.now(), why, tried=tried):
            self.opened(state)

    # What others want to know.

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return self._waiting

    @property
    def in_flight(self) -> int:
        """Requests at all nodes together, draining ones included."""
        return sum(state.in_flight for state in (*self._table.states.values(), *self._leaving))

    @property
    def retries_refused(self) -> int:
        """Retries that the budget did not allow, of all time."""
        return self._budget.refused

    def models(self) -> frozenset[str]:
        """Models that the declared nodes serve."""
        return frozenset(self._table.groups)

    def alive(self) -> int:
        """Nodes that have answered and get requests."""
        now = self._timers.now()
        return sum(
            state.health(now) in (NodeHealth.HEALTHY, NodeHealth.PROBING) and not state.node.cordoned
            for state in self._table.states.values()
        )

    def nodes(self) -> list[NodeView]:
        """All declared nodes and those that drain."""
        now = self._timers.now()
        return [view(state, now) for state in (*self._table.states.values(), *self._leaving)]

    def node(self, name: str) -> NodeView | None:
        """A declared node, else one of this name that drains."""
        return next((each for each in self.nodes() if each.node.name == name), None)


def _move_all(state: NodeState) -> None:
    for lease in list(state.leases):
        if isinstance(lease, NodeLease):
            lease.move()


def _busy(what: str, retry_after: float) -> Refused:
    seconds = max(1, min(60, round(retry_after)))
    return Refused(
        503,
        f"{what}; try again in {seconds} s.",
        code="no_capacity",
        kind="server_error",
        headers=[(b"retry-after", b"%d" % seconds)],
    )
