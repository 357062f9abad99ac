"""The HTTP server around the emulators, in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from emulators.app import Emulators
from emulators.clock import SettingError, time_scale
from emulators.folder import Folder
from emulators.http import Scope
from emulators.processes import start_time
from emulators.real_ports import App, RealPorts

_log = logging.getLogger("emulators")
_connections: dict[tuple[str, int], asyncio.Transport] = {}


class _Protocol(H11Protocol):
    """Remembers the connection of each client, so that a fault can cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrower on purpose
        super().connection_made(transport)
        if self.client:
            _connections[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client:
            _connections.pop(self.client, None)
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would send itself the signal again before anything could be saved."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Does nothing."""
        yield


def cut(scope: Scope) -> None:
    """Ends a client's connection at once, without another byte."""
    transport = _connections.get(tuple(scope["client"]))
    if transport is not None:
        transport.abort()


def bind(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; on another port where this one is taken."""
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it an answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    return listener


def serve(
    folder: Folder,
    settings: dict[str, dict[str, Any]],
    announce: Callable[[str], None] = print,
    port: int | None = None,
) -> None:
    """Runs the emulators until SIGTERM or SIGINT.

    Args:
        folder: Where state, log and endpoints.json are.
        settings: Cloud -> settings to change before the first request.
        announce: Gets one line once they answer.
        port: Port to listen on; None: the one of the last run, or any.

    Raises:
        SettingError: A setting is wrong, or emulators of this folder run already.
    """
    scale = time_scale()
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with folder.lock_file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingError(f"emulators of {folder.path} run already") from None
        _raise_file_limit()
        listener = bind(folder.port() if port is None else port)
        try:
            asyncio.run(_serve(folder, scale, settings, listener, announce))
        finally:
            listener.close()
            folder.remove_endpoints(os.getpid())


async def _serve(
    folder: Folder,
    scale: float,
    settings: dict[str, dict[str, Any]],
    listener: socket.socket,
    announce: Callable[[str], None],
) -> None:
    pid = os.getpid()
    endpoints: dict[str, Any] = {"pid": pid, "started": start_time(pid), "time_scale": scale}
    emulators = Emulators(folder.path, scale=scale, health=endpoints, cut=cut)
    try:
        for name, changes in settings.items():
            emulators.clouds[name].change_settings(changes)
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        endpoints["clouds"] = {name: cloud.endpoints(base) for name, cloud in emulators.clouds.items()}
        server = _server(emulators)
        emulators.frame.ports = RealPorts(emulators, _server)
        await emulators.start()

        def end() -> None:
            server.should_exit = True
            emulators.clock.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end)
        folder.remember_port(listener.getsockname()[1])
        # What is loaded by now stays: nothing of it need be looked at again by the collector.
        gc.freeze()
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        folder.write_endpoints(endpoints)
        announce(f"emulators of {', '.join(emulators.clouds)} at {base} (time x{scale:g})")
        await serving
    finally:
        await emulators.close()
        sys.stdout.flush()


def _server(app: App) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=75,
        )
    )


def _raise_file_limit() -> None:
    """A thousand pods with a TCP port each are a thousand open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            _log.warning("open files stay limited to %d", soft)
