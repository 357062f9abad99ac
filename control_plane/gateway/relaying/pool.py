"""The connections to one node."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import socket
import ssl
from collections import deque

from control_plane.gateway.relaying.connection import Connection
from control_plane.gateway.relaying.lost import Lost
from control_plane.gateway.relaying.settings import RelaySettings

_SWEEP_S = 1.0
"""How long more connections than are to stay are kept without a request, seconds: under load they are needed
again at once, and a new one costs as much as a whole request."""


class Pool:
    """Connections to one node.

    Args:
        host: Its name or address.
        port: Its port.
        tls: Whether it speaks TLS.
        tls_sha256: SHA-256 of its certificate, hex: no other is accepted; empty: the usual authorities.
        settings: Of the relaying.
    """

    def __init__(self, host: str, port: int, tls: bool, tls_sha256: str, settings: RelaySettings) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._pinned = bytes.fromhex(tls_sha256)
        self._settings = settings
        self._idle: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._none_left: asyncio.Future[None] | None = None
        self._closed = False

    def idle(self) -> Connection | None:
        """A connection without a request, where there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def get(self) -> Connection:
        """A connection without a request; a new one where there is none.

        Raises:
            Lost: The node can't be reached, or is another one than was pinned.
        """
        connection = self.idle()
        if connection is not None:
            return connection
        if self._closed:
            raise Lost("no connection: the node was taken out")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.connect_s):
                transport, connection = await loop.create_connection(
                    lambda: Connection(self, loop),
                    self._host,
                    self._port,
                    ssl=_context(bool(self._pinned)) if self._tls else None,
                    server_hostname=self._host if self._tls else None,
                )
        except TimeoutError:
            raise Lost("no connection in time") from None
        except ssl.SSLError as error:
            raise Lost(f"no connection: {error.reason or type(error).__name__}") from None
        except socket.gaierror:
            raise Lost("no connection: its name is not known") from None
        except OSError as error:
            raise Lost(f"no connection: {error.strerror or type(error).__name__}") from None
        if self._pinned and self._tls:
            shown = transport.get_extra_info("ssl_object").getpeercert(True) or b""
            if not hmac.compare_digest(hashlib.sha256(shown).digest(), self._pinned):
                transport.abort()
                raise Lost("its certificate is not the pinned one")
        plug = transport.get_extra_info("socket")
        if plug is not None:
            # A node whose machine is gone is noticed at some time even where nothing is sent.
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._all.add(connection)
        return connection

    async def close(self) -> None:
        """Closes all connections."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._all:
            self._none_left = asyncio.get_running_loop().create_future()
            for connection in list(self._all):
                connection.abort()
            await self._none_left

    def retire(self) -> None:
        """No new requests come: closes connections as soon as they have none."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    # What connections tell.

    def free(self, connection: Connection) -> None:
        """It can be used again."""
        if self._closed:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(_SWEEP_S, self._tidy)

    def lost(self, connection: Connection) -> None:
        """It is closed."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._all and self._none_left is not None and not self._none_left.done():
            self._none_left.set_result(None)

    def _tidy(self) -> None:
        loop, idle, settings = asyncio.get_running_loop(), self._idle, self._settings
        old = loop.time() - settings.idle_s
        # The one that was used last is used next, so that the first has waited longest.
        while idle and (len(idle) > settings.idle_per_node or idle[0].since < old):
            idle.popleft().abort()
        self._sweep = loop.call_later(_SWEEP_S, self._tidy) if idle else None


@functools.cache
def _context(pinned: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if pinned:
        # The certificate itself is compared instead.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
