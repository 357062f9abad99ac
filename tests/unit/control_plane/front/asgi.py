"""Drives the application without a server, with stand-ins for the parts that others test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from control_plane.gateway.app import App, Bounds, Parts
from control_plane.gateway.call import Call, Message, Outcome, Receive, Result, Send, Usage
from control_plane.gateway.cors import Cors
from control_plane.gateway.declared import ApiKey, Declared, Model, Node, Target, Tenant
from control_plane.gateway.errors import send_bytes
from control_plane.gateway.keys import KeyTable, digest
from control_plane.gateway.metrics import Metrics
from control_plane.gateway.models_api import Catalog
from control_plane.gateway.parsing import Parser
from control_plane.gateway.parts import Headers, Refused, Reservation

SECRET = "gp-secret-of-the-tests"
BOUND_SECRET = "gp-bound-to-one-model"
LISTING_SECRET = "gp-only-for-the-list"
DECLARED = Declared(
    tenants=(Tenant("team"),),
    keys=(
        ApiKey("main", "team", digest(SECRET)),
        ApiKey("bound", "team", digest(BOUND_SECRET), models=("small",)),
        ApiKey("listing", "team", digest(LISTING_SECRET), scopes=("models",)),
        ApiKey("old", "team", digest("gp-old"), expires_at=500.0),
        ApiKey("gone", "team", digest("gp-gone"), revoked=True),
    ),
    nodes=(Node("n", "http://127.0.0.1:1", ("small", "org/large")),),
    models=(
        Model("chat", (Target("small", 9), Target("org/large", 1)), prompt_usd_per_million=1.0),
        Model("small", completion_usd_per_million=2.0),
    ),
)
HELLO = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def _note(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    info = warning = error = exception = _note


@dataclass
class FakeLimiter:
    """Notes what is taken and given back; refuses if told to."""

    refusal: Refused | None = None
    taken: list[tuple[int, float]] = field(default_factory=list)
    settled: list[tuple[int, float]] = field(default_factory=list)

    async def take(self, call: Call, key: ApiKey, tokens: int, usd: float) -> Reservation:
        if self.refusal is not None:
            raise self.refusal
        self.taken.append((tokens, usd))
        return Reservation(tokens, usd, [(b"x-ratelimit-limit-requests", b"7")])

    def settle(self, reservation: Reservation, tokens: int, usd: float) -> None:
        self.settled.append((tokens, usd))


@dataclass
class FakeLedger:
    """Notes beginnings and ends; fails if told to."""

    begun: list[Call] = field(default_factory=list)
    ended: list[tuple[Call, Outcome, float]] = field(default_factory=list)
    failure: Exception | None = None

    def begin(self, call: Call, tokens: int, usd: float) -> None:
        self.begun.append(call)

    def end(self, call: Call, outcome: Outcome, usd: float) -> None:
        if self.failure is not None:
            raise self.failure
        self.ended.append((call, outcome, usd))


@dataclass
class FakeRelay:
    """Answers `{}` for 10 and 20 tokens, or does what it is told."""

    error: BaseException | None = None
    late: bool = False
    calls: list[Call] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    async def relay(
        self, call: Call, headers: Headers, receive: Receive, send: Send, done: Callable[[Outcome], None]
    ) -> None:
        self.calls.append(call)
        self.before()
        if self.error is not None and not self.late:
            raise self.error
        usage = Usage(engine_prompt=10, engine_completion=20, prompt=10, completion=20)
        if self.error is not None:
            start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
            await send(start)
            raise self.error
        done(Outcome(Result.OK, 200, usage, ["n"], first_byte=call.received, finished=call.received))
        await send_bytes(send, 200, b"{}", headers=headers)


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name.encode()]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0].decode() if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error; it must have OpenAI's form."""
        content = self.json
        assert set(content) == {"error"}
        assert set(content["error"]) == {"message", "type", "param", "code"}
        assert isinstance(content["error"]["message"], str)
        error: dict[str, Any] = content["error"]
        return error


class World:
    """An application with stand-ins.

    Args:
        origins: Allowed by CORS.
        body_s: How long a body may take, seconds.
        admin: The admin endpoint, if any.
    """

    def __init__(
        self, *, origins: Sequence[str] = (), body_s: float = 30.0, admin: Any = None, tracing: Any = None
    ) -> None:
        self.catalog = Catalog(100.0)
        self.catalog.update(DECLARED)
        self.keys = KeyTable()
        self.keys.update(DECLARED)
        self.limiter = FakeLimiter()
        self.ledger = FakeLedger()
        self.relay = FakeRelay()
        self.metrics = Metrics(self.catalog.knows)
        self.log = Log()
        self.reason = ""
        self.ids = iter(f"id{number}" for number in range(10_000))
        self.app = App(
            Parts(
                find_key=lambda secret: self.keys.lookup(secret, 1000.0),
                catalog=self.catalog,
                parser=Parser(128),
                limiter=self.limiter,
                ledger=self.ledger,
                relay=self.relay,
                metrics=self.metrics,
                log=self.log,  # type: ignore[arg-type]  # only what the application uses of it
                not_ready=lambda: self.reason,
                admin=admin,
                tracing=tracing,
            ),
            Bounds(body_bytes=10_000, body_s=body_s, queue_s=30.0, default_max_tokens=100),
            Cors(origins),
            now=lambda: 50.0,
            new_id=lambda: next(self.ids),
        )

    def ask(
        self,
        method: str = "POST",
        path: str = "/v1/chat/completions",
        body: bytes | dict[str, Any] = b"",
        headers: dict[str, str] | None = None,
        secret: str = SECRET,
        pieces: Sequence[Message] | None = None,
    ) -> Answer:
        """One request."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {secret}"} if secret else {}
        sent |= headers or {}
        whole: Message = {"type": "http.request", "body": raw}
        arriving = [whole] if pieces is None else list(pieces)
        return asyncio.run(self._ask(method, path, sent, arriving))

    async def _ask(self, method: str, path: str, headers: dict[str, str], arriving: list[Message]) -> Answer:
        got: list[Message] = []

        async def receive() -> Message:
            if arriving:
                return arriving.pop(0)
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(message: Message) -> None:
            got.append(message)

        raw_path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(raw_path),
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await self.app(scope, receive, send)
        if not got:
            return Answer(0, [], b"")
        start, *rest = got
        assert start["type"] == "http.response.start"
        assert all(message["type"] == "http.response.body" for message in rest)
        content = b"".join(message.get("body", b"") for message in rest)
        answer = Answer(start["status"], list(start["headers"]), content)
        length = answer.header("content-length")
        assert length is None or int(length) == len(content)
        return answer
