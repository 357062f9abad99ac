"""One HTTP/1.1 connection to a node, for one request after the other.

A client library (aiohttp) takes as much CPU time for a request as all the rest of the gateway together. This
does only what the relay needs: it sends a whole request, and hands out the answer's body in the pieces in
which it comes. What is HTTP and what is not is llhttp's to say (httptools), as on the server's side.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from control_plane.gateway.relaying.lost import Lost

MOST_HEAD_BYTES = 65_536
"""Longest head of a node's answer, bytes."""
_PAUSE_BYTES = 262_144
"""From this many bytes on that nobody has taken, the node has to wait."""


class Owner(Protocol):
    """Who has the connection while no request does."""

    def free(self, connection: Connection) -> None:
        """It can be used again."""

    def lost(self, connection: Connection) -> None:
        """It is closed."""


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        owner: Told what becomes of it.
        loop: The event loop.

    Attributes:
        usable: Whether another request may be sent.
        since: Since when it has no request; the owner's.
    """

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self.usable = False
        self.since = 0.0
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._head: asyncio.Future[Answer] | None = None
        self._head_bytes = 0
        self._headers: dict[str, str] = {}
        self._answer: Answer | None = None

    async def ask(self, request: bytes, body: bytes) -> Answer:
        """Sends a request; returns as soon as the head of the answer is there.

        Args:
            request: Its head.
            body: Its body.

        Raises:
            Lost: The node cut the connection, or its answer is no HTTP.
        """
        transport = self._transport
        if transport is None or not self.usable:
            raise Lost("no answer: the connection is closed")
        self.usable = False
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        head: asyncio.Future[Answer] = self._loop.create_future()
        self._head = head
        if len(body) < MOST_HEAD_BYTES:
            transport.write(request + body)
        else:
            transport.write(request)
            transport.write(body)
        try:
            return await head
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Closes it at once."""
        self.usable = False
        self._fail("closed here")
        if self._transport is not None:
            self._transport.abort()

    def pause(self, on: bool) -> None:
        """Makes the node wait, or go on."""
        if self._transport is not None and not self._transport.is_closing():
            # A connection that is being closed reads no more anyway.
            with contextlib.suppress(RuntimeError):
                (self._transport.pause_reading if on else self._transport.resume_reading)()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Something came."""
        parser = self._parser
        if parser is None:
            # Nobody has asked for anything.
            self.abort()
            return
        if self._head is not None:
            self._head_bytes += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("no answer: it is no HTTP")
            self.abort()
            return
        if self._head is not None and self._head_bytes > MOST_HEAD_BYTES:
            self._fail("no answer: its head is too long")
            self.abort()

    def eof_received(self) -> None:
        """The node sends nothing more; an answer without a length is whole by that."""
        self.usable = False
        answer = self._answer
        if answer is not None and answer.ends_with_connection:
            self._answer = None
            answer.finish()

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        self.usable = False
        self._fail("the connection was cut" if error else "the connection was closed")
        self._owner.lost(self)

    # What the parser tells.

    def on_message_begin(self) -> None:
        """A head comes."""
        self._headers = {}
        if self._parser is None:
            # A second answer to one request.
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of it."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there."""
        head, parser = self._head, self._parser
        if head is None or parser is None:
            return
        status = parser.get_status_code()
        if status < 200:
            # Word that the answer is on its way.
            return
        self._head = None
        answer = self._answer = Answer(self, self._loop, status, self._headers)
        if not head.done():
            head.set_result(answer)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._answer is not None:
            self._answer.feed(data)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        answer, parser, transport = self._answer, self._parser, self._transport
        if answer is None or parser is None or transport is None:
            return
        self._answer = self._parser = None
        if (
            parser.should_keep_alive()
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            self.usable = True
            self._owner.free(self)
        else:
            transport.close()
        answer.finish()

    def _fail(self, why: str) -> None:
        self._parser = None
        head, self._head = self._head, None
        if head is not None and not head.done():
            head.set_exception(Lost(why))
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.fail(Lost(why))


class Answer:
    """A node's answer.

    Args:
        connection: Where it comes from.
        loop: The event loop.
        status: HTTP status.
        headers: By their names in lower case.
    """

    __slots__ = (
        "_connection",
        "_consume",
        "_error",
        "_loop",
        "_pieces",
        "_size",
        "_waiter",
        "_whole",
        "headers",
        "status",
    )

    def __init__(
        self, connection: Connection, loop: asyncio.AbstractEventLoop, status: int, headers: dict[str, str]
    ) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0
        self._whole = False
        self._error: Lost | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._consume: Callable[[bytes], bool] | None = None

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, where the head says so."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else None

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection says where the body ends."""
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers

    async def read(self) -> bytes:
        """All of the body that has come and was not read yet; empty: it is whole.

        Raises:
            Lost: It was cut. What came before was given out.
        """
        while not self._pieces:
            if self._whole:
                return b""
            if self._error is not None:
                raise self._error
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None
        return self._taken()

    async def pump(self, consume: Callable[[bytes], bool]) -> bool:
        """Gives each piece of the body away as soon as it comes, without a turn of the event loop for each.

        Args:
            consume: Takes a piece; says whether it wants more. What it raises is raised here.

        Returns:
            Whether the body is whole; else it wants no more.

        Raises:
            Lost: The body was cut. What came before was given away.
        """
        while self._pieces:
            if not consume(self._taken()):
                return False
        if not self._whole and self._error is None:
            waiter = self._waiter = self._loop.create_future()
            self._consume = consume
            try:
                await waiter
            finally:
                wants_more = self._consume is not None
                self._waiter = self._consume = None
            if not wants_more:
                return False
        if self._whole:
            return True
        if self._error is not None:
            raise self._error
        return False

    def _taken(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._size > _PAUSE_BYTES:
            self._connection.pause(False)
        self._size = 0
        return data

    def close(self) -> None:
        """Wants no more of it. Harmless when it is whole."""
        if not self._whole and self._error is None:
            self._connection.abort()

    # What the connection tells.

    def feed(self, data: bytes) -> None:
        """A piece of the body."""
        consume, waiter = self._consume, self._waiter
        if consume is not None and waiter is not None and not waiter.done():
            try:
                if consume(data):
                    return
                waiter.set_result(None)
            except Exception as error:
                waiter.set_exception(error)
            self._consume = None
            return
        paused = self._size > _PAUSE_BYTES
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _PAUSE_BYTES and not paused:
            self._connection.pause(True)
        self._wake()

    def finish(self) -> None:
        """That was all."""
        self._whole = True
        if self._size > _PAUSE_BYTES:
            # The connection is another request's from now on.
            self._connection.pause(False)
            self._size = 0
        self._wake()

    def fail(self, error: Lost) -> None:
        """Nothing more comes."""
        self._error = error
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
