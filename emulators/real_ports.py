"""Ports of nodes that are really open: on 127.0.0.1, with TLS where the node's server has a certificate."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from emulators.http import Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Serving = Callable[[App], uvicorn.Server]


@dataclass(slots=True)
class _Port:
    number: int
    server: uvicorn.Server
    task: asyncio.Task[None]


class RealPorts:
    """Opens and closes ports; each is known by the path that stands for it on the emulators' own port.

    Args:
        app: The emulators.
        serving: Makes a server of an app.
    """

    def __init__(self, app: App, serving: Serving) -> None:
        self._app = app
        self._serving = serving
        self._open: dict[str, _Port] = {}

    def open(self, path: str, certificate: str, number: int = 0) -> int:
        """Opens a port; its number, 0 where the one that is wanted is taken.

        Args:
            path: What the port stands for: `/vast/node/7-8000`.
            certificate: Key and certificate, PEM; empty: plain http.
            number: The port's number; 0: any.
        """
        if path in self._open:
            return self._open[path].number
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", number))
        except OSError:
            listener.close()
            return 0
        listener.listen(128)

        async def inside(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                asked: bytes = scope.get("raw_path") or str(scope["path"]).encode()
                whole = {"path": path + scope["path"], "raw_path": path.encode() + asked}
                await self._app({**scope, **whole}, receive, send)

        server = self._serving(inside)
        server.config.load()
        server.config.ssl = _context(certificate) if certificate else None
        task = asyncio.get_running_loop().create_task(server.serve([listener]))
        self._open[path] = _Port(int(listener.getsockname()[1]), server, task)
        return self._open[path].number

    def keep_only(self, prefix: str, paths: set[str]) -> None:
        """Closes every port below a prefix whose path is not among these."""
        for path in [path for path in self._open if path.startswith(prefix) and path not in paths]:
            self._open.pop(path).server.should_exit = True

    async def close(self) -> None:
        """Closes every port."""
        ports = list(self._open.values())
        self._open.clear()
        for port in ports:
            port.server.should_exit = port.server.force_exit = True
        for port in ports:
            await port.task


def _context(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL reads keys from files alone; this one is the user's own and gone at once.
    handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "w") as file:
            file.write(certificate)
        context.load_cert_chain(path)
    finally:
        Path(path).unlink(missing_ok=True)
    return context
