"""Reads a request's body, within its limits."""

from __future__ import annotations

import asyncio

from control_plane.gateway.call import Receive, Send
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
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            first: bytes = message.get("body", b"")
            if not message.get("more_body", False):
                if len(first) > max_bytes:
                    raise _too_long(max_bytes)
                return first
            body = bytearray(first)
            while True:
                if len(body) > max_bytes:
                    raise _too_long(max_bytes)
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise Refused(
            408,
            f"The body did not arrive within {seconds:g} s.",
            code="request_timeout",
            headers=[(b"connection", b"close")],
        ) from None
    if len(body) > max_bytes:
        raise _too_long(max_bytes)
    return bytes(body)


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
