"""TLS on the way to a node: the gateway talks to the pinned certificate alone; another one gets nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from dynamic_providers.node_certificate import fingerprint, made
from tests.gateway.process import until
from tests.gateway.world import MODEL, World

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "a canary in a prompt"}], "max_tokens": 2}


class Front:
    """A port in front of a node, with TLS or without; what it could read is kept.

    Args:
        behind: Port of the node.
        certificate: File with key and certificate; None: no TLS.
    """

    def __init__(self, behind: int, certificate: Path | None) -> None:
        self._behind = behind
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self.read = b""
        self.port = 0
        self._up = threading.Event()
        self._end = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(60)
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._end.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            inside, outside = await asyncio.open_connection("127.0.0.1", self._behind)
            try:
                await asyncio.gather(self._pass(reader, outside, keep=True), self._pass(inside, writer))
            finally:
                for each in (outside, writer):
                    each.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool = False
    ) -> None:
        while data := await reader.read(65_536):
            if keep:
                self.read += data
            writer.write(data)
            await writer.drain()
        writer.close()


class Site:
    """One node, a front of each kind, and a gateway that knows the node by its front with TLS."""

    def __init__(self, world: World, tls: Front, plain: Front, sha256: str) -> None:
        self.world, self.tls, self.plain, self.sha256 = world, tls, plain, sha256

    def register(self, url: str, sha256: str) -> None:
        """Another way to the node from now on."""
        node = {**self.world.nodes[0].declared(), "url": url, "tlsSha256": sha256}
        name = node.pop("name")
        self.world.gateway.admin("PUT", f"/nodes/{name}", node).raise_for_status()

    def entry(self) -> dict[str, Any]:
        """The node as the gateway shows it."""
        found: dict[str, Any] = self.world.gateway.admin("GET", f"/nodes/{self.world.nodes[0].name}").json()
        return found

    def ask(self) -> httpx.Response:
        return httpx.post(
            f"{self.world.gateway.url}/v1/chat/completions",
            json=BODY,
            headers=self.world.headers,
            timeout=120.0,
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    pem = made("a")
    file = tmp_path / "node.pem"
    file.write_bytes(base64.b64decode(pem))
    # A node that can't be reached is soon told to the client.
    world = World(tmp_path, env={"GATEWAY_QUEUE_S": "3"})
    with world, contextlib.ExitStack() as stack:
        node = world.node("a")
        tls = stack.enter_context(Front(node.port, file))
        plain = stack.enter_context(Front(node.port, None))
        sha256 = fingerprint(pem)
        seeded = {**node.declared(), "url": f"https://127.0.0.1:{tls.port}", "tlsSha256": sha256}
        world._seed["nodes"] = [seeded]
        world.start()
        yield Site(world, tls, plain, sha256)


def test_only_the_pinned_certificate_gets_anything(site: Site) -> None:
    key = site.world.nodes[0].key.encode()
    assert site.ask().status_code == 200
    assert key in site.tls.read

    # Another certificate than the pinned one: nothing is sent, and the node counts as broken.
    site.tls.read = b""
    site.register(f"https://127.0.0.1:{site.tls.port}", "5a" * 32)
    refused = site.ask()
    assert refused.status_code >= 500
    assert site.tls.read == b""
    until(lambda: site.entry()["state"] == "open", "the node counts as broken")
    assert site.entry()["reason"] == "its certificate is not the pinned one"
    assert key.decode() not in refused.text and "canary" not in site.world.gateway.output()

    # No pin: an unknown authority is no better.
    site.register(f"https://127.0.0.1:{site.tls.port}", "")
    assert site.ask().status_code >= 500
    assert site.tls.read == b""

    # A server without TLS: of a request it sees nothing but the handshake.
    site.register(f"https://127.0.0.1:{site.plain.port}", site.sha256)
    assert site.ask().status_code >= 500
    assert site.plain.read and key not in site.plain.read and b"canary" not in site.plain.read

    # Plain http to a port that speaks TLS.
    site.register(f"http://127.0.0.1:{site.tls.port}", "")
    refused = site.ask()
    assert refused.status_code >= 500 and "error" in refused.json()
    assert site.tls.read == b""

    # The right one again.
    site.register(f"https://127.0.0.1:{site.tls.port}", site.sha256)
    until(lambda: site.entry()["state"] == "healthy", "the node is back")
    assert site.ask().status_code == 200
    assert key in site.tls.read
    output = site.world.gateway.output()
    assert key.decode() not in output and "Traceback" not in output
