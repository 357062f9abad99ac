"""Prometheus metrics of the gateway. Every label has few values: a model that nobody declared is `other`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from control_plane.gateway.call import Call, Outcome, Result

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_TOKEN_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 1)
BREAKER = {"healthy": 0, "unknown": 0, "draining": 0, "probing": 1, "open": 2}
"""A node's state as a number of its breaker: closed, half open, open."""


# When a series began says nothing here: all of them begin with the process.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotation


@dataclass(frozen=True, slots=True)
class NodeNow:
    """A node at the time of a scrape.

    Attributes:
        name: Its name.
        state: healthy, probing, open, draining or unknown.
        in_flight: Requests that it serves.
    """

    name: str
    state: str
    in_flight: int


@dataclass(slots=True)
class Gauges:
    """What is asked at each scrape.

    Attributes:
        nodes: All nodes.
        queued: Requests that wait for a node.
        ledger_lag_s: Age of the oldest entry of the journal that the store does not have, seconds.
        ledger_waiting: How many entries those are.
        store_lost: Whether the store does not answer.
        redis_lost: Whether Redis is used and does not answer.
        totals: Numbers that only grow since the start: name without `_total`, what it is, value.
    """

    nodes: Callable[[], Iterable[NodeNow]] = tuple
    queued: Callable[[], int] = int
    ledger_lag_s: Callable[[], float] = float
    ledger_waiting: Callable[[], int] = int
    store_lost: Callable[[], bool] = bool
    redis_lost: Callable[[], bool] = bool
    totals: Callable[[], Iterable[tuple[str, str, float]]] = tuple


@dataclass(slots=True)
class _Children:
    requests: Counter
    duration: Histogram
    first: Histogram
    per_token: Histogram
    prompt: Counter
    completion: Counter
    cached: Counter
    engine_prompt: Counter
    engine_completion: Counter


class Metrics:
    """All metrics of one gateway, in a registry of its own.

    Args:
        knows: Whether a model name is one of the few that may be a label.
        tenants: Whether the tenant is a label too.
    """

    def __init__(self, knows: Callable[[str], bool], *, tenants: bool = False) -> None:
        self._knows = knows
        self._tenants = tenants
        self.gauges = Gauges()
        self.registry = registry = CollectorRegistry()
        self._children: dict[tuple[str, str, int, Result, str], _Children] = {}
        who = ["tenant"] if tenants else []
        self._requests = Counter(
            "gateway_requests",
            "Requests.",
            ["model", "endpoint", "status", "result", *who],
            registry=registry,
        )
        self._tokens = Counter(
            "gateway_tokens",
            "Tokens: billed (prompt, cached_prompt of them, completion) and counted by nodes (engine_*).",
            ["model", "kind", *who],
            registry=registry,
        )
        self._duration = Histogram(
            "gateway_request_seconds",
            "From a request's arrival to the end of its answer.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._first = Histogram(
            "gateway_first_byte_seconds",
            "From a request's arrival to the first byte of its answer: of a stream, the first token.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._per_token = Histogram(
            "gateway_token_seconds",
            "Time of a stream per token after the first.",
            ["model"],
            buckets=_TOKEN_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge("gateway_in_flight", "Requests that are served now.", registry=registry)
        self._streams = Counter(
            "gateway_streams_interrupted",
            "Streams whose node was lost: resumed on another, or broken.",
            ["result"],
            registry=registry,
        )
        self._streams_resumed = self._streams.labels("resumed")
        self._streams_broken = self._streams.labels("broken")
        self._hops = Counter("gateway_stream_hops", "Changes of node within streams.", registry=registry)
        self._refusals = Counter(
            "gateway_limit_refusals", "Requests over a limit.", ["layer", "reason"], registry=registry
        )
        self._rejected = Counter(
            "gateway_rejected",
            "Requests refused before they were let in.",
            ["status", "code"],
            registry=registry,
        )
        self._faults = Counter(
            "gateway_faults", "Faults of the gateway itself.", ["where"], registry=registry
        )
        registry.register(_AtScrape(self.gauges))

    def finished(self, call: Call, outcome: Outcome) -> None:
        """Counts a request that was let in and is over."""
        model = call.model if self._knows(call.model) else OTHER
        tenant = call.tenant if self._tenants else ""
        key = (model, call.endpoint.name, outcome.status, outcome.result, tenant)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = self._made(*key)
        usage = outcome.usage
        children.requests.inc()
        children.duration.observe(outcome.finished - call.received)
        children.prompt.inc(usage.prompt)
        children.completion.inc(usage.completion)
        children.engine_prompt.inc(usage.engine_prompt)
        children.engine_completion.inc(usage.engine_completion)
        if usage.cached_prompt:
            children.cached.inc(usage.cached_prompt)
        if outcome.first_byte:
            children.first.observe(outcome.first_byte - call.received)
            if call.stream and usage.completion > 1:
                children.per_token.observe((outcome.finished - outcome.first_byte) / (usage.completion - 1))
        if outcome.hops:
            self._hops.inc(outcome.hops)
        if outcome.result is Result.RESUMED:
            self._streams_resumed.inc()
        elif outcome.result is Result.BROKEN:
            self._streams_broken.inc()

    def rejected(self, status: int, code: str) -> None:
        """Counts a request that was not let in; `code` is one of the gateway's own."""
        self._rejected.labels(str(status), code).inc()

    def over_limit(self, layer: str, reason: str) -> None:
        """Counts a refusal by a limit.

        Args:
            layer: instance, tenant, key or model.
            reason: requests, tokens, in_flight or budget.
        """
        self._refusals.labels(layer, reason).inc()

    def fault(self, where: str) -> None:
        """Counts something that must not happen; `where` is a place in the gateway."""
        self._faults.labels(where).inc()

    def text(self) -> bytes:
        """All of it, in Prometheus' text form."""
        return generate_latest(self.registry)

    def _made(self, model: str, endpoint: str, status: int, result: Result, tenant: str) -> _Children:
        who = (tenant,) if self._tenants else ()

        def tokens(kind: str) -> Counter:
            return self._tokens.labels(model, kind, *who)

        return _Children(
            self._requests.labels(model, endpoint.lower(), str(status), result.value, *who),
            self._duration.labels(model),
            self._first.labels(model),
            self._per_token.labels(model),
            tokens("prompt"),
            tokens("completion"),
            tokens("cached_prompt"),
            tokens("engine_prompt"),
            tokens("engine_completion"),
        )


class _AtScrape(Collector):
    """What is looked at when it is asked for, so that nothing counts along."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        asked = self._gauges
        breaker = GaugeMetricFamily(
            "gateway_node_breaker", "Breaker: 0 closed, 1 half open, 2 open.", labels=["node"]
        )
        state = GaugeMetricFamily("gateway_node_state", "1 for a node's state.", labels=["node", "state"])
        in_flight = GaugeMetricFamily("gateway_node_in_flight", "Requests at a node.", labels=["node"])
        for node in asked.nodes():
            breaker.add_metric([node.name], BREAKER.get(node.state, 0))
            state.add_metric([node.name, node.state], 1)
            in_flight.add_metric([node.name], node.in_flight)
        yield from (breaker, state, in_flight)
        for name, text, value in (
            ("gateway_queue_length", "Requests that wait for a node.", asked.queued()),
            ("gateway_ledger_lag_seconds", "Age of the oldest entry not in the store.", asked.ledger_lag_s()),
            ("gateway_ledger_waiting", "Entries that are not in the store.", asked.ledger_waiting()),
            ("gateway_store_lost", "1 while the store does not answer.", asked.store_lost()),
            ("gateway_redis_lost", "1 while Redis does not answer.", asked.redis_lost()),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))
        for name, text, value in asked.totals():
            yield CounterMetricFamily(name, text, value=value)
