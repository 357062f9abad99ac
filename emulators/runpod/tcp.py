"""Public TCP ports of pods: real listeners on this machine, or numbers alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket

_GREETING = b"SSH-2.0-emulated\r\n"


class TcpPorts:
    """Opens and closes the ports of pods.

    A port is bound at once, so that its number is known, and accepts from the next turn of the event loop on.
    SSH ports greet as SSH servers do; every connection is then closed.

    Args:
        listening: Whether ports really listen. A port that can not be bound is a number alone.
    """

    def __init__(self, listening: bool) -> None:
        self.listening = listening
        self._sockets: dict[str, list[tuple[socket.socket, int]]] = {}
        self._servers: dict[socket.socket, asyncio.Task[None]] = {}
        self._numbers = itertools.cycle(range(30000, 60000))
        self._started = False

    @property
    def host(self) -> str:
        """The address at which the ports are."""
        return "127.0.0.1" if self.listening else "213.173.104.74"

    def open(self, pod_id: str, private: int) -> int:
        """Opens a port and returns its public number."""
        if not self.listening:
            return next(self._numbers)
        try:
            one = socket.create_server(("127.0.0.1", 0))
        except OSError:
            return next(self._numbers)
        one.setblocking(False)
        self._sockets.setdefault(pod_id, []).append((one, private))
        if self._started:
            self._serve(one, private)
        return int(one.getsockname()[1])

    def close(self, pod_id: str) -> None:
        """Closes all ports of a pod."""
        for one, _ in self._sockets.pop(pod_id, []):
            task = self._servers.pop(one, None)
            if task is not None:
                task.cancel()
            one.close()

    def close_all(self) -> None:
        """Closes every port."""
        for pod_id in list(self._sockets):
            self.close(pod_id)

    def start(self) -> None:
        """Begins to accept; called in the event loop."""
        self._started = True
        for pairs in self._sockets.values():
            for one, private in pairs:
                if one not in self._servers:
                    self._serve(one, private)

    def _serve(self, one: socket.socket, private: int) -> None:
        self._servers[one] = asyncio.get_running_loop().create_task(_accept(one, private))


async def _accept(listener: socket.socket, private: int) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, _ = await loop.sock_accept(listener)
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            if private == 22:
                await loop.sock_sendall(connection, _GREETING)
