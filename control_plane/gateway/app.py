"""The raw ASGI application: what clients speak to. Everything that is refused is refused in OpenAI's form."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from control_plane.gateway.call import Call, Endpoint, Message, Outcome, Receive, Result, Send
from control_plane.gateway.cors import Cors
from control_plane.gateway.declared import ApiKey
from control_plane.gateway.errors import (
    NOT_BUILT,
    failed,
    invalid_key,
    not_allowed,
    not_found,
    send_bytes,
    send_error,
    wrong_method,
)
from control_plane.gateway.log import Log
from control_plane.gateway.metrics import CONTENT_TYPE, Metrics
from control_plane.gateway.models_api import Catalog
from control_plane.gateway.parsing import Parser
from control_plane.gateway.parts import Headers, Ledger, Limiter, Refused, Relay, Reservation
from control_plane.gateway.reading import ClientGone, answer_and_linger, read_body
from control_plane.gateway.tracing import Tracing, sane_traceparent

Handler = Callable[[Message, dict[bytes, bytes], Receive, Send, Headers], Awaitable[None]]
ENDPOINTS = {endpoint.value: endpoint for endpoint in Endpoint}
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MODELS = "/v1/models"
_GET = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one request, from the settings.

    Attributes:
        body_bytes: Longest body.
        body_s: How long it may take, seconds.
        queue_s: How long a request may wait for a node, seconds.
        default_max_tokens: Tokens reserved for an answer where the request names no maximum.
    """

    body_bytes: int
    body_s: float
    queue_s: float
    default_max_tokens: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application is made of.

    Attributes:
        find_key: The key that a client sent, if it is known, not expired and not revoked.
        catalog: Models.
        parser: Of bodies.
        limiter: Limits.
        ledger: Where requests are written down.
        relay: The way to the nodes.
        metrics: Counts.
        log: Log.
        not_ready: Why the gateway cannot serve now; empty: it can.
        admin: Serves `/admin/*`; None: there is no admin endpoint.
        tracing: Spans; None: none are made.
    """

    find_key: Callable[[bytes], ApiKey | None]
    catalog: Catalog
    parser: Parser
    limiter: Limiter
    ledger: Ledger
    relay: Relay
    metrics: Metrics
    log: Log
    not_ready: Callable[[], str]
    admin: Handler | None = None
    tracing: Tracing | None = None


class App:
    """The application.

    Args:
        parts: What it is made of.
        bounds: Limits of one request.
        cors: For pages of other origins.
        now: Monotonic seconds.
        new_id: Makes ids of requests.
    """

    def __init__(
        self,
        parts: Parts,
        bounds: Bounds,
        cors: Cors,
        *,
        now: Callable[[], float],
        new_id: Callable[[], str] = lambda: secrets.token_hex(12),
    ) -> None:
        self._parts = parts
        self._bounds = bounds
        self._cors = cors
        self._now = now
        self._new_id = new_id
        self._plain: dict[str, tuple[str, Handler]] = {
            "/health": ("GET, HEAD", self._health),
            "/ready": ("GET, HEAD", self._ready),
            "/metrics": ("GET, HEAD", self._metrics),
            _MODELS: ("GET, HEAD", self._models),
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"the gateway does not speak {scope['type']}")
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = self._new_id()
        given = headers.get(b"x-request-id")
        shown = given if given and _SANE_ID.fullmatch(given) else request_id.encode()
        out: Headers = [(b"x-request-id", shown)]
        if self._cors.on and b"origin" in headers:
            out += self._cors.headers(headers[b"origin"])
        sent = _Sent(send)
        try:
            endpoint = ENDPOINTS.get(scope["path"])
            if endpoint is not None and scope["method"] == "POST":
                await self._serve(endpoint, headers, request_id, receive, sent, out)
            else:
                await self._other(scope, headers, receive, sent, out)
        except Refused as refused:
            self._parts.metrics.rejected(refused.status, refused.code)
            if refused.status in (408, 413):
                await answer_and_linger(sent, receive, refused, out)
            else:
                await send_error(sent, refused, out)
        except ClientGone:
            self._parts.metrics.rejected(0, "client_gone")
        except Exception:
            self._parts.metrics.fault("app")
            self._parts.log.exception(
                "request failed", request_id=request_id, path_known=scope["path"] in ENDPOINTS
            )
            if not sent.begun:
                await send_error(sent, failed(), out)

    async def _serve(
        self,
        endpoint: Endpoint,
        headers: dict[bytes, bytes],
        request_id: str,
        receive: Receive,
        send: _Sent,
        out: Headers,
    ) -> None:
        parts, bounds = self._parts, self._bounds
        received = self._now()
        key = self._key(headers, "inference")
        body = await read_body(receive, headers.get(b"content-length"), bounds.body_bytes, bounds.body_s)
        call = parts.parser.parse(
            endpoint,
            body,
            request_id=request_id,
            tenant=key.tenant,
            key_id=key.id,
            received=received,
            deadline=received + bounds.queue_s,
        )
        call.model = parts.catalog.resolve(call.asked_model, key, request_id)
        price = parts.catalog.price(call.asked_model, call.model)
        answer = bounds.default_max_tokens if call.max_tokens is None else call.max_tokens
        answer *= call.choices
        prompt = call.prompt_tokens_estimate
        usd = price.usd(prompt, answer)
        call.traceparent = sane_traceparent(headers.get(b"traceparent"))
        reservation = await parts.limiter.take(call, key, prompt + answer, usd)
        await self._let_in(call, reservation, usd, price.usd, receive, send, out)

    async def _let_in(
        self,
        call: Call,
        reservation: Reservation,
        usd: float,
        cost: Callable[[int, int], float],
        receive: Receive,
        send: _Sent,
        out: Headers,
    ) -> None:
        """Serves a call for which everything was taken: given back and written down once, whatever comes."""
        parts = self._parts
        over = False
        end_span = None if parts.tracing is None else parts.tracing.begin(call)

        def done(outcome: Outcome) -> None:
            nonlocal over
            if over:
                return
            over = True
            parts.metrics.in_flight -= 1
            used = outcome.usage
            spent = cost(used.prompt, used.completion)
            try:
                parts.ledger.end(call, outcome, spent)
            except Exception:
                parts.metrics.fault("ledger")
                parts.log.exception("the ledger failed", request_id=call.request_id)
            parts.limiter.settle(reservation, used.prompt + used.completion, spent)
            parts.metrics.finished(call, outcome)
            if end_span is not None:
                end_span(outcome)
            if outcome.error or outcome.hops:
                self._tell(call, outcome)

        parts.metrics.in_flight += 1
        try:
            parts.ledger.begin(call, reservation.tokens, usd)
            await parts.relay.relay(call, out + reservation.headers, receive, send, done)
        except Refused as refused:
            result = Result.UNSERVED if refused.status >= 500 else Result.REFUSED_BY_NODE
            done(Outcome(result, refused.status, finished=self._now(), error=refused.code))
            refused.headers = refused.headers + reservation.headers
            raise
        finally:
            if not over:
                status = 0 if send.begun else 500
                done(Outcome(Result.BROKEN, status, finished=self._now(), error="fault of the gateway"))

    def _tell(self, call: Call, outcome: Outcome) -> None:
        self._parts.log.warning(
            "request in trouble",
            request_id=call.request_id,
            tenant=call.tenant,
            key=call.key_id,
            model=call.model,
            result=outcome.result.value,
            status=outcome.status,
            nodes=outcome.nodes,
            hops=outcome.hops,
            seconds=round(outcome.finished - call.received, 3),
            error=outcome.error,
        )

    def _key(self, headers: dict[bytes, bytes], scope: str) -> ApiKey:
        given = headers.get(b"authorization")
        if given is not None:
            kind, _, secret = given.partition(b" ")
            secret = secret.strip() if kind.lower() == b"bearer" else b""
        else:
            secret = headers.get(b"api-key") or headers.get(b"x-api-key") or b""
        key = self._parts.find_key(secret) if secret else None
        if key is None:
            raise invalid_key()
        if scope not in key.scopes:
            raise not_allowed(f"This API key may not be used for {scope}.")
        return key

    async def _other(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send, out: Headers
    ) -> None:
        path, method = scope["path"], scope["method"]
        if path.startswith("/admin/") and self._parts.admin is not None:
            await self._parts.admin(scope, headers, receive, send, out)
            return
        allowed, handler = self._route(path)
        if method == "OPTIONS" and self._cors.on:
            await send_bytes(send, 204, b"", headers=[*out, *self._cors.preflight(headers, allowed)])
            return
        if handler is None or method not in _GET:
            raise wrong_method(method, path, allowed)
        await handler(scope, headers, receive, send, out)  # the server sends no body for HEAD

    def _route(self, path: str) -> tuple[str, Handler | None]:
        """Methods that a path takes, and who serves its GET."""
        if path in self._plain:
            return self._plain[path]
        if path in ENDPOINTS:
            return "POST", None
        if path.startswith(_MODELS + "/"):
            return "GET, HEAD", self._models
        refused = not_found(path)
        if path == "/v1/responses" or path.startswith("/v1/responses/"):
            refused.message = NOT_BUILT
        raise refused

    async def _health(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send, out: Headers
    ) -> None:
        await send_bytes(send, 200, b'{"status":"alive"}', headers=out)

    async def _ready(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send, out: Headers
    ) -> None:
        reason = self._parts.not_ready()
        if reason:
            raise Refused(
                503, reason, code="not_ready", kind="server_error", headers=[(b"retry-after", b"1")]
            )
        await send_bytes(send, 200, b'{"status":"ready"}', headers=out)

    async def _metrics(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send, out: Headers
    ) -> None:
        await send_bytes(send, 200, self._parts.metrics.text(), kind=CONTENT_TYPE, headers=out)

    async def _models(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send, out: Headers
    ) -> None:
        key = self._key(headers, "models")
        name = scope["path"][len(_MODELS) + 1 :]
        body = self._parts.catalog.one(name, key) if name else self._parts.catalog.listing(key)
        await send_bytes(send, 200, body, headers=out)


class _Sent:
    """Notes whether an answer has begun."""

    __slots__ = ("_send", "begun")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    def __call__(self, message: Message) -> Awaitable[None]:
        self.begun = True
        return self._send(message)
