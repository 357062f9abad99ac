"""The baseline: an ASGI proxy that passes every request and answer through and does nothing else.

`python -m benchmarks.gateway_parts.bare --node URL --key KEY --port PORT`, with the same server (uvicorn,
uvloop, httptools) and the same client (aiohttp) as the gateway.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import uvicorn

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class Bare:
    """The proxy.

    Args:
        node: URL of the one node, without `/v1`.
        key: Its key.
    """

    def __init__(self, node: str, key: str) -> None:
        self._node = node
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        assert self._session is not None
        async with self._session.request(
            scope["method"], self._node + scope["path"], data=body, headers=self._headers
        ) as answer:
            kind = answer.headers.get("content-type", "application/json").encode()
            start = {"type": "http.response.start", "status": answer.status}
            if answer.content_length is not None:
                content = await answer.read()
                length = str(len(content)).encode()
                await send({**start, "headers": [(b"content-type", kind), (b"content-length", length)]})
                await send({"type": "http.response.body", "body": content})
                return
            await send({**start, "headers": [(b"content-type", kind)]})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _lifespan(self, receive: _Receive, send: _Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
                )
                await send({"type": "lifespan.startup.complete"})
            else:
                assert self._session is not None
                await self._session.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    uvicorn.run(
        Bare(given.node, given.key),
        host="127.0.0.1",
        port=given.port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
