"""The little HTTP that the emulators need on top of ASGI: request, answer, stream, cut connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class CutConnection(Exception):
    """Ends the connection without (further) answer."""


@dataclass(slots=True)
class Request:
    """One request as the emulators see it.

    Attributes:
        method: Upper case.
        path: Decoded path, without the query.
        query: Query parameters; the last value of a repeated one counts.
        headers: Names in lower case.
        body: The whole body.
        route: The path with its variable parts named, set by whoever answers; what the counters count by.
        plane: `api` for calls to the cloud, `node` for traffic to a rented node.
        account: Whose key it carried, once known.
        encrypted: Whether it came by TLS.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    route: str = ""
    plane: str = "api"
    account: str = ""
    encrypted: bool = False

    def json(self) -> object:
        """The body as JSON.

        Raises:
            ValueError: It is none.
        """
        return json.loads(self.body)

    def bearer(self) -> str:
        """The token of `Authorization: Bearer …`; empty if there is none."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(slots=True)
class Response:
    """A whole answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """An answer sent in pieces."""

    chunks: AsyncIterator[bytes]
    content_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200


Answer = Response | Stream


def json_response(value: object, status: int = 200) -> Response:
    """An answer with a JSON body."""
    return Response(status, dump_json(value))


def dump_json(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def html_response(status: int, title: str, text: str, headers: dict[str, str] | None = None) -> Response:
    """A web page, such as proxies answer with."""
    page = (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>"
        f"<body><h1>{title}</h1><p>{text}</p></body></html>\n"
    )
    return Response(status, page.encode(), "text/html; charset=UTF-8", dict(headers or {}))


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Reads one whole request.

    Raises:
        CutConnection: The client went away before it had sent everything.
    """
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CutConnection
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    raw_path: bytes = scope.get("raw_path") or str(scope["path"]).encode()
    return Request(
        method=scope["method"],
        path=unquote(raw_path.decode("latin-1")),
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=b"".join(parts),
        encrypted=scope.get("scheme") == "https",
    )


async def send_answer(
    answer: Answer, send: Send, receive: Receive | None = None, *, head_only: bool = False
) -> None:
    """Sends an answer; for HEAD its headers only. A stream ends when `receive` says its client has gone."""
    body = b"" if isinstance(answer, Stream) else answer.body
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    if isinstance(answer, Stream) or answer.status not in (204, 304):
        headers.append((b"content-type", answer.content_type.encode()))
    if isinstance(answer, Response) and answer.status not in (204, 304):
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if head_only or isinstance(answer, Response):
        await send({"type": "http.response.body", "body": b"" if head_only else body})
        return
    sending = asyncio.ensure_future(_send_chunks(answer.chunks, send))
    leaving = asyncio.ensure_future(receive()) if receive else None
    try:
        await asyncio.wait([task for task in (sending, leaving) if task], return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for task in (sending, leaving):
            if task is not None and not task.done():
                task.cancel()


async def _send_chunks(chunks: AsyncIterator[bytes], send: Send) -> None:
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
