"""The server on a real socket: hostile bytes get the right status, and answers end in a shutdown."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from control_plane.gateway import serving
from control_plane.gateway.call import Message, Receive, Send
from control_plane.gateway.errors import send_bytes
from control_plane.gateway.exchange import Asgi
from control_plane.settings import Settings
from tests.unit.control_plane.front.asgi import SECRET, World

BODY = b'{"model":"small","messages":[]}'
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + SECRET.encode() + b"\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)
GOOD = HEAD + LENGTH + b"\r\n" + BODY
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)


class Server:
    """The server while it runs.

    Args:
        port: Where.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.drains = 0
        self.ends = 0

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: bytes) -> bytes:
        """All that is answered to these bytes until the server closes the connection."""
        reader, writer = await self.open()
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def serve(use: Callable[[Server], Awaitable[None]], app: Asgi | None = None, **settings: Any) -> Server:
    """Runs the server while `use` talks to it, then ends it by SIGTERM."""
    given = Settings.model_validate({"port": 0, **settings})

    async def run() -> Server:
        listener = serving.listen(given)
        server = Server(listener.getsockname()[1])
        ready = asyncio.Event()

        def drains() -> None:
            server.drains += 1

        def ends() -> None:
            server.ends += 1

        running = asyncio.create_task(
            serving.serve(
                app or World().app,
                given,
                listener,
                begin_drain=drains,
                end_rest=ends,
                listening=ready.set,
            )
        )
        await ready.wait()
        try:
            await use(server)
        finally:
            signal.raise_signal(signal.SIGTERM)
            await running
        return server

    with asyncio.Runner(loop_factory=serving.new_loop) as runner:
        return runner.run(run())


def statuses(answer: bytes) -> list[int]:
    """Status of each answer; each one is JSON of the length that it says."""
    found = []
    while answer:
        head, _, rest = answer.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        length = int(headers[b"content-length"])
        content = json.loads(rest[:length])
        found.append(int(first.split(b" ")[1]))
        if found[-1] >= 400:
            assert set(content["error"]) == {"message", "type", "param", "code"}
        answer = rest[length:]
    return found


HOSTILE = {
    "plain": (GOOD, [200]),
    "http 1.0": (GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"), [200]),
    "two at once": (GOOD + GOOD, [200, 200]),
    "chunked": (CHUNKED + CHUNKS + b"\r\n", [200]),
    "absolute address": (GOOD.replace(b"/v1/chat", b"http://other/v1/chat", 1), [200]),
    "garbage": (b"\x00\x01\x02garbage\r\n\r\n", [400]),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
    "http 2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "star": (b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", [404]),
    "tunnel": (b"CONNECT other:80 HTTP/1.1\r\nhost: x\r\n\r\n", [400]),
    "two lengths": (HEAD + LENGTH + b"content-length: 0\r\n\r\n" + BODY, [400]),
    "same length twice": (HEAD + LENGTH + LENGTH + b"\r\n" + BODY, [400]),
    "length and chunked": (HEAD + LENGTH + b"transfer-encoding: chunked\r\n\r\n" + CHUNKS + b"\r\n", [400]),
    "chunked and length": (
        HEAD + b"transfer-encoding: chunked\r\n" + LENGTH + b"\r\n" + CHUNKS + b"\r\n",
        [400],
    ),
    "not quite chunked": (HEAD + b"transfer-encoding: xchunked\r\n\r\n" + CHUNKS + b"\r\n", [400]),
    "chunked and more": (HEAD + b"transfer-encoding: chunked, identity\r\n\r\n" + CHUNKS + b"\r\n", [400]),
    "blank before colon": (HEAD + b"content-length : 5\r\n\r\n", [400]),
    "folded": (HEAD + LENGTH + b"x: a\r\n b\r\n\r\n" + BODY, [400]),
    "negative length": (HEAD + b"content-length: -1\r\n\r\n", [400]),
    "signed length": (HEAD + b"content-length: +5\r\n\r\n", [400]),
    "hex length": (HEAD + b"content-length: 0x5\r\n\r\n", [400]),
    "endless length": (HEAD + b"content-length: " + b"9" * 40 + b"\r\n\r\n", [400]),
    "zero byte": (HEAD + b"x: a\x00b\r\n\r\n", [400]),
    "return alone": (HEAD + b"x: a\rb\r\n\r\n", [400]),
    "name with a zero byte": (HEAD + b"x\x00: a\r\n\r\n", [400]),
    "blank in path": (b"GET /he alth HTTP/1.1\r\nhost: x\r\n\r\n", [400]),
    "no chunk size": (CHUNKED + b"zz\r\n", [400]),
    "endless chunk size": (CHUNKED + b"f" * 40 + b"\r\n", [400]),
    "long header": (HEAD + b"x: " + b"a" * 40_000 + b"\r\n\r\n", [431]),
    "many headers": (HEAD + b"x: a\r\n" * 20_000 + b"\r\n", [431]),
    "long address": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", [431]),
    "long trailer": (CHUNKED + CHUNKS + b"x: " + b"a" * 400_000, [200, 431]),
    "line ends without end": (b"\r\n" * 50_000, [431]),
    "too long": (HEAD + b"content-length: 20000\r\n\r\n" + b" " * 20_000, [413]),
    "too long in chunks": (CHUNKED + b"4e20\r\n" + b" " * 20_000 + b"\r\n0\r\n\r\n", [413]),
}


@pytest.mark.parametrize("pieces", [1, 700], ids=["at once", "in pieces"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(name, pieces):
    sent, expected = HOSTILE[name]
    # Whatever is answered properly leaves the connection open: one more request ends it.
    last = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    closes = expected[-1] in (400, 413, 431) or name == "http 1.0"
    size = len(sent) // pieces + 1

    async def use(server: Server) -> None:
        cut = [sent[at : at + size] for at in range(0, len(sent), size)]
        answer = await server.say(*cut, *([] if closes else [last]))
        if not answer:
            # Closed on while it still sent: only with bytes that nobody takes.
            assert expected[-1] in (400, 431)
        elif name == "long trailer":
            assert statuses(answer) in ([200, 431], [431], [200])
        else:
            assert statuses(answer) == (expected if closes else [*expected, 200])
        # The server still serves others.
        assert statuses(await server.say(last)) == [200]

    serve(use)


def test_a_field_after_the_body_is_no_header():
    bare = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    bare += b"transfer-encoding: chunked\r\n\r\n"

    async def use(server: Server) -> None:
        trailer = b"authorization: Bearer " + SECRET.encode() + b"\r\n\r\n"
        assert statuses(await server.say(bare + CHUNKS + trailer)) == [401]

    serve(use)


@pytest.mark.parametrize("pieces", [1, 300], ids=["at once", "in pieces"])
@pytest.mark.parametrize(
    "body", [LENGTH + b"\r\n" + BODY, b"transfer-encoding: chunked\r\n\r\n" + CHUNKS + b"\r\n"]
)
def test_a_request_that_would_rather_upgrade_is_served_as_it_is(body, pieces):
    wish = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    sent = HEAD + wish + body + HEAD + wish + body + HEAD + b"connection: close\r\n" + body
    size = len(sent) // pieces + 1

    async def use(server: Server) -> None:
        cut = [sent[at : at + size] for at in range(0, len(sent), size)]
        assert statuses(await server.say(*cut)) == [200, 200, 200]

    serve(use)


def test_too_many_connections_are_told_so():
    async def use(server: Server) -> None:
        first = await server.open()
        second = await server.open()
        first[1].write(GOOD)
        assert (await first[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        answer = await server.say()
        assert statuses(answer) == [503]
        assert b"retry-after: 1" in answer
        for _, writer in (first, second):
            writer.close()

    serve(use, max_connections=2)


@pytest.mark.parametrize(("sent", "expected"), [(b"", []), (b"POST /v1/chat", [408]), (HEAD, [408])])
def test_a_head_that_does_not_come_ends_the_connection(sent, expected):
    async def use(server: Server) -> None:
        assert statuses(await server.say(sent)) == expected

    serve(use, header_s=0.01)


class Transport(asyncio.Transport):
    """Notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_a_connection_between_requests_is_kept_for_a_while():
    async def work() -> None:
        config = uvicorn.Config(World().app, http="h11", ws="none", log_config=None, access_log=False)
        connection = serving.bounded(1000, 10)(config=config, server_state=ServerState(), app_state={})
        transport = Transport()
        connection.connection_made(transport)
        for answers in (1, 2):
            connection.data_received(GOOD)
            assert not connection.idle_since
            while transport.written.count(b"HTTP/1.1 200 OK\r\n") < answers:
                await asyncio.sleep(0)
            assert connection.idle_since > 0
            connection.expire(0.0, connection.idle_since - 1.0)
            assert not transport.closed
        connection.expire(0.0, connection.idle_since)
        assert transport.closed

    asyncio.run(work())


def test_a_slow_body_is_answered_and_the_connection_ends():
    async def use(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(HEAD + LENGTH + b"\r\n" + BODY[:5])
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 408")
        writer.close()

    serve(use, app=World(body_s=0.01).app)


class Slow:
    """An application whose answers take until they are let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.begun.set()
        await self.go.wait()
        await send_bytes(send, 200, b"{}", headers=[])


def test_a_running_answer_ends_before_the_server_does():
    slow = Slow()

    async def use(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(GOOD)
        await slow.begun.wait()
        signal.raise_signal(signal.SIGTERM)
        while not server.drains:
            await asyncio.sleep(0.01)
        slow.go.set()
        # Its connection is not kept.
        assert statuses(await reader.read()) == [200]
        writer.close()

    server = serve(use, app=slow)
    # The second signal came from the test's own end.
    assert server.drains == 1


def test_what_does_not_end_in_time_is_ended():
    slow = Slow()

    async def use(server: Server) -> None:
        reader, writer = await server.open()
        writer.write(GOOD)
        await slow.begun.wait()
        signal.raise_signal(signal.SIGTERM)
        while not server.ends:
            await asyncio.sleep(0.01)
        with pytest.raises(OSError):
            await server.open()
        slow.go.set()
        assert statuses(await reader.read()) == [200]
        writer.close()

    serve(use, app=slow, drain_s=0.3)


def test_an_address_that_is_taken_is_an_error_of_the_system():
    with serving.listen(Settings.model_validate({"port": 0})) as first:
        taken = Settings.model_validate({"port": first.getsockname()[1]})
        with pytest.raises(OSError, match="in use"):
            serving.listen(taken)
