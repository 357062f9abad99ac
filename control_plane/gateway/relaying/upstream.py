"""Connections to the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict
from yarl import URL

from control_plane.gateway.call import Endpoint
from control_plane.gateway.declared import Node
from control_plane.gateway.relaying.lost import Lost
from control_plane.gateway.relaying.settings import RelaySettings

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey

_JSON = "application/json"
_SPARE_S = 1.0
"""How long connections without a request are kept beyond the number that stays, seconds."""
MAX_HEADER_BYTES = 16_384
"""Longest line of a node's answer's head, bytes."""


@dataclass(frozen=True, slots=True)
class _Way:
    """All that is the same for each request to a node."""

    node: Node
    urls: dict[str, URL]
    headers: dict[str, str]
    tls: aiohttp.Fingerprint | bool


class _Connector(aiohttp.TCPConnector):
    """Keeps only some connections without a request for each node; aiohttp itself keeps all for a time.

    Those beyond them go a second later: under load they are needed again at once, and a new one costs as much
    as a whole request.
    """

    def __init__(self, idle_per_node: int, idle_s: float) -> None:
        # How many requests a node gets is the router's to say.
        super().__init__(limit=0, keepalive_timeout=idle_s)
        self._idle_per_node = idle_per_node
        self._trimming = False

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if not self._trimming and len(self._conns.get(key, ())) > self._idle_per_node:
            self._trimming = True
            self._loop.call_later(_SPARE_S, self._trim)

    def _trim(self) -> None:
        self._trimming = False
        for idle in self._conns.values():
            while len(idle) > self._idle_per_node:
                protocol, _ = idle.popleft()
                protocol.close()


class Upstream:
    """One client for all nodes: an async context manager.

    It follows no redirects, keeps no cookies, decompresses nothing and never passes on a client's own key.

    Args:
        settings: Of the relaying.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._ways: dict[str, _Way] = {}

    async def __aenter__(self) -> Upstream:
        """Needs the running event loop."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(self._settings.idle_per_node, self._settings.idle_s),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            read_bufsize=262_144,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes all connections."""
        await self.close()

    async def close(self) -> None:
        """Closes all connections. Harmless when there are none."""
        if self._session is not None:
            await self._session.close()

    async def post(
        self, node: Node, endpoint: Endpoint, body: bytes, request_id: str, traceparent: bytes = b""
    ) -> aiohttp.ClientResponse:
        """Sends a request; returns as soon as the head of the answer is there.

        Args:
            node: To which.
            endpoint: What it is asked.
            body: JSON.
            request_id: Sent as `x-request-id`.
            traceparent: Trace context to pass on; empty for none.

        Raises:
            Lost: The node could not be reached, or cut the connection, or its answer is no HTTP.
        """
        way = self._way(node)
        headers = CIMultiDict(way.headers)
        headers["X-Request-Id"] = request_id
        if traceparent:
            headers["Traceparent"] = traceparent.decode("latin-1")
        return await self._send("POST", way, endpoint.value, body, headers)

    async def get(self, node: Node, path: str) -> aiohttp.ClientResponse:
        """Asks a node for something; like `post`."""
        way = self._way(node)
        return await self._send("GET", way, path, None, CIMultiDict(way.headers))

    async def _send(
        self, method: str, way: _Way, path: str, body: bytes | None, headers: CIMultiDict[str]
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("not entered")
        url = way.urls.get(path)
        if url is None:
            url = way.urls[path] = URL(way.node.url.rstrip("/") + path)
        try:
            return await self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False, ssl=way.tls
            )
        except aiohttp.ServerFingerprintMismatch:
            raise Lost("its certificate is not the pinned one") from None
        except aiohttp.ClientConnectorError as error:
            raise Lost(f"no connection: {_reason(error.os_error)}") from None
        except (TimeoutError, aiohttp.ServerTimeoutError):
            raise Lost("no connection in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Lost(f"no answer: {type(error).__name__}") from None

    def _way(self, node: Node) -> _Way:
        way = self._ways.get(node.name)
        if way is None or way.node is not node:
            headers = {"Content-Type": _JSON, "Accept": "*/*", "Accept-Encoding": "identity"}
            if node.api_key:
                headers["Authorization"] = f"Bearer {node.api_key}"
            pinned = aiohttp.Fingerprint(bytes.fromhex(node.tls_sha256)) if node.tls_sha256 else True
            way = self._ways[node.name] = _Way(node, {}, headers, pinned)
        return way


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


async def read_all(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The rest of an answer.

    Raises:
        Lost: It was cut, or is longer than `most` bytes.
    """
    length = response.content_length
    if length is not None and length > most:
        raise Lost("an answer that is too long")
    parts: list[bytes] = []
    left = most
    try:
        while part := await response.content.readany():
            left -= len(part)
            if left < 0:
                raise Lost("an answer that is too long")
            parts.append(part)
    except (aiohttp.ClientError, OSError) as error:
        raise Lost(f"the answer was cut: {type(error).__name__}") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)
