"""Prometheus metrics of the gateway. Every label has few values: a model that nobody declared is `other`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from control_plane.gateway.call import Call, Endpoint, Outcome, Result

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


class _Histogram:
    """Counts by bounds; a scrape makes a metric of it. Cheaper than the library's, which has locks."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        names = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        family.add_metric(labels, list(zip(names, accumulate(self._counts), strict=True)), self._sum)


@dataclass(slots=True)
class _Model:
    """What is counted of one model."""

    duration: _Histogram = field(default_factory=lambda: _Histogram(_SECONDS))
    first: _Histogram = field(default_factory=lambda: _Histogram(_SECONDS))
    per_token: _Histogram = field(default_factory=lambda: _Histogram(_TOKEN_SECONDS))


@dataclass(slots=True)
class _Tokens:
    """Tokens of one model (and tenant)."""

    prompt: int = 0
    completion: int = 0
    cached_prompt: int = 0
    engine_prompt: int = 0
    engine_completion: int = 0


@dataclass(slots=True)
class _Ended:
    """Requests that ended alike."""

    model: _Model
    tokens: _Tokens
    count: int = 0


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
        self.in_flight = 0
        """Requests that are served now."""
        self._ended: dict[tuple[str, Endpoint, int, Result, str], _Ended] = {}
        self._models: dict[str, _Model] = {}
        self._tokens: dict[tuple[str, str], _Tokens] = {}
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
        registry.register(_AtScrape(self.gauges, self.requests))

    def finished(self, call: Call, outcome: Outcome) -> None:
        """Counts a request that was let in and is over."""
        model = call.model if self._knows(call.model) else OTHER
        tenant = call.tenant if self._tenants else ""
        key = (model, call.endpoint, outcome.status, outcome.result, tenant)
        ended = self._ended.get(key)
        if ended is None:
            ended = self._ended[key] = _Ended(
                self._models.setdefault(model, _Model()), self._tokens.setdefault((model, tenant), _Tokens())
            )
        ended.count += 1
        seen, tokens, usage = ended.model, ended.tokens, outcome.usage
        seen.duration.observe(outcome.finished - call.received)
        tokens.prompt += usage.prompt
        tokens.completion += usage.completion
        tokens.cached_prompt += usage.cached_prompt
        tokens.engine_prompt += usage.engine_prompt
        tokens.engine_completion += usage.engine_completion
        if outcome.first_byte:
            seen.first.observe(outcome.first_byte - call.received)
            if call.stream and usage.completion > 1:
                seen.per_token.observe((outcome.finished - outcome.first_byte) / (usage.completion - 1))
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

    def requests(self) -> Iterable[Metric]:
        """What `finished` has counted."""
        who = ["tenant"] if self._tenants else []
        requests = CounterMetricFamily(
            "gateway_requests", "Requests.", labels=["model", "endpoint", "status", "result", *who]
        )
        for (model, endpoint, status, result, tenant), ended in self._ended.items():
            labels = [model, endpoint.name.lower(), str(status), result.value]
            requests.add_metric([*labels, tenant] if who else labels, ended.count)
        tokens = CounterMetricFamily(
            "gateway_tokens",
            "Tokens: billed (prompt, cached_prompt of them, completion) and counted by nodes (engine_*).",
            labels=["model", "kind", *who],
        )
        for (model, tenant), counted in self._tokens.items():
            for kind in _Tokens.__slots__:
                tokens.add_metric([model, kind, tenant] if who else [model, kind], getattr(counted, kind))
        duration = HistogramMetricFamily(
            "gateway_request_seconds", "From a request's arrival to the end of its answer.", labels=["model"]
        )
        first = HistogramMetricFamily(
            "gateway_first_byte_seconds",
            "From a request's arrival to the first byte of its answer: of a stream, the first token.",
            labels=["model"],
        )
        per_token = HistogramMetricFamily(
            "gateway_token_seconds", "Time of a stream per token after the first.", labels=["model"]
        )
        for model, seen in self._models.items():
            seen.duration.add_to(duration, [model])
            seen.first.add_to(first, [model])
            seen.per_token.add_to(per_token, [model])
        in_flight = GaugeMetricFamily("gateway_in_flight", "Requests that are served now.", self.in_flight)
        return requests, tokens, duration, first, per_token, in_flight


class _AtScrape(Collector):
    """What is looked at when it is asked for, so that nothing counts along."""

    def __init__(self, gauges: Gauges, requests: Callable[[], Iterable[Metric]]) -> None:
        self._gauges = gauges
        self._requests = requests

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        yield from self._requests()
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
