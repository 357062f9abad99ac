"""The real parts together, without a server: a node, a store in a file, the admin endpoint."""

import asyncio
import csv
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from control_plane.gateway import log as logging
from control_plane.gateway.app import App
from control_plane.gateway.call import Message
from control_plane.gateway.keys import new_key
from control_plane.gateway.service import Service
from control_plane.settings import Settings, SettingsError
from tests.unit.control_plane.front.asgi import Answer

TOKEN = "admin-token-of-the-tests"
CANARY = "canary-5b0e"
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": CANARY}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}
HELLO = {"model": "m", "messages": [{"role": "user", "content": CANARY}], "max_tokens": 5}


class TinyNode:
    """A node that serves one model and answers every request alike, for its own key alone."""

    key = "the-nodes-own-key-0123"

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.url = ""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "TinyNode":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = 0
                for line in head.split("\r\n"):
                    if line.startswith("content-length:"):
                        length = int(line.partition(":")[2])
                body = await reader.readexactly(length)
                status, content = self._answer(head, body)
                raw = json.dumps(content).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(raw)}\r\n\r\n".encode()
                    + raw
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, head: str, body: bytes) -> tuple[int, object]:
        if f"authorization: bearer {self.key}" not in head:
            return 401, {}
        if head.startswith("get /v1/models"):
            return 200, {"data": [{"id": "m"}]}
        if head.startswith("post /v1/chat/completions"):
            self.asked.append(json.loads(body))
        return 200, ANSWER

    def declared(self) -> dict[str, Any]:
        return {"url": self.url, "models": ["m"], "apiKey": self.key}


class Client:
    """Asks an application.

    Args:
        app: Which.
        secret: The key.
    """

    def __init__(self, app: App, secret: str) -> None:
        self.app = app
        self.secret = secret

    async def ask(self, method: str, path: str, body: Any = None, secret: str | None = None) -> Answer:
        got: list[Message] = []
        arriving: list[Message] = [
            {"type": "http.request", "body": b"" if body is None else json.dumps(body).encode()}
        ]

        async def receive() -> Message:
            if arriving:
                return arriving.pop()
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(message: Message) -> None:
            got.append(message)

        raw, _, query = path.partition("?")
        own = TOKEN if path.startswith("/admin") else self.secret
        await self.app(
            {
                "type": "http",
                "method": method,
                "path": unquote(raw),
                "raw_path": raw.encode(),
                "query_string": query.encode(),
                "headers": [(b"authorization", f"Bearer {own if secret is None else secret}".encode())],
            },
            receive,
            send,
        )
        content = b"".join(message.get("body", b"") for message in got[1:])
        return Answer(got[0]["status"], list(got[0]["headers"]), content)

    async def admin(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.ask(method, f"/admin/v1/{path}", body)

    async def chat(self, **more: Any) -> Answer:
        return await self.ask("POST", "/v1/chat/completions", {**HELLO, **more})


def settings(folder: Path, **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": folder / "data",
            "admin_token": TOKEN,
            "database_url": f"sqlite+aiosqlite:///{folder}/db",
        }
        | more
    )


async def until(look: Callable[[], Awaitable[bool]], rounds: int = 2000) -> None:
    for _ in range(rounds):
        if await look():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


def run(folder: Path, use: Callable[[Client, TinyNode], Awaitable[None]], **more: Any) -> None:
    """A gateway with a node, a tenant and a key, all by the admin endpoint."""

    async def work() -> None:
        service = Service(settings(folder, **more), logging.configure("info"))
        async with TinyNode() as node, service.running() as app:
            key = new_key()
            client = Client(app, key.secret)

            async def started() -> bool:
                return (await client.ask("GET", "/v1/models")).status == 401

            await until(started)
            assert (await client.admin("PUT", "tenants/team", {})).status == 200
            declared = {"tenant": "team", "sha256": key.sha256, "prefix": key.prefix}
            assert (await client.admin("PUT", "keys/main", declared)).status == 200
            assert (await client.admin("PUT", "nodes/n", node.declared())).status == 200

            async def ready() -> bool:
                return (await client.ask("GET", "/ready")).status == 200

            await until(ready)
            await use(client, node)
            service.begin_drain()

    asyncio.run(work())


def test_a_request_from_the_client_to_the_ledger(tmp_path, capfd):
    async def use(client: Client, node: TinyNode) -> None:
        await client.admin(
            "PUT",
            "models/chat",
            {"targets": [{"model": "m"}], "promptUsdPerMillion": 1, "completionUsdPerMillion": 2},
        )
        answer = await client.chat(model="chat")
        assert (answer.status, answer.json) == (200, ANSWER)
        assert node.asked == [{**HELLO, "model": "m"}]
        assert (await client.chat(model="other")).status == 404
        assert (await client.chat(n=-1)).status == 400

        async def shipped() -> bool:
            return len((await client.admin("GET", "ledger")).json["data"]) == 1

        await until(shipped)
        (row,) = (await client.admin("GET", "ledger?from=2020-01-01")).json["data"]
        assert row["requestId"] == answer.header("x-request-id")
        assert (row["askedModel"], row["model"], row["nodes"], row["result"]) == ("chat", "m", ["n"], "ok")
        assert (row["prompt"], row["completion"], row["usd"]) == (3, 4, 1.1e-5)
        usage = await client.admin("GET", "usage?format=csv")
        assert usage.header("content-type") == "text/csv; charset=utf-8"
        (line,) = csv.DictReader(io.StringIO(usage.body.decode()))
        assert (line["tenant"], line["keyId"], line["requests"], line["usd"]) == (
            "team",
            "main",
            "1",
            "1.1e-05",
        )
        lines = list(
            csv.DictReader(io.StringIO((await client.admin("GET", "ledger?format=csv")).body.decode()))
        )
        assert [each["requestId"] for each in lines] == [row["requestId"]]
        assert (await client.admin("GET", "ledger?to=2020-01-01")).json == {"data": []}
        metrics = (await client.ask("GET", "/metrics")).body.decode()
        assert 'gateway_tokens_total{kind="completion",model="m"} 4.0' in metrics
        assert 'gateway_node_breaker{node="n"} 0.0' in metrics
        for secret in (CANARY, client.secret, node.key, TOKEN):
            assert secret not in metrics
            assert secret not in json.dumps(row)

    run(tmp_path, use, log_level="debug")
    shown = "".join(capfd.readouterr())
    assert '"event":"draining"' in shown
    for secret in (CANARY, TOKEN, TinyNode.key, "gp-"):
        assert secret not in shown


def test_the_admin_endpoint_keeps_its_contract(tmp_path):
    async def use(client: Client, node: TinyNode) -> None:
        shown = {
            "name": "n",
            "url": node.url,
            "models": ["m"],
            "maxInFlight": 0,
            "tlsSha256": "",
            "cordoned": False,
            "router": False,
            "state": "healthy",
            "inFlight": 0,
        }
        assert (await client.admin("GET", "nodes/n")).json == shown
        assert (await client.admin("GET", "nodes")).json == {"data": [shown]}
        again = await client.admin("PUT", "nodes/n", {**node.declared(), "maxInFlight": 7})
        assert again.json == {**shown, "maxInFlight": 7}
        cordoned = await client.admin("POST", "nodes/n/cordon")
        assert cordoned.json["cordoned"] is True
        assert (await client.ask("GET", "/ready")).status == 503
        assert (await client.admin("POST", "nodes/n/uncordon")).json["cordoned"] is False
        assert (await client.chat()).status == 200
        for _ in range(2):
            gone = await client.admin("DELETE", "nodes/n?drain_s=0")
            assert (gone.status, gone.body) == (204, b"")
        assert (await client.admin("GET", "nodes/n")).status == 404
        assert (await client.chat()).status == 404
        name = quote("org/model", safe="")
        assert (await client.admin("PUT", f"models/{name}", {"promptUsdPerMillion": 1})).status == 200
        assert (await client.admin("GET", f"models/{name}")).json["name"] == "org/model"
        assert (await client.admin("DELETE", f"models/{name}")).status == 204
        assert (await client.admin("PUT", "limits", {"inFlight": 9})).json["inFlight"] == 9
        assert (await client.admin("GET", "limits")).json["inFlight"] == 9
        used = await client.admin("DELETE", "tenants/team")
        assert (used.status, used.error["code"]) == (409, "tenant_in_use")
        assert (await client.admin("DELETE", "keys/main")).status == 204
        assert (await client.chat()).status == 401
        assert (await client.admin("DELETE", "tenants/team")).status == 204

    run(tmp_path, use)


WRONG: list[tuple[str, str, Any, int, str]] = [
    ("PUT", "nodes/x", {}, 400, "$: object missing required field `url`"),
    ("PUT", "nodes/x", {"url": "ftp://h", "models": ["m"]}, 400, "$.url: must be a URL with http or https"),
    (
        "PUT",
        "nodes/x",
        {"url": "http://h", "models": []},
        400,
        "$.models: must name the models that it serves",
    ),
    ("PUT", "nodes/x", {"name": "y", "url": "http://h", "models": ["m"]}, 400, "$.name: is not the name"),
    (
        "PUT",
        "nodes/x",
        {"url": "http://h", "models": ["m"], "state": "healthy"},
        400,
        "unknown field `state`",
    ),
    ("PUT", "nodes/x", [], 400, "$: expected `object`, got `array`"),
    ("PUT", "nodes/x", None, 400, "no valid JSON"),
    ("PUT", "keys/x", {"tenant": "none", "sha256": "0" * 64}, 400, "$.tenant: there is no tenant 'none'"),
    ("PUT", "models/x", {"targets": [{"model": "x"}]}, 400, "$.targets[0].model: 'x' is an alias itself"),
    ("PUT", "limits", {"inFlight": -1}, 400, "$.inFlight: must be 0 or more"),
    ("PUT", "tenants/x", {"weight": 0}, 400, "$.weight: must be 1 or more"),
    ("DELETE", "nodes/x?drain_s=nan", None, 400, "'drain_s' must be a number from 0 to 3600"),
    ("DELETE", "nodes/x?drain_s=-1", None, 400, "'drain_s' must be a number from 0 to 3600"),
    ("POST", "nodes/x/cordon", None, 404, "There is no 'x'"),
    ("POST", "nodes/x/reboot", None, 404, "Unknown request URL"),
    ("POST", "nodes/x", None, 405, "it takes GET, PUT, DELETE"),
    ("PUT", "nodes", None, 405, "it takes GET"),
    ("GET", "nodes/x/cordon", None, 405, "it takes POST"),
    ("GET", "nodes/", None, 404, "Unknown request URL"),
    ("GET", "rockets", None, 404, "Unknown request URL"),
    ("GET", "usage?month=2026-13", None, 400, "'month' must be a month such as 2026-11"),
    ("GET", "usage?format=xml", None, 400, "'format' must be json or csv"),
    ("GET", "ledger?from=yesterday", None, 400, "'from' must be a time"),
    ("GET", "ledger?to=1e400", None, 400, "'to' must be a time"),
]


def test_wrong_requests_to_the_admin_endpoint_are_one_line(tmp_path):
    async def use(client: Client, node: TinyNode) -> None:
        before = (await client.admin("GET", "nodes")).json
        for method, path, body, status, part in WRONG:
            answer = await client.admin(method, path, body)
            assert (answer.status, part in answer.error["message"]) == (status, True), (method, path, answer)
            assert "\n" not in answer.error["message"]
        for token in ("", TOKEN[:-1], TOKEN + "x", client.secret):
            answer = await client.ask("GET", "/admin/v1/nodes", secret=token)
            assert (answer.status, answer.error["code"]) == (401, "invalid_admin_token")
        assert (await client.admin("GET", "nodes")).json == before

    run(tmp_path, use)


def test_without_a_token_there_is_no_admin_endpoint(tmp_path):
    async def work() -> None:
        service = Service(settings(tmp_path, admin_token=""), logging.configure("error"))
        async with service.running() as app:
            answer = await Client(app, "x").admin("GET", "nodes")
            assert (answer.status, answer.error["code"]) == (404, "unknown_url")

    asyncio.run(work())


def test_a_revoked_key_is_refused_by_every_replica_within_two_seconds(tmp_path):
    async def use(client: Client, node: TinyNode) -> None:
        other = settings(tmp_path, data_dir=tmp_path / "other", secret_key="")
        # Replicas share the key that seals: here by the file that the first has made.
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "secret.key").write_text((tmp_path / "data" / "secret.key").read_text())
        service = Service(other, logging.configure("error"))
        async with service.running() as app:
            second = Client(app, client.secret)

            async def serves() -> bool:
                return (await second.ask("GET", "/ready")).status == 200

            await until(serves)
            assert (await second.chat()).status == 200
            shown = (await client.admin("GET", "keys/main")).json
            assert (await client.admin("PUT", "keys/main", {**shown, "revoked": True})).status == 200
            assert (await client.chat()).status == 401
            begun = asyncio.get_running_loop().time()

            async def refuses() -> bool:
                return (await second.chat()).status == 401

            await until(refuses)
            assert asyncio.get_running_loop().time() - begun < 2.0

    run(tmp_path, use)


def test_what_is_declared_outlives_the_process_and_a_seed_leaves_it_alone(tmp_path):
    secret = ""

    async def first(client: Client, node: TinyNode) -> None:
        nonlocal secret
        secret = client.secret

    run(tmp_path, first)
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps({"tenants": [{"name": "seeded"}, {"name": "team", "weight": 9}]}))

    async def again() -> None:
        service = Service(settings(tmp_path, seed=seed), logging.configure("error"))
        async with service.running() as app:
            client = Client(app, secret)

            async def known() -> bool:
                return (await client.ask("GET", "/v1/models")).status == 200

            await until(known)
            tenants = {
                each["name"]: each["weight"] for each in (await client.admin("GET", "tenants")).json["data"]
            }
            assert tenants == {"seeded": 1, "team": 1}

    asyncio.run(again())


def test_before_the_store_was_read_nothing_is_served(tmp_path):
    async def work() -> None:
        url = "postgresql+asyncpg://nobody:canary-pw@127.0.0.1:1/none"
        service = Service(settings(tmp_path, database_url=url), logging.configure("error"))
        async with service.running() as app:
            client = Client(app, "gp-any")
            assert (await client.ask("GET", "/health")).status == 200
            answer = await client.chat()
            assert (answer.status, answer.error["code"], answer.header("retry-after")) == (
                503,
                "not_ready",
                "1",
            )
            assert (await client.ask("GET", "/ready")).status == 503
            refused = await client.admin("PUT", "tenants/team", {})
            assert (refused.status, refused.error["code"]) == (503, "store_lost")
            assert b"canary-pw" not in answer.body + refused.body
            assert b"gateway_store_lost 1.0" in (await client.ask("GET", "/metrics")).body

    asyncio.run(work())


def test_a_draining_gateway_is_not_ready_and_still_serves(tmp_path):
    async def work() -> None:
        service = Service(settings(tmp_path), logging.configure("error"))
        async with service.running() as app:
            service.begin_drain()
            answer = await Client(app, "x").ask("GET", "/ready")
            assert (answer.status, answer.error["message"]) == (503, "The gateway is being stopped.")

    asyncio.run(work())


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"secret_key": "hunter2"}, "GATEWAY_SECRET_KEY must be 32 random bytes"),
        ({"seed": "none.json"}, "GATEWAY_SEED: none.json cannot be read"),
        ({"database_url": "sqlite+aiosqlite://"}, "must name a file"),
    ],
)
def test_settings_that_make_no_sense_together(tmp_path, more, part):
    with pytest.raises(SettingsError, match=part) as caught:
        Service(settings(tmp_path, **more), logging.configure("error"))
    assert "hunter2" not in str(caught.value)
