"""One answer on a client's connection: the bytes that go out, and applications that do not speak ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from control_plane.gateway.call import SENT
from control_plane.gateway.exchange import Exchange, Signal


class Transport(asyncio.Transport):
    """Notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True


def exchange(
    transport: Transport, flow: FlowControl, method: str = "POST", keep_alive: bool = True
) -> Exchange:
    ends: list[bool] = []
    made = Exchange(
        {"type": "http", "method": method},
        transport,
        flow,
        waits_for_continue=False,
        keep_alive=keep_alive,
        ended=lambda: ends.append(True),
    )
    made.ends = ends  # type: ignore[attr-defined]  # for the test alone
    return made


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


LENGTH_2 = (b"content-length", b"2")
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("method", "keep_alive", "messages", "writes"),
    [
        ("POST", True, [start(LENGTH_2), body(b"{}")], [OK + b"content-length: 2\r\n\r\n{}"]),
        (
            "POST",
            False,
            [start(LENGTH_2), body(b"{}")],
            [OK + b"content-length: 2\r\nconnection: close\r\n\r\n{}"],
        ),
        (
            "POST",
            True,
            [start(LENGTH_2, (b"connection", b"close")), body(b"{}")],
            [OK + b"content-length: 2\r\nconnection: close\r\n\r\n{}"],
        ),
        (
            "POST",
            True,
            [start(), body(b"one", True), body(b"", True), body(b"two")],
            [OK + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"],
        ),
        ("HEAD", True, [start(LENGTH_2), body(b"{}")], [OK + b"content-length: 2\r\n\r\n"]),
        ("OPTIONS", True, [start(status=204), body(b"")], [b"HTTP/1.1 204 No Content\r\n\r\n"]),
    ],
)
def test_the_bytes_of_an_answer(method, keep_alive, messages, writes):
    async def work() -> None:
        transport = Transport()
        made = exchange(transport, FlowControl(transport), method, keep_alive)
        for message in messages:
            assert made.send(message) is SENT
        assert transport.writes == writes
        assert made.response_complete
        assert made.ends == [True]  # type: ignore[attr-defined]  # see `exchange`
        assert transport.closed == (b"connection: close" in writes[0])
        assert await made.receive() == {"type": "http.disconnect"}

    asyncio.run(work())


@pytest.mark.parametrize(
    "messages",
    [
        [body(b"{}")],
        [start(LENGTH_2), start(LENGTH_2)],
        [start(LENGTH_2), body(b"{}!")],
        [start(LENGTH_2), body(b"{")],
        [start(LENGTH_2), body(b"{}"), body(b"")],
        [start((b"x-a", b"1\r\nset-cookie: a"))],
        [start((b"x-a", b"1\rb"))],
        [start((b"x\n-a", b"1"))],
    ],
)
def test_what_is_no_answer_is_not_sent(messages):
    async def work() -> None:
        transport = Transport()
        made = exchange(transport, FlowControl(transport))
        for message in messages[:-1]:
            await made.send(message)
        before = list(transport.writes)
        with pytest.raises(RuntimeError):
            made.send(messages[-1])
        assert transport.writes == before

    asyncio.run(work())


@pytest.mark.parametrize("goes", [True, False])
def test_a_client_that_takes_nothing_is_waited_for(goes):
    async def work() -> None:
        transport = Transport()
        flow = FlowControl(transport)
        made = exchange(transport, flow)
        await made.send(start())
        flow.pause_writing()
        sending = asyncio.ensure_future(made.send(body(b"one", True)))
        await asyncio.sleep(0)
        assert not sending.done()
        assert not transport.writes
        made.disconnected = goes
        flow.resume_writing()
        await sending
        assert bool(transport.writes) is not goes
        assert made.send(body(b"two")) is SENT
        assert len(transport.writes) == (0 if goes else 2)

    asyncio.run(work())


@pytest.mark.parametrize("wake", [lambda signal: signal.set(), None])
def test_a_signal_wakes_who_waits(wake: Callable[[Signal], None] | None):
    async def work() -> None:
        signal = Signal()
        waiting = asyncio.ensure_future(signal.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        if wake is None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            signal.set()
        else:
            wake(signal)
            assert await waiting
        assert signal.is_set()
        assert await signal.wait()
        signal.clear()
        assert not signal.is_set()

    asyncio.run(work())
