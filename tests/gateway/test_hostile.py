"""Input that nobody means well: right status codes, never a 500, and memory that stays bounded."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time

import httpx
import pytest

from tests.gateway.world import MODEL, World

BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}).encode()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    env = {"GATEWAY_BODY_S": "2", "GATEWAY_HEADER_S": "2", "GATEWAY_MAX_BODY_BYTES": "1000000"}
    with World(tmp_path_factory.mktemp("hostile"), env) as made:
        made.node("a")
        yield made.start()
        assert "Traceback" not in made.gateway.output()


@pytest.fixture(autouse=True)
def still_well(world):
    yield
    answer = httpx.post(
        f"{world.gateway.url}/v1/chat/completions", content=BODY, headers=world.headers, timeout=30.0
    )
    assert answer.status_code == 200
    faults = {name: value for name, value in world.gateway.metrics().items() if "fault" in name and value}
    assert not [name for name in faults if not name.endswith("_created") and "_created{" not in name], faults


def head(world: World, *lines: str, length: int | None = None) -> bytes:
    given = ["POST /v1/chat/completions HTTP/1.1", "Host: x", f"Authorization: Bearer {world.key.secret}"]
    if length is not None:
        given.append(f"Content-Length: {length}")
    return "\r\n".join([*given, *lines, "", ""]).encode()


def raw(world: World, sent: bytes, seconds: float = 20.0) -> list[int]:
    """Sends bytes; statuses of all answers until the gateway closes or says nothing more."""
    with socket.create_connection(("127.0.0.1", world.gateway.port), timeout=seconds) as connection:
        got = b""
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                got += piece
        except OSError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", got)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"\xff\xfe",
        b'{"model": "standin", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": 5, "messages": []}',
        b'{"model": "standin", "messages": {}}',
        b'{"model": "standin", "messages": "x"}',
        b'{"model": "standin", "stream": "yes", "messages": []}',
        b'{"model": "standin", "n": 1e99, "messages": []}',
        b'{"model": "standin", "n": -1, "messages": []}',
        b'{"model": "standin", "max_tokens": 1e400, "messages": []}',
        b'{"model": "standin", "max_tokens": 99999999999999999999999, "messages": []}',
        b'{"model": "standin", "stream_options": 7, "stream": true, "messages": []}',
        b'{"model": "standin", "messages": ' + b"[" * 400_000 + b"]" * 400_000 + b"}",
        b'{"a":' * 150_000 + b"1" + b"}" * 150_000,
        b'{"model": "' + b"m" * 500_000 + b'"}',
        b'{"model": "\\ud800", "messages": []}',
    ],
    ids=range(21),
)
@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings"])
def test_bodies_that_make_no_sense(world, path, body):
    if path == "embeddings" and any(field in body for field in (b'"n"', b"max_tokens", b"stream_options")):
        body = body.replace(b'"messages"', b'"input": {}, "messages"').replace(b'"standin"', b"[]")
    answer = httpx.post(f"{world.gateway.url}/v1/{path}", content=body, headers=world.headers, timeout=60.0)
    assert answer.status_code in (400, 404, 422), answer.text
    assert answer.json()["error"]["message"]


def test_a_huge_body_is_refused_before_it_is_read(world):
    big = b"x" * 5_000_000
    answer = httpx.post(
        f"{world.gateway.url}/v1/chat/completions", content=big, headers=world.headers, timeout=60.0
    )
    assert answer.status_code == 413
    endless = head(world, "Transfer-Encoding: chunked") + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 40
    assert raw(world, endless)[:1] in ([413], [])
    assert raw(world, head(world, length=10**15) + b"x")[:1] == [413]


def test_slow_bodies_and_slow_heads_are_given_up(world):
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", world.gateway.port), timeout=30.0) as connection:
        connection.sendall(head(world, length=100) + b"{")
        assert b" 408 " in connection.recv(65536)
    with socket.create_connection(("127.0.0.1", world.gateway.port), timeout=30.0) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost:")
        assert b" 200 " not in connection.recv(65536)
    assert time.monotonic() - begun < 30.0


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: -1",),
        ("Content-Length: 5x",),
        ("Content-Length : 5",),
        ("X: a\x00b", "Content-Length: 5"),
        (" folded", "Content-Length: 5"),
        ("Bad Name: 1", "Content-Length: 5"),
    ],
    ids=range(10),
)
def test_smuggled_requests_never_reach_a_node(world, lines):
    smuggled = b"0\r\n\r\nPOST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Smuggled: 1\r\n\r\n"
    before = world.nodes[0].report()["total"]["requests"]
    statuses = raw(world, head(world, *lines) + smuggled)
    assert all(400 <= status < 500 or status == 501 for status in statuses), statuses
    report = world.nodes[0].report()
    assert "X-Smuggled" not in json.dumps(report["seen"])
    assert report["total"]["requests"] == before


def test_long_heads_and_noise(world):
    for sent in (
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        head(world, *(f"X-{number}: {'y' * 100}" for number in range(2000)), length=0),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n" * 10_000,
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        assert all(400 <= status < 500 or status in (501, 505) for status in raw(world, sent)), sent[:40]


def test_methods_and_paths_that_do_not_exist(world):
    for method, path, status in (
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/v1/nothing", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/v1/models/%00", 404),
    ):
        answer = httpx.request(method, world.gateway.url + path, headers=world.headers)
        assert answer.status_code == status, (method, path, answer.text)


def test_thousands_of_unknown_keys_cost_no_memory(world):
    process = world.gateway.process
    assert process is not None

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
        try:
            for turn in range(200):
                key = f"sk-{number}-{turn}-" + "z" * 64
                writer.write(
                    f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
                    f"Content-Length: {len(BODY)}\r\n\r\n".encode()
                    + BODY
                )
                answer = await reader.readuntil(b"\r\n\r\n")
                assert b" 401 " in answer.split(b"\r\n")[0]
                length = re.search(rb"content-length: (\d+)", answer)
                assert length
                await reader.readexactly(int(length[1]))
        finally:
            writer.close()
            await writer.wait_closed()

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(25)))

    asyncio.run(all_of_them())
    before = process.pss_mb()
    asyncio.run(all_of_them())
    assert process.pss_mb() - before < 8.0


def test_a_hundred_bodies_that_never_end_cost_little_memory(world):
    process = world.gateway.process
    assert process is not None
    before = process.pss_mb()
    connections = []
    try:
        for _ in range(100):
            connection = socket.create_connection(("127.0.0.1", world.gateway.port), timeout=30.0)
            connections.append(connection)
            connection.sendall(head(world, length=900_000) + b"x" * 100_000)
        assert process.pss_mb() - before < 100.0
    finally:
        for connection in connections:
            connection.close()
