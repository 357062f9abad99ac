"""Puts the parts of the gateway together, and keeps them going."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from control_plane.gateway.admin import Admin
from control_plane.gateway.app import App, Bounds, Parts
from control_plane.gateway.cors import Cors
from control_plane.gateway.declared import ApiKey, Declared
from control_plane.gateway.exports import Report
from control_plane.gateway.in_force import InForce
from control_plane.gateway.keys import KeyTable
from control_plane.gateway.ledger import JournalLedger
from control_plane.gateway.limits.opening import open_limiter
from control_plane.gateway.log import Log
from control_plane.gateway.metrics import Metrics, NodeNow
from control_plane.gateway.models_api import Catalog
from control_plane.gateway.parsing import Parser
from control_plane.gateway.parts import Refused
from control_plane.gateway.relaying.probing import NodeProbe
from control_plane.gateway.relaying.relay import NodeRelay
from control_plane.gateway.relaying.settings import RelaySettings
from control_plane.gateway.relaying.upstream import Upstream
from control_plane.gateway.routing.router import NodeRouter
from control_plane.gateway.routing.settings import RoutingSettings
from control_plane.gateway.seed import read_seed
from control_plane.gateway.timers import LoopTimers
from control_plane.gateway.tracing import open_tracing
from control_plane.settings import Settings, SettingsError
from control_plane.store.errors import StoreError, StoreLost
from control_plane.store.store import Store

_FIRST_S = 0.5
"""Between tries to reach the store at the start, seconds."""


class Service:
    """One gateway. Made by `running`.

    Args:
        settings: All settings.
        log: Log.

    Raises:
        SettingsError: They make no sense together.
        JournalError: The data folder cannot be used.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._seed = read_seed(settings.seed) if settings.seed is not None else None
        self._draining = False
        self._trouble = "the store was not read yet"
        try:
            self.store = Store(settings.database(), settings.data_dir, settings.secret_key.get_secret_value())
        except StoreError as error:
            raise SettingsError(str(error)) from None
        except OSError as error:
            raise SettingsError(
                f"GATEWAY_DATA_DIR: {settings.data_dir} cannot be used: {error.strerror}"
            ) from None
        timers = LoopTimers()
        self._ledger = JournalLedger(
            settings.data_dir / "journal",
            self.store.ledger,
            log,
            timers=timers,
            limit_bytes=settings.journal_mb * 1_000_000,
        )
        relaying = RelaySettings(
            connect_s=settings.connect_s, first_byte_s=settings.first_byte_s, stall_s=settings.stall_s
        )
        routing = RoutingSettings(
            queue_length=settings.queue_length, queue_s=settings.queue_s, probe_s=settings.probe_s
        )
        self._keys = KeyTable()
        self._catalog = Catalog(time.time())
        self.metrics = Metrics(self._catalog.knows, tenants=settings.tenant_metrics)
        self._upstream = Upstream(relaying)
        self.router = NodeRouter(routing, timers, NodeProbe(self._upstream, routing.probe_limit_s))
        self._relay = NodeRelay(self.router, self._upstream, relaying, timers)
        self._limiter = open_limiter(
            settings.redis_url.get_secret_value(),
            monotonic=time.monotonic,
            wall=time.time,
            read_spent=self._ledger.spent,
            count=self.metrics.over_limit,
            changed=self._redis_changed,
        )
        self._tracing = open_tracing() if settings.tracing else None
        self._in_force = InForce(self.store.objects, self.router, self._apply, timers, log)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[App]:
        """Runs everything but the server; ends it in the reverse order."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.store.close)
            if self._tracing is not None:
                stack.callback(self._tracing.close)
            stack.push_async_callback(self._ledger.close)
            await stack.enter_async_context(self._upstream)
            stack.push_async_callback(self.router.close)
            stack.push_async_callback(self._limiter.close)
            self._wire()
            for name, work in (("store", self._follow), ("listen", self._listen), ("ledger", self._ship)):
                stack.push_async_callback(_ended, asyncio.create_task(self._kept_up(name, work)))
            token = settings.admin_token.get_secret_value()
            report = Report(self.store.ledger, time.time)
            yield App(
                Parts(
                    find_key=self._find_key,
                    catalog=self._catalog,
                    parser=Parser(settings.max_choices),
                    limiter=self._limiter,
                    ledger=self._ledger,
                    relay=self._relay,
                    metrics=self.metrics,
                    log=self._log,
                    not_ready=self.not_ready,
                    admin=Admin(token, self._in_force, report) if token else None,
                    tracing=self._tracing,
                ),
                Bounds(
                    settings.max_body_bytes, settings.body_s, settings.queue_s, settings.default_max_tokens
                ),
                Cors(settings.cors_origins),
                now=asyncio.get_running_loop().time,
            )

    def begin_drain(self) -> None:
        """From now on it says that it is not ready."""
        self._draining = True
        self._log.info("draining")

    def end_rest(self) -> None:
        """Ends the answers that still run, each with an error."""
        self._relay.stop_all()

    def not_ready(self) -> str:
        """Why it cannot serve now; empty: it can."""
        if self._draining:
            return "The gateway is being stopped."
        if not self._in_force.read:
            return f"The gateway is starting: {self._trouble}."
        if not self.router.alive():
            return "No node is alive."
        return ""

    async def _kept_up(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Work that goes on for as long as the gateway runs, whatever goes wrong with it."""
        while True:
            try:
                await work()
            except Exception:
                self.metrics.fault(name)
                self._log.exception("work in the background failed", work=name)
            await asyncio.sleep(1.0)

    async def _follow(self) -> None:
        """Waits for the store, however long it takes, and then keeps up with it."""
        while not self._in_force.read:
            try:
                await self.store.prepare()
                if self._seed is not None:
                    await self.store.objects.apply_seed(self._seed)
                await self._limiter.start()
                await self._in_force.refresh()
            except (StoreLost, StoreError) as error:
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    self._log.error("the store cannot be used", error=self._trouble)
                await asyncio.sleep(_FIRST_S)
        await self._in_force.follow()

    async def _listen(self) -> None:
        """Hears of changes sooner than by asking, where the database tells of them."""
        while not self._in_force.read:
            await asyncio.sleep(_FIRST_S)
        await self.store.listen(self._in_force.refresh)

    async def _ship(self) -> None:
        while not self.store.prepared:
            await asyncio.sleep(_FIRST_S)
        await self._ledger.run()

    def _apply(self, declared: Declared) -> None:
        self._keys.update(declared)
        self._catalog.update(declared)
        self._limiter.apply(declared)
        self.router.apply(declared)

    def _find_key(self, secret: bytes) -> ApiKey | None:
        if not self._in_force.read:
            raise Refused(
                503,
                self.not_ready(),
                code="not_ready",
                kind="server_error",
                headers=[(b"retry-after", b"1")],
            )
        return self._keys.lookup(secret, time.time())

    def _redis_changed(self, lost: bool) -> None:
        if lost:
            self._log.error("Redis is lost; limits hold in each replica by itself")
        else:
            self._log.warning("Redis answers again")

    def _wire(self) -> None:
        """What metrics ask for at each scrape."""
        gauges = self.metrics.gauges
        gauges.nodes = self._nodes
        gauges.queued = lambda: self.router.waiting
        gauges.ledger_lag_s = self._ledger.lag_s
        gauges.ledger_waiting = lambda: self._ledger.waiting
        gauges.store_lost = lambda: self._in_force.lost or not self._in_force.read
        gauges.redis_lost = lambda: self._limiter.degraded
        gauges.totals = self._totals

    def _nodes(self) -> Iterable[NodeNow]:
        return [NodeNow(view.node.name, view.health.value, view.in_flight) for view in self.router.nodes()]

    def _totals(self) -> Iterable[tuple[str, str, float]]:
        counters = self.router.counters
        return (
            ("gateway_queued", "Requests that had to wait for a node.", counters.queued),
            ("gateway_queue_wait_seconds", "Time that they waited.", counters.queue_seconds),
            ("gateway_queue_full", "Requests refused because too many waited.", counters.queue_full),
            ("gateway_queue_timeouts", "Requests that waited in vain.", counters.queue_timeouts),
            ("gateway_no_node", "Requests of which no node was alive.", counters.no_node),
            ("gateway_breaker_opened", "How often a breaker has opened.", counters.opened),
            ("gateway_probes", "Probes of nodes.", counters.probes),
            ("gateway_probes_failed", "Probes that failed.", counters.failed_probes),
            ("gateway_ledger_dropped", "Requests that are in no ledger.", self._ledger.dropped),
            ("gateway_ledger_refused", "Rows that the store refuses.", self._ledger.refused),
            ("gateway_ledger_damaged", "Lines of journals that cannot be read.", self._ledger.damaged),
            ("gateway_retries_denied", "Retries over the budget for them.", self.router.retries_refused),
        )


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
