"""Requests to the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from urllib.parse import quote, urlsplit

from control_plane.gateway.call import Endpoint
from control_plane.gateway.declared import Node
from control_plane.gateway.relaying.connection import Answer
from control_plane.gateway.relaying.lost import Lost
from control_plane.gateway.relaying.pool import Pool
from control_plane.gateway.relaying.settings import RelaySettings


@dataclass(frozen=True, slots=True)
class _Way:
    """All that is the same for each request to a node."""

    node: Node
    pool: Pool
    path: str
    common: str
    posts: dict[str, bytes]


class Upstream:
    """One client for all nodes: an async context manager.

    It follows no redirects, keeps no cookies, decompresses nothing and never passes on a client's own key.

    Args:
        settings: Of the relaying.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._ways: dict[str, _Way] = {}

    async def __aenter__(self) -> Upstream:
        """Connects to nobody yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes all connections."""
        await self.close()

    async def close(self) -> None:
        """Closes all connections. Harmless when there are none."""
        while self._ways:
            _, way = self._ways.popitem()
            await way.pool.close()

    async def post(
        self, node: Node, endpoint: Endpoint, body: bytes, request_id: str, traceparent: bytes = b""
    ) -> Answer:
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
        start = way.posts.get(endpoint.value)
        if start is None:
            start = way.posts[endpoint.value] = (
                f"POST {way.path}{endpoint.value} HTTP/1.1\r\n{way.common}"
                "Content-Type: application/json\r\nX-Request-Id: "
            ).encode("latin-1")
        head = b"%b%b\r\nContent-Length: %d\r\n" % (start, request_id.encode(), len(body))
        if traceparent:
            head += b"Traceparent: %b\r\n" % traceparent
        connection = way.pool.idle() or await way.pool.get()
        return await connection.ask(head + b"\r\n", body)

    async def get(self, node: Node, path: str) -> Answer:
        """Asks a node for something; like `post`."""
        way = self._way(node)
        head = f"GET {way.path}{path} HTTP/1.1\r\n{way.common}\r\n".encode("latin-1")
        connection = await way.pool.get()
        return await connection.ask(head, b"")

    def _way(self, node: Node) -> _Way:
        way = self._ways.get(node.name)
        if way is not None and way.node is node:
            return way
        url = urlsplit(node.url)
        tls = url.scheme == "https"
        host = (url.hostname or "").encode("idna").decode()
        port = url.port or (443 if tls else 80)
        shown = f"[{host}]" if ":" in host else host
        if url.port is not None:
            shown += f":{url.port}"
        lines = [f"Host: {shown}", "Accept: */*", "Accept-Encoding: identity"]
        if node.api_key:
            if not node.api_key.isascii() or not node.api_key.isprintable():
                raise Lost("its key has characters that no header may have")
            lines.append(f"Authorization: Bearer {node.api_key}")
        if way is not None:
            way.pool.retire()
        made = self._ways[node.name] = _Way(
            node,
            Pool(host, port, tls, node.tls_sha256, self._settings),
            quote(url.path.rstrip("/"), safe="/%:@!$&'()*+,;=~"),
            "".join(f"{line}\r\n" for line in lines),
            {},
        )
        return made


async def read_all(response: Answer, most: int) -> bytes:
    """The rest of an answer.

    Raises:
        Lost: It was cut, or is longer than `most` bytes.
    """
    length = response.content_length
    if length is not None and length > most:
        raise Lost("an answer that is too long")
    parts: list[bytes] = []
    left = most
    while part := await response.read():
        left -= len(part)
        if left < 0:
            raise Lost("an answer that is too long")
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
