"""Spans are optional; a trace context is passed on either way."""

from types import SimpleNamespace
from typing import Any

import pytest

from control_plane.gateway.call import Result
from control_plane.gateway.tracing import OtelTracing, open_tracing, sane_traceparent
from control_plane.settings import SettingsError
from tests.unit.control_plane.front.asgi import HELLO, World

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class FakeSpan:
    def __init__(self, name: str, context: Any, kind: str, attributes: dict[str, Any]) -> None:
        self.name = name
        self.context = context
        self.attributes = dict(attributes)
        self.status: tuple[str, str] | None = None
        self.ended = 0

    def get_span_context(self) -> Any:
        return SimpleNamespace(trace_id=0xABC, span_id=0xDEF, trace_flags=1)

    def set_attributes(self, attributes: dict[str, Any]) -> None:
        self.attributes |= attributes

    def set_status(self, code: str, description: str) -> None:
        self.status = (code, description)

    def end(self) -> None:
        self.ended += 1


class FakeOtel:
    """As much of OpenTelemetry as is used."""

    SpanKind = SimpleNamespace(SERVER="server")
    StatusCode = SimpleNamespace(ERROR="error")

    def __init__(self) -> None:
        self.spans: list[FakeSpan] = []
        self.closed = False

    def get_tracer(self, name: str) -> "FakeOtel":
        return self

    def start_span(self, name: str, *, context: Any, kind: str, attributes: dict[str, Any]) -> FakeSpan:
        self.spans.append(FakeSpan(name, context, kind, attributes))
        return self.spans[-1]

    def extract(self, carrier: dict[str, str]) -> Any:
        return carrier["traceparent"]

    def shutdown(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (GIVEN.encode(), GIVEN.encode()),
        (None, b""),
        (b"", b""),
        (b"garbage", b""),
        (GIVEN.upper().encode(), b""),
        (GIVEN.encode() + b"-x", b""),
    ],
)
def test_only_what_looks_like_a_trace_context_is_passed_on(given, passed):
    assert sane_traceparent(given) == passed


def test_without_spans_the_clients_context_goes_to_the_node():
    world = World()
    world.ask(body=HELLO, headers={"traceparent": GIVEN})
    assert world.relay.calls[0].traceparent == GIVEN.encode()


def test_a_span_lies_between_the_client_and_the_node():
    otel = FakeOtel()
    world = World(tracing=OtelTracing(otel, otel, otel))
    world.ask(body=HELLO, headers={"traceparent": GIVEN})
    (span,) = otel.spans
    assert (span.name, span.context, span.ended, span.status) == ("POST /v1/chat/completions", GIVEN, 1, None)
    assert world.relay.calls[0].traceparent == b"00-%032x-%016x-01" % (0xABC, 0xDEF)
    assert span.attributes["gen_ai.usage.output_tokens"] == 20
    assert span.attributes["gpuplane.result"] == "ok"
    assert "hi" not in span.attributes.values()


def test_a_request_that_fails_is_an_error_of_its_span():
    otel = FakeOtel()
    world = World(tracing=OtelTracing(otel, otel, otel))
    world.relay.error = RuntimeError("boom")
    world.ask(body=HELLO)
    (span,) = otel.spans
    assert (span.context, span.ended) == (None, 1)
    assert span.status == ("error", Result.BROKEN.value)


def test_spans_without_their_packages_are_one_clear_line():
    def load(name: str) -> Any:
        raise ModuleNotFoundError(name)

    with pytest.raises(SettingsError, match=r"GATEWAY_TRACING: .*pip install 'gpuplane\[tracing\]'"):
        open_tracing(load)
