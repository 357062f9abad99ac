"""A node's SSH server on this machine, without root: it runs what it is told with a `sh` of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh


@dataclass
class Node:
    """The server; its settings may be changed while it runs."""

    folder: Path
    port: int = 0
    commands: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    accepts: set[str] = field(default_factory=set)
    path: str = "/usr/bin:/bin"


def new_key(path: Path) -> str:
    """Makes a private key file for its owner alone; gives the fingerprint of its public half."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(key.export_private_key())
    path.chmod(0o600)
    return key.get_fingerprint()


class _Server(asyncssh.SSHServer):
    def __init__(self, node: Node) -> None:
        self._node = node

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._node.logins.append(f"{username} {key.get_fingerprint()}")
        return key.get_fingerprint() in self._node.accepts


def _write(process: asyncssh.SSHServerProcess[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError):  # the client may have gone
        process.stdout.write(data)


@contextmanager
def ssh_server(folder: Path) -> Iterator[Node]:
    """A server with a host key of its own, for as long as the block lasts."""
    node = Node(folder)
    loop = asyncio.new_event_loop()

    children: list[subprocess.Popen[bytes]] = []

    def run(process: asyncssh.SSHServerProcess[bytes], text: str, given: bytes) -> int:
        child = subprocess.Popen(
            ["/bin/sh", "-c", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": node.path, "LC_ALL": "C"},
            cwd=folder,
            start_new_session=True,
        )
        assert child.stdin and child.stdout
        with child:
            children.append(child)
            child.stdin.write(given)
            child.stdin.close()
            while data := os.read(child.stdout.fileno(), 65536):
                loop.call_soon_threadsafe(_write, process, data)
        return max(child.returncode, 0)

    async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
        text = process.command or ""
        node.commands.append(text)
        given = await process.stdin.read()
        status = await loop.run_in_executor(None, run, process, text, given)
        with contextlib.suppress(OSError):  # the client may have gone
            process.exit(status)

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.create_server(
            lambda: _Server(node),
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            process_factory=handle,
            encoding=None,
        )

    acceptor = loop.run_until_complete(start())
    node.port = acceptor.get_port()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def stop() -> None:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        acceptor.close()
        await acceptor.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield node
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
