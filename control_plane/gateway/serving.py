"""The HTTP server: uvicorn, what it lacks against hostile clients, and a shutdown that lets answers end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator
from typing import Any, cast
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from control_plane.gateway.call import Endpoint
from control_plane.gateway.errors import error_body, send_error
from control_plane.gateway.exchange import Asgi, Exchange
from control_plane.gateway.parts import Refused
from control_plane.settings import Settings

_CLOSE = [(b"connection", b"close")]
_ASKS_FOR_OTHER = frozenset({b"connection", b"upgrade", b"http2-settings"})
_PATHS = {endpoint.value.encode(): endpoint.value for endpoint in Endpoint}
"""Paths that are asked for again and again, and need no parsing."""
_GRACE_S = 10
"""After the drain, how long ended answers may take to be read, seconds."""
_MALFORMED = Refused(400, "This is no valid HTTP/1.1 request.", code="malformed_request")
_BUSY = Refused(
    503,
    "The gateway has too many connections; try again later.",
    code="too_many_connections",
    kind="server_error",
    headers=[(b"retry-after", b"1")],
)
_LONG_HEAD = Refused(431, "The head of the request is too long.", code="headers_too_large", headers=_CLOSE)
_SLOW_HEAD = Refused(408, "The head of the request took too long.", code="request_timeout")


class GuardedProtocol(HttpToolsProtocol):
    """One connection, with bounds on its number, on the head's length and on the head's time.

    `bounded` makes a class of it for some settings.
    """

    most_head_bytes = 32_768
    most_connections = 10_000

    waiting_since = 0.0
    """Since when a head is awaited, loop time; 0: a request is complete or there is none."""
    idle_since = 0.0
    """Since when nothing came after a complete answer, loop time; 0: something did."""
    _quiet_bytes = 0
    _head_bytes = 0
    _progress = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Too many are told so at once."""
        super().connection_made(transport)
        self.waiting_since = self.loop.time()
        if len(self.connections) > self.most_connections:
            self._refuse(_BUSY)

    def data_received(self, data: bytes) -> None:
        """Counts what brings no request forward: heads, trailers and line ends without end."""
        self._progress = False
        self.idle_since = 0.0
        self._head_bytes = self._quiet_bytes + len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(_MALFORMED)
            return
        if self._progress:
            self._quiet_bytes = 0
            return
        self._quiet_bytes += len(data)
        if not self.waiting_since and (self.cycle is None or self.cycle.response_complete):
            self.waiting_since = self.loop.time()
        if self._quiet_bytes > self.most_head_bytes and not self.transport.is_closing():
            self._refuse(_LONG_HEAD)

    def _stay(self, rest: bytes) -> None:
        """Serves a request that asks for another protocol in this one, as if it had not asked.

        Some clients (Java's) ask for HTTP/2 with every request; the parser takes no body then.

        Args:
            rest: What came after the head.
        """
        if self.scope["method"] == "CONNECT":
            self._refuse(_MALFORMED)
            return
        lines = [f"{self.scope['method']} ".encode() + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name not in _ASKS_FOR_OTHER]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Fields that come after a chunked body are dropped: they are no part of the head."""
        if self.cycle is None or self.cycle.scope is not self.scope:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A long head that came at once is refused, too."""
        self._progress = True
        if self.parser.should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            return
        self.waiting_since = 0.0
        app = self.app
        if self._head_bytes > self.most_head_bytes and self._head_length() > self.most_head_bytes:
            app = cast(Any, _refuse_long_head)
        version = self.parser.get_http_version()
        self._complete_scope(version)
        exchange = Exchange(
            self.scope,
            self.transport,
            self.flow,
            waits_for_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            ended=self.on_response_complete,
        )
        before, self.cycle = self.cycle, exchange
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, app)
        else:
            # It waits until the one before is answered.
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, app))

    def _head_length(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _complete_scope(self, version: str) -> None:
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        path = _PATHS.get(self.url)
        if path is not None:
            scope["path"], scope["raw_path"], scope["query_string"] = path, self.url, b""
            return
        url = httptools.parse_url(self.url)
        scope["path"] = unquote(url.path.decode("ascii"))
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        cycle.task = self.loop.create_task(cycle.serve(app, self.tasks))
        self.tasks.add(cycle.task)

    def on_response_complete(self) -> None:
        """Goes on with the next request that has come, or waits for one: `expire` ends that."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.idle_since = self.loop.time()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._progress = True
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._progress = True
        cycle = self.cycle
        if not self.parser.should_upgrade() and not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def expire(self, before: float, idle_before: float) -> None:
        """Ends the connection if its head has been awaited since before a time, or if it was idle for long.

        Args:
            before: For a head, loop time, seconds.
            idle_before: For a connection between requests, loop time, seconds.
        """
        if self.idle_since and self.idle_since <= idle_before:
            self.transport.close()
            return
        if not self.waiting_since or self.waiting_since > before or self.transport.is_closing():
            return
        if self._quiet_bytes:
            self._refuse(_SLOW_HEAD)
        else:
            self.transport.close()

    def _refuse(self, refused: Refused) -> None:
        body = error_body(refused)
        lines = [b"content-type: application/json", b"content-length: %d" % len(body), b"connection: close"]
        lines += [name + b": " + value for name, value in refused.headers if name != b"connection"]
        self.transport.write(STATUS_LINE[refused.status] + b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()


async def _refuse_long_head(_: Any, __: Any, send: Any) -> None:
    await send_error(send, _LONG_HEAD, [])


def bounded(most_head_bytes: int, most_connections: int) -> type[GuardedProtocol]:
    """A protocol with these bounds.

    Args:
        most_head_bytes: Longest head of a request.
        most_connections: Connections at the same time.
    """
    return type(
        "Bounded",
        (GuardedProtocol,),
        {"most_head_bytes": most_head_bytes, "most_connections": most_connections},
    )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, header_s: float) -> None:
        super().__init__(config)
        self._header_s = header_s

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are taken by `serve`."""
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, GuardedProtocol):
                    connection.expire(now - self._header_s, now - self.config.timeout_keep_alive)
        return await super().on_tick(counter)


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop: uvloop's where there is one."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def listen(settings: Settings) -> socket.socket:
    """The socket to accept at.

    Raises:
        OSError: The address is not free, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family, backlog=settings.backlog)


async def serve(
    app: Asgi,
    settings: Settings,
    listener: socket.socket,
    *,
    begin_drain: Callable[[], None],
    end_rest: Callable[[], None],
    listening: Callable[[], None],
) -> None:
    """Serves until SIGTERM or SIGINT, and then until the running answers have ended.

    The first signal begins the drain: `/ready` says no; after `drain_delay_s` nothing is accepted any more;
    answers go on for `drain_s`, the rest is ended. A second signal ends them at once.

    Args:
        app: The application.
        settings: All settings.
        listener: The socket.
        begin_drain: Called at the first signal.
        end_rest: Called when the time for draining is over: ends the remaining answers with an error.
        listening: Called once connections are accepted.
    """
    config = uvicorn.Config(
        app,
        loop="none",
        http=bounded(settings.max_header_bytes, settings.max_connections),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=settings.backlog,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=int(settings.drain_s) + _GRACE_S,
    )
    server = _Server(config, settings.header_s)
    loop = asyncio.get_running_loop()
    asked: list[asyncio.TimerHandle] = []

    def stop_accepting() -> None:
        server.should_exit = True

    def asked_to_end() -> None:
        if asked:
            server.should_exit = True
            end_rest()
            return
        begin_drain()
        asked.append(loop.call_later(settings.drain_delay_s, stop_accepting))
        asked.append(loop.call_later(settings.drain_delay_s + settings.drain_s, end_rest))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end)
    loop.call_soon(listening)
    try:
        await server.serve(sockets=[listener])
    finally:
        for timer in asked:
            timer.cancel()
