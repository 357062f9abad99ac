"""HTTP to a node: whatever pieces an answer comes in, it is the same; no other protocol gets through."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.call import Endpoint
from control_plane.gateway.declared import Node
from control_plane.gateway.relaying.connection import MOST_HEAD_BYTES, Answer, Connection
from control_plane.gateway.relaying.lost import Lost
from control_plane.gateway.relaying.settings import RelaySettings
from control_plane.gateway.relaying.upstream import Upstream, read_all
from tests.unit.control_plane.relaying.world import run

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


class FakeTransport(asyncio.Transport):
    """Notes what is asked of it; closes when the test says so."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = b""
        self.paused = self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True


class Owner:
    def __init__(self) -> None:
        self.freed = 0

    def free(self, connection: Connection) -> None:
        self.freed += 1

    def lost(self, connection: Connection) -> None:
        pass


def opened() -> tuple[Connection, FakeTransport, Owner]:
    owner = Owner()
    connection = Connection(owner, asyncio.get_running_loop())
    transport = FakeTransport(connection)
    connection.connection_made(transport)
    return connection, transport, owner


async def answer_to(pieces: list[bytes], end: bool) -> tuple[int, bytes, Owner, FakeTransport]:
    connection, transport, owner = opened()
    asked = asyncio.create_task(connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
    await asyncio.sleep(0)
    for piece in pieces:
        connection.data_received(piece)
    if end:
        connection.eof_received()
        connection.connection_lost(None)
    answer = await asked
    return answer.status, await read_all(answer, 10_000_000), owner, transport


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces."""
    at = sorted({place % len(data) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(at)]


bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
places = st.lists(st.integers(min_value=0, max_value=10_000), max_size=12)


@given(bodies, places, st.sampled_from(["length", "chunked", "end"]), st.booleans())
def test_any_pieces_give_the_same_answer(parts, where, kind, early):
    body = b"".join(parts)
    word = b"HTTP/1.1 100 Continue\r\n\r\n" if early else b""
    if kind == "length":
        sent = word + HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif kind == "chunked":
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        sent = word + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    else:
        sent = word + HEAD + b"\r\n" + body
    status, got, owner, _ = asyncio.run(answer_to(cut(sent, where), kind == "end"))
    assert (status, got) == (200, body)
    assert owner.freed == (kind != "end")


@given(places, st.integers(min_value=1, max_value=60))
def test_what_is_cut_short_gives_what_came_and_then_an_error(where, missing):
    sent = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"a\r\n0123456789\r\n" * 5 + b"0\r\n\r\n"
    sent = sent[:-missing]

    async def work() -> bytes:
        connection, _, owner = opened()
        asked = asyncio.create_task(connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
        await asyncio.sleep(0)
        for piece in cut(sent, where):
            connection.data_received(piece)
        connection.eof_received()
        connection.connection_lost(ConnectionResetError())
        answer = await asked
        got = b""
        with pytest.raises(Lost, match="cut"):
            while data := await answer.read():
                got += data
        assert not owner.freed
        return got

    body = b"0123456789" * 5
    got = asyncio.run(work())
    assert body.startswith(got)
    assert len(got) >= len(body) - missing


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 what",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (MOST_HEAD_BYTES + 1),
    ],
    ids=["noise", "two lengths", "length and chunks", "negative", "other protocol", "endless head"],
)
def test_what_is_no_http_is_a_loss(sent):
    async def work() -> None:
        connection, transport, owner = opened()
        asked = asyncio.create_task(connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
        await asyncio.sleep(0)
        connection.data_received(sent)
        with pytest.raises(Lost, match="no answer"):
            await asked
        assert transport.closing
        assert not owner.freed and not connection.usable

    asyncio.run(work())


def test_words_that_nobody_asked_for_close_it():
    async def work() -> None:
        connection, transport, _ = opened()
        connection.data_received(HEAD + b"Content-Length: 0\r\n\r\n")
        assert transport.closing and not connection.usable
        with pytest.raises(Lost):
            await connection.ask(b"GET / HTTP/1.1\r\n\r\n", b"")

    asyncio.run(work())


def test_a_second_answer_to_one_request_never_reaches_the_next_one():
    async def work() -> None:
        connection, transport, _ = opened()
        asked = asyncio.create_task(connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
        await asyncio.sleep(0)
        one = HEAD + b"Content-Length: 2\r\n\r\n"
        connection.data_received(one + b"ok" + one + b"no")
        assert await read_all(await asked, 100) == b"ok"
        assert transport.closing and not connection.usable

    asyncio.run(work())


def test_a_node_that_sends_faster_than_it_is_read_has_to_wait():
    async def work() -> None:
        connection, transport, _ = opened()
        asked = asyncio.create_task(connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
        await asyncio.sleep(0)
        connection.data_received(HEAD + b"Content-Length: 1000000\r\n\r\n")
        answer = await asked
        connection.data_received(b"x" * 300_000)
        assert transport.paused
        assert len(await answer.read()) == 300_000
        assert not transport.paused
        connection.data_received(b"x" * 700_000)
        assert len(await answer.read()) == 700_000
        assert not transport.paused
        assert await answer.read() == b""

    asyncio.run(work())


def test_who_stops_waiting_closes_it():
    async def work() -> None:
        connection, transport, _ = opened()
        asked = asyncio.create_task(connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert transport.closing

    asyncio.run(work())


class Server:
    """Answers each request with its number of connections so far; notes heads."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.open = self.ever = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.ever += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
                await reader.readexactly(length)
                await asyncio.sleep(0.01)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


def served(
    work: Callable[[Server, str, Upstream], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> None:
    async def whole() -> None:
        server = Server()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
        port = listening.sockets[0].getsockname()[1]
        scheme = "https" if tls else "http"
        async with Upstream(RelaySettings(idle_per_node=3, idle_s=0.5)) as upstream:
            await work(server, f"{scheme}://127.0.0.1:{port}", upstream)
        listening.close()
        await listening.wait_closed()

    run(whole)


async def ask(upstream: Upstream, node: Node) -> bytes:
    answer: Answer = await upstream.post(node, Endpoint.CHAT, b"{}", "r1")
    return await read_all(answer, 100)


def test_connections_are_used_again_and_few_stay():
    async def work(server: Server, url: str, upstream: Upstream) -> None:
        node = Node("n", url, ("m",), api_key="secret")
        for _ in range(3):
            assert await asyncio.gather(*(ask(upstream, node) for _ in range(8))) == [b"ok"] * 8
        assert server.ever == 8
        async with asyncio.timeout(20):
            while server.open > 3:
                await asyncio.sleep(0.05)
            while server.open:
                await asyncio.sleep(0.05)
        assert server.heads[0].split(b"\r\n")[0] == b"POST /v1/chat/completions HTTP/1.1"
        assert b"\r\nAuthorization: Bearer secret\r\n" in server.heads[0]

    served(work)


def test_another_key_or_place_is_used_at_once():
    async def work(server: Server, url: str, upstream: Upstream) -> None:
        await ask(upstream, Node("n", url, ("m",), api_key="one"))
        await ask(upstream, Node("n", f"{url}/router/", ("m",), api_key="two"))
        assert server.heads[1].startswith(b"POST /router/v1/chat/completions ")
        assert b"Bearer two" in server.heads[1]
        with pytest.raises(Lost, match="header"):
            await ask(upstream, Node("n", url, ("m",), api_key="two\r\nX: 1"))

    served(work)


def test_nobody_there():
    async def work(server: Server, url: str, upstream: Upstream) -> None:
        with pytest.raises(Lost, match="no connection"):
            await ask(upstream, Node("n", "http://127.0.0.1:1", ("m",)))
        with pytest.raises(Lost, match="no connection"):
            await ask(upstream, Node("m", "http://nowhere.invalid", ("m",)))

    served(work)


def test_only_the_pinned_certificate_is_accepted(certificate: tuple[ssl.SSLContext, bytes]):
    tls, der = certificate
    digest = hashlib.sha256(der).hexdigest()

    async def work(server: Server, url: str, upstream: Upstream) -> None:
        assert await ask(upstream, Node("pinned", url, ("m",), tls_sha256=digest)) == b"ok"
        with pytest.raises(Lost, match="not the pinned one"):
            await ask(upstream, Node("other", url, ("m",), tls_sha256="00" * 32))
        with pytest.raises(Lost, match="no connection"):
            await ask(upstream, Node("unknown", url, ("m",)))
        assert len(server.heads) == 1

    served(work, tls)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, bytes]:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin.replace(year=2120))
        .sign(key, hashes.SHA256())
    )
    file: Path = tmp_path_factory.mktemp("tls") / "node.pem"
    encoded = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(encoded + made.public_bytes(serialization.Encoding.PEM))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    return tls, made.public_bytes(serialization.Encoding.DER)


@given(
    st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=12), st.integers(1, 4), st.integers(0, 3)
)
def test_pumped_pieces_are_all_of_the_body_however_often_the_taker_stops(pieces, stops_after, before):
    """Taken as they come, or from what came while nobody took anything."""

    async def work() -> None:
        connection, transport, _ = opened()
        asked = asyncio.ensure_future(connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
        await asyncio.sleep(0)
        connection.data_received(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        answer = await asked
        for piece in pieces[:before]:
            connection.data_received(b"%x\r\n%b\r\n" % (len(piece), piece))
        taken: list[bytes] = []
        since_stop: int = 0

        def consume(data: bytes) -> bool:
            nonlocal since_stop
            taken.append(data)
            since_stop = (since_stop + 1) % stops_after
            return since_stop != 0

        async def take_all() -> None:
            while not await answer.pump(consume):
                await asyncio.sleep(0)

        taking = asyncio.ensure_future(take_all())
        for piece in pieces[before:]:
            await asyncio.sleep(0)
            connection.data_received(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.data_received(b"0\r\n\r\n")
        await asyncio.wait_for(taking, 5)
        assert b"".join(taken) == b"".join(pieces)
        assert connection.usable
        assert not transport.paused

    run(work)


def test_what_the_taker_of_a_pumped_body_raises_ends_the_pump():
    async def work() -> None:
        connection, _, _ = opened()
        asked = asyncio.ensure_future(connection.ask(b"GET / HTTP/1.1\r\n\r\n", b""))
        await asyncio.sleep(0)
        connection.data_received(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        answer = await asked

        def consume(data: bytes) -> bool:
            raise Lost(data.decode())

        pumping = asyncio.ensure_future(answer.pump(consume))
        await asyncio.sleep(0)
        connection.data_received(b"3\r\nbad\r\n4\r\nnext\r\n")
        with pytest.raises(Lost, match="bad"):
            await pumping
        assert await answer.read() == b"next"
        connection.connection_lost(None)
        with pytest.raises(Lost):
            await answer.pump(consume)

    run(work)
