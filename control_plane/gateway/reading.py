"""Reads a request's body, within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from types import coroutine
from typing import Any

from control_plane.gateway.call import Message, Receive, Send
from control_plane.gateway.errors import error_body
from control_plane.gateway.parts import Headers, Refused

_LINGER_S = 2.0
"""How long a client that sends too much is listened to after the answer, seconds: it may read it last."""


class ClientGone(Exception):
    """The client went away before its request was complete."""


async def read_body(receive: Receive, length: bytes | None, max_bytes: int, seconds: float) -> bytes:
    """The whole body.

    Args:
        receive: The client's side.
        length: Value of `content-length`, checked by the server to be a number; None without one.
        max_bytes: Longest body that is taken.
        seconds: How long it may take.

    Raises:
        Refused: 413 or 408. Its connection cannot be used again (`linger`).
        ClientGone: There is nobody to answer.
    """
    if length is not None and int(length) > max_bytes:
        raise _too_long(max_bytes)
    first, complete = await _first(receive, seconds)
    if complete:
        if len(first) > max_bytes:
            raise _too_long(max_bytes)
        return first
    body = bytearray(first)
    with _in_time(seconds):
        async with asyncio.timeout(seconds):
            while not complete:
                if len(body) > max_bytes:
                    raise _too_long(max_bytes)
                piece, complete = _content(await receive())
                body += piece
    if len(body) > max_bytes:
        raise _too_long(max_bytes)
    return bytes(body)


async def _first(receive: Receive, seconds: float) -> tuple[bytes, bool]:
    """The first piece, and whether it is the last one.

    Most bodies are there already: then nothing is waited for, and no timer is needed.
    """
    waiting = receive()
    if isinstance(waiting, Coroutine):
        try:
            awaited = waiting.send(None)
        except StopIteration as came:
            return _content(came.value)
        waiting = _rest(waiting, awaited)
    with _in_time(seconds):
        async with asyncio.timeout(seconds):
            return _content(await waiting)


@coroutine
def _rest(begun: Coroutine[Any, Any, Message], awaited: Any) -> Generator[Any, Any, Message]:
    """What is left of a coroutine that has begun to wait."""
    while True:
        try:
            given = yield awaited
        except BaseException as error:
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, given)
        try:
            awaited = step()
        except StopIteration as came:
            message: Message = came.value
            return message


def _content(message: Message) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), not message.get("more_body", False)


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise Refused(
            408,
            f"The body did not arrive within {seconds:g} s.",
            code="request_timeout",
            headers=[(b"connection", b"close")],
        ) from None


async def answer_and_linger(send: Send, receive: Receive, refused: Refused, headers: Headers) -> None:
    """Answers a request whose body was not read to its end, and closes the connection a little later.

    Closing at once would make the client's system throw the answer away while it still sends.

    Args:
        send: The client's side.
        receive: The client's side.
        refused: What to say.
        headers: Added to the refusal's own.
    """
    body = error_body(refused)
    start: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *headers,
        *refused.headers,
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(_LINGER_S):
            more = True
            while more:
                message = await receive()
                more = message["type"] == "http.request" and message.get("more_body", False)
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


def _too_long(max_bytes: int) -> Refused:
    return Refused(
        413,
        f"The body is longer than {max_bytes} bytes.",
        code="request_too_large",
        headers=[(b"connection", b"close")],
    )
