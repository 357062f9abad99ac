"""When nodes were used, from a ledger as the gateway writes it; and what a state tells of whom to ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import pytest

from cli.spend_period import Period
from cli.spend_state import GATEWAY_NODE_TYPE, Gateway, Server, gateways_in, servers_in
from cli.spend_use import LEDGER, UseUnknown, read_use
from cli.state import CLUSTER_TYPE
from control_plane.gateway.exports import Report
from control_plane.store.ledger import LedgerRows
from control_plane.store.rows import Row
from gpu_clouds.errors import ValidationError

BEGIN = datetime(2026, 11, 27, 8, tzinfo=UTC)
TOKEN = "canary-admin-token"
GATEWAY = Gateway("http://127.0.0.1:8484", TOKEN, {"pod1": "chat-0", "pod2": "chat-1", "pod3": "chat-2"})


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def request(number: int, begun: float, ended: float | None, nodes: str) -> Row:
    begun_us = round(at(begun).timestamp() * 1e6)
    ended_us = None if ended is None else round(at(ended).timestamp() * 1e6)
    rest = (
        "t",
        "k",
        "m",
        "m",
        "/v1/chat/completions",
        nodes,
        "ok",
        200,
        0,
        True,
        1,
        1,
        1,
        1,
        0,
        False,
        0,
        None,
        None,
    )
    return Row(f"r{number}", begun_us, ended_us, *rest)


def gateway_with(*rows: Row, asked: list[httpx.Request] | None = None) -> httpx.MockTransport:
    """The gateway's own export behind a network that is none."""

    class Stored:
        async def rows(self, begin_us: int, before_us: int) -> AsyncIterator[Row]:
            for each in rows:
                if begin_us <= each.begun_us < before_us:
                    yield each

    async def export(query: dict[str, str]) -> tuple[bytes, bytes]:
        report = Report(cast("LedgerRows", Stored()), lambda: at(24 * 60).timestamp())
        kind, pieces = await report.ledger(query)
        return kind, b"".join([piece async for piece in pieces])

    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        kind, content = asyncio.run(export(dict(request.url.params)))
        return httpx.Response(200, headers={"content-type": kind.decode()}, content=content)

    return httpx.MockTransport(answer)


def test_requests_become_spans_of_use() -> None:
    asked: list[httpx.Request] = []
    network = gateway_with(
        request(0, -90, 5, "chat-0"),  # an hour before the period is early enough
        request(1, -30, 10, "chat-0"),
        request(2, 5, 20, "chat-0 chat-1"),  # continued on another node
        request(3, 15, 18, "chat-0"),
        request(4, 30, 40, "chat-0 chat-0"),
        request(5, 50, None, "chat-0"),  # the gateway was killed meanwhile
        request(6, 50, 60, ""),  # refused: no node had it
        request(7, 50, 60, "somebody-elses"),
        asked=asked,
    )
    found = read_use(GATEWAY, Period(BEGIN), network)
    assert found["pod1"].busy == ((at(-30), at(20)), (at(30), at(40)))
    assert found["pod2"].busy == ((at(5), at(20)),)
    assert found["pod3"].busy == ()
    assert {use.source for use in found.values()} == {LEDGER}
    assert asked[0].url.path == "/admin/v1/ledger"
    assert asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert dict(asked[0].url.params) == {"from": "2026-11-27T07:00:00+00:00", "format": "csv"}


def test_a_period_with_an_end() -> None:
    found = read_use(
        GATEWAY,
        Period(BEGIN, at(60)),
        gateway_with(request(1, 59, 70, "chat-0"), request(2, 60, 61, "chat-1")),
    )
    assert [found[pod].busy for pod in ("pod1", "pod2")] == [((at(59), at(70)),), ()]


def test_thousands_of_requests_of_a_busy_node_are_one_span() -> None:
    rows = [request(n, n / 100, n / 100 + 1, "chat-0") for n in range(5000)]
    (span,) = read_use(GATEWAY, Period(BEGIN), gateway_with(*rows))["pod1"].busy or ()
    assert span == (at(0), at(50.99))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(401, text=f"bad {TOKEN}"), "http://127.0.0.1:8484 answered HTTP 401"),
        (httpx.Response(503), "answered HTTP 503"),
        (httpx.ConnectError(f"refused {TOKEN}"), "does not answer (ConnectError)"),
        (httpx.RemoteProtocolError("cut"), "does not answer (RemoteProtocolError)"),
    ],
)
def test_a_gateway_that_does_not_tell(answer: httpx.Response | Exception, message: str) -> None:
    def send(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(UseUnknown) as caught:
        read_use(GATEWAY, Period(BEGIN), httpx.MockTransport(send))
    assert message in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_the_token_goes_to_no_open_address() -> None:
    open_one = Gateway("http://gateway.example.com", TOKEN, {})
    with pytest.raises(ValidationError) as caught:
        read_use(open_one, Period(BEGIN), gateway_with())
    assert TOKEN not in str(caught.value) + repr(open_one)


def secret(value: str) -> dict[str, str]:
    """As `--show-secrets` prints it."""
    return {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "plaintext": json.dumps(value),
    }


def state(*resources: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    found = [{"type": kind, "inputs": props, "outputs": props} for kind, props in resources]
    return {"deployment": {"resources": [{"type": "pulumi:pulumi:Stack"}, *found]}}


def test_gateways_of_a_state() -> None:
    def entry(node: str, **more: Any) -> tuple[str, dict[str, Any]]:
        url = "http://127.0.0.1:8484"
        props = {"gateway": url, "adminToken": secret(TOKEN), "node": node, "nodeId": f"id-{node}"}
        return GATEWAY_NODE_TYPE, {**props, **more}

    found = gateways_in(
        state(entry("a"), entry("b"), entry("c", gateway="https://x"), entry("d", adminToken=""))
    )
    assert [(each.url, each.token, dict(each.nodes)) for each in found] == [
        ("http://127.0.0.1:8484", TOKEN, {"id-a": "a", "id-b": "b"}),
        ("https://x", TOKEN, {"id-c": "c"}),
    ]
    assert TOKEN not in repr(found)
    assert gateways_in({}) == []
    assert gateways_in({"deployment": None}) == []


def test_servers_of_a_state() -> None:
    props = {"clusterName": "c1", "endpoint": "https://sky", "user": "admin", "token": secret(TOKEN)}
    named = {"clusterName": "c2", "credentials": "main"}
    more = {
        **props,
        "clusterName": "c3",
        "caFile": "ca.pem",
        "allowInsecure": True,
        "workspace": "w",
        "user": "",
    }
    found = servers_in(state((CLUSTER_TYPE, props), (CLUSTER_TYPE, named), (CLUSTER_TYPE, more)))
    assert found == {
        "c1": Server("https://sky", "admin", TOKEN),
        "c3": Server("https://sky", "", TOKEN, "ca.pem", True, "w"),
    }
    assert TOKEN not in repr(found)
