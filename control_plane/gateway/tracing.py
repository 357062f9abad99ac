"""OpenTelemetry spans, where they are asked for; else a client's trace context is passed on as it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from control_plane.gateway.call import Call, Outcome, Result
from control_plane.settings import SettingsError

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_GOOD = frozenset({Result.OK, Result.RESUMED, Result.REFUSED_BY_NODE})


class Tracing(Protocol):
    """Spans of requests."""

    def begin(self, call: Call) -> Callable[[Outcome], None]:
        """Begins a span, and makes it the parent of what the nodes do (`call.traceparent`).

        Returns:
            Ends it.
        """

    def close(self) -> None:
        """Sends what is not sent yet."""


def sane_traceparent(given: bytes | None) -> bytes:
    """A client's `traceparent` if it has the form of one; else nothing."""
    return given if given and _TRACEPARENT.fullmatch(given) else b""


def open_tracing(load: Callable[[str], Any] = import_module) -> Tracing:
    """Spans that are sent by OTLP over HTTP; OpenTelemetry's own variables (OTEL_*) say where and which.

    Args:
        load: Imports a module.

    Raises:
        SettingsError: The packages are not installed.
    """
    try:
        trace = load("opentelemetry.trace")
        context = load("opentelemetry.trace.propagation.tracecontext")
        sdk = load("opentelemetry.sdk.trace")
        export = load("opentelemetry.sdk.trace.export")
        otlp = load("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        resources = load("opentelemetry.sdk.resources")
    except ModuleNotFoundError:
        raise SettingsError(
            "GATEWAY_TRACING: needs packages that are not installed: pip install 'gpuplane[tracing]'"
        ) from None
    resource = resources.Resource.create({"service.name": "gpuplane-gateway"})
    provider = sdk.TracerProvider(resource=resource)
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return OtelTracing(provider, trace, context.TraceContextTextMapPropagator())


class OtelTracing:
    """Spans by OpenTelemetry. They hold names and numbers, never content.

    Args:
        provider: Its tracer provider.
        trace: Its module of that name.
        propagator: Reads a trace context.
    """

    def __init__(self, provider: Any, trace: Any, propagator: Any) -> None:
        self._provider = provider
        self._trace = trace
        self._propagator = propagator
        self._tracer = provider.get_tracer("control_plane.gateway")

    def begin(self, call: Call) -> Callable[[Outcome], None]:
        """As `Tracing`."""
        parent = None
        if call.traceparent:
            parent = self._propagator.extract({"traceparent": call.traceparent.decode()})
        span = self._tracer.start_span(
            f"POST {call.endpoint.value}",
            context=parent,
            kind=self._trace.SpanKind.SERVER,
            attributes={
                "http.request.method": "POST",
                "url.path": call.endpoint.value,
                "gen_ai.request.model": call.model,
                "gpuplane.request_id": call.request_id,
                "gpuplane.tenant": call.tenant,
                "gpuplane.stream": call.stream,
            },
        )
        own = span.get_span_context()
        call.traceparent = b"00-%032x-%016x-%02x" % (own.trace_id, own.span_id, int(own.trace_flags))

        def end(outcome: Outcome) -> None:
            span.set_attributes(
                {
                    "http.response.status_code": outcome.status,
                    "gen_ai.usage.input_tokens": outcome.usage.prompt,
                    "gen_ai.usage.output_tokens": outcome.usage.completion,
                    "gpuplane.result": outcome.result.value,
                    "gpuplane.nodes": outcome.nodes,
                    "gpuplane.hops": outcome.hops,
                }
            )
            if outcome.result not in _GOOD:
                span.set_status(self._trace.StatusCode.ERROR, outcome.result.value)
            span.end()

        return end

    def close(self) -> None:
        """As `Tracing`."""
        self._provider.shutdown()
