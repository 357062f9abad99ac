"""One request and its answer on a client's connection: uvicorn's, with less to do for each piece."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from control_plane.gateway.call import SENT, Message, Receive, Send

Asgi = Callable[[Message, Receive, Send], Awaitable[None]]
_BODILESS = (204, 304)
_log = logging.getLogger("uvicorn.error")


class Signal(asyncio.Event):
    """As much of an event as one waiter needs; made for each request."""

    def __init__(self) -> None:
        self._on = False
        self._waiter: asyncio.Future[None] | None = None

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._on

    def set(self) -> None:
        """Wakes whoever waits."""
        self._on = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """From here on it is waited for again."""
        self._on = False

    async def wait(self) -> bool:  # type: ignore[override]  # typeshed has Literal[True]
        """Until it is set."""
        if not self._on:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return True


class Exchange(RequestResponseCycle):
    """One request and its answer.

    Head and first piece of the body go out together, so that nothing is written before the body begins.

    Args:
        scope: The request, as ASGI has it.
        transport: The connection.
        flow: Its back-pressure.
        waits_for_continue: Whether the client sends the body only once it is asked to.
        keep_alive: Whether the connection can be used again.
        ended: Called once the answer is complete.
    """

    def __init__(
        self,
        scope: Any,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        waits_for_continue: bool,
        keep_alive: bool,
        ended: Callable[[], None],
    ) -> None:
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.logger = _log
        self.message_event = Signal()
        self.on_response = ended
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = waits_for_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.task: asyncio.Task[None] | None = None
        self._head = b""
        self._chunked = False
        self._left = 0
        self._bodiless = False
        self._streams = False

    async def serve(self, app: Asgi, tasks: set[asyncio.Task[None]]) -> None:
        """Lets the application answer.

        Args:
            app: The application.
            tasks: The running ones, of which this one's is no more afterwards.
        """
        try:
            await self.run_asgi(cast(Any, app))
        finally:
            if self.task is not None:
                tasks.discard(self.task)

    def send(self, message: Any) -> Awaitable[None]:  # type: ignore[override]  # awaited all the same
        """Sends a piece of the answer. Its headers' names are in lower case, as ASGI has it.

        Returns:
            `SENT` where nothing has to be waited for.

        Raises:
            RuntimeError: The application does not speak ASGI.
        """
        if self.disconnected:
            return SENT
        if self.flow.write_paused:
            return self._send_later(message)
        if self._streams and (body := message.get("body")) and message.get("more_body"):
            # One more piece of a stream: all that there is to do most of the time.
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
            return SENT
        self._send(message)
        return SENT

    async def _send_later(self, message: Message) -> None:
        await self.flow.drain()
        if not self.disconnected:
            self._send(message)

    def _send(self, message: Message) -> None:
        if not self.response_started:
            if message["type"] != "http.response.start":
                raise RuntimeError("the body of an answer before its head")
            self._begin(message["status"], message.get("headers", ()))
            return
        if self.response_complete or message["type"] != "http.response.body":
            raise RuntimeError("more than one answer")
        body = message.get("body", b"")
        more = message.get("more_body", False)
        if self._bodiless:
            piece = b""
        elif self._chunked:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                piece += b"0\r\n\r\n"
        else:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("an answer that is not as long as its head says")
            piece = body
        if self._head:
            piece = self._head + piece
            self._head = b""
            self._streams = self._chunked and not self._bodiless
        if piece:
            self.transport.write(piece)
        if not more:
            self._streams = False
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _begin(self, status: int, headers: Any) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [STATUS_LINE[status]]
        chunked, closes = True, False
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
                chunked = False
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
                closes = True
            lines.append(b"%b: %b\r\n" % (name, value))
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        self._bodiless = status in _BODILESS or self.scope["method"] == "HEAD"
        self._chunked = chunked
        if chunked and not self._bodiless:
            lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("a header with a line end in it")
        self._head = head + b"\r\n"
