"""The admin endpoint: nodes, tenants, keys, models and limits of the gateway, and what was used.

JSON in the form of `declared.py`. What is written goes to the store first, and is in force here when the
answer is sent.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

import msgspec
from msgspec import Raw

from control_plane.gateway.call import Message, Receive, Send
from control_plane.gateway.checks import (
    Wrong,
    check_key,
    check_limits,
    check_model,
    check_node,
    check_tenant,
    decode,
)
from control_plane.gateway.declared import ApiKey, Declared, Limits, Model, Node, Tenant
from control_plane.gateway.errors import not_found, send_bytes, short, wrong_method
from control_plane.gateway.exports import Report
from control_plane.gateway.parts import Headers, Refused
from control_plane.gateway.reading import read_body
from control_plane.gateway.routing.views import NodeView
from control_plane.store.errors import StoreError, StoreLost

Item = Tenant | ApiKey | Node | Model
MAX_BODY_BYTES = 1_000_000
BODY_S = 10.0
MAX_DRAIN_S = 3600.0
_PREFIX = "/admin/v1/"
_encode = msgspec.json.Encoder().encode


class Objects(Protocol):
    """What is declared, kept in the store and in force."""

    @property
    def declared(self) -> Declared:
        """What is in force."""

    async def put(self, item: Item) -> None:
        """Adds or replaces one. In the store and in force here once it returns."""

    async def delete(self, kind: type[Item], name: str) -> None:
        """Takes one out; what is not there is left so."""

    async def put_limits(self, limits: Limits) -> None:
        """Replaces the limits of the whole gateway."""

    def node(self, name: str) -> NodeView | None:
        """A node as it is now."""

    async def drained(self, name: str, drain_s: float) -> None:
        """Waits until a node that was taken out serves nothing any more."""


@dataclass(frozen=True, slots=True)
class _Kind:
    type: type[Item]
    key: str
    all: Callable[[Declared], tuple[Item, ...]]


_KINDS = {
    "tenants": _Kind(Tenant, "name", lambda declared: declared.tenants),
    "keys": _Kind(ApiKey, "id", lambda declared: declared.keys),
    "nodes": _Kind(Node, "name", lambda declared: declared.nodes),
    "models": _Kind(Model, "name", lambda declared: declared.models),
}


class Admin:
    """Serves `/admin/*`.

    Args:
        token: What a caller must know.
        objects: What is declared.
        report: What was used.
    """

    def __init__(self, token: str, objects: Objects, report: Report) -> None:
        self._token = token.encode()
        self._objects = objects
        self._report = report

    async def __call__(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send, out: Headers
    ) -> None:
        """One request. Raises `Refused` for whatever is wrong with it."""
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise Refused(
                401,
                "Send the gateway's admin token as 'Authorization: Bearer <token>'.",
                code="invalid_admin_token",
                headers=[(b"www-authenticate", b"Bearer")],
            )
        # Names may hold a slash: the path is split before it is decoded.
        raw: bytes = scope["raw_path"]
        parts = [unquote(part) for part in raw.decode("ascii").split("?")[0].split("/")[3:]]
        query = {
            name: values[-1]
            for name, values in parse_qs(
                scope["query_string"].decode("latin-1"), keep_blank_values=True
            ).items()
        }
        if not scope["path"].startswith(_PREFIX) or not parts:
            raise not_found(scope["path"])
        answer = _Answer(scope, headers, receive, send, out, query)
        try:
            await self._dispatch(answer, parts)
        except Wrong as wrong:
            raise Refused(400, str(wrong), code="invalid_value", param=_param(str(wrong))) from None
        except StoreError as error:
            raise Refused(409, f"{error}.", code="conflict") from None
        except StoreLost as error:
            raise Refused(
                503,
                f"{error}; try again later.",
                code="store_lost",
                kind="server_error",
                headers=[(b"retry-after", b"2")],
            ) from None

    async def _dispatch(self, answer: _Answer, parts: list[str]) -> None:
        match parts:
            case ["limits"]:
                await answer.by_method(GET=self._get_limits, PUT=self._put_limits)
            case ["usage"]:
                await answer.by_method(GET=self._usage)
            case ["ledger"]:
                await answer.by_method(GET=self._ledger)
            case [collection] if collection in _KINDS:
                kind = _KINDS[collection]
                await answer.by_method(GET=lambda asked: self._list(asked, kind))
            case ["nodes", name, ("cordon" | "uncordon") as action] if name:
                await answer.by_method(POST=lambda asked: self._cordon(asked, name, action == "cordon"))
            case [collection, name] if collection in _KINDS and name:
                kind = _KINDS[collection]
                await answer.by_method(
                    GET=lambda asked: self._get(asked, kind, name),
                    PUT=lambda asked: self._put(asked, kind, name),
                    DELETE=lambda asked: self._delete(asked, kind, name),
                )
            case _:
                raise not_found(answer.path)

    async def _list(self, answer: _Answer, kind: _Kind) -> None:
        await answer.json({"data": [self._shown(item) for item in kind.all(self._objects.declared)]})

    async def _get(self, answer: _Answer, kind: _Kind, name: str) -> None:
        await answer.json(self._shown(self._find(kind, name)))

    async def _put(self, answer: _Answer, kind: _Kind, name: str) -> None:
        fields = decode(await answer.body(), dict[str, Raw])
        given = fields.setdefault(kind.key, Raw(_encode(name)))
        if decode(given, str) != name:
            raise Wrong(f"$.{kind.key}: is not the name in the address")
        item = decode(_encode(fields), kind.type)
        declared = self._objects.declared
        match item:
            case Tenant():
                check_tenant(item)
            case ApiKey():
                check_key(item, {tenant.name for tenant in declared.tenants})
            case Node():
                check_node(item)
            case Model():
                check_model(item, declared.models)
        await self._objects.put(item)
        await answer.json(self._shown(item))

    async def _delete(self, answer: _Answer, kind: _Kind, name: str) -> None:
        drain_s = answer.number("drain_s", 30.0, MAX_DRAIN_S)
        if kind.type is Tenant:
            keys = [key.id for key in self._objects.declared.keys if key.tenant == name]
            if keys:
                raise Refused(
                    409, f"Tenant {short(name)} still has keys: {', '.join(keys[:10])}.", code="tenant_in_use"
                )
        await self._objects.delete(kind.type, name)
        if kind.type is Node:
            await self._objects.drained(name, drain_s)
        await send_bytes(answer.send, 204, b"", headers=answer.out)

    async def _cordon(self, answer: _Answer, name: str, cordoned: bool) -> None:
        node = self._find(_KINDS["nodes"], name)
        changed = msgspec.structs.replace(node, cordoned=cordoned)
        await self._objects.put(changed)
        await answer.json(self._shown(changed))

    async def _get_limits(self, answer: _Answer) -> None:
        await answer.json(self._objects.declared.limits)

    async def _put_limits(self, answer: _Answer) -> None:
        limits = decode(await answer.body(), Limits)
        check_limits(limits)
        await self._objects.put_limits(limits)
        await answer.json(limits)

    async def _usage(self, answer: _Answer) -> None:
        body, kind = await self._report.usage(answer.query)
        await send_bytes(answer.send, 200, body, kind=kind, headers=answer.out)

    async def _ledger(self, answer: _Answer) -> None:
        kind, pieces = await self._report.ledger(answer.query)
        # Before the answer begins: a store that does not answer is still an error that can be told.
        piece = await anext(pieces)
        await answer.send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", kind), *answer.out],
            }
        )
        await answer.send({"type": "http.response.body", "body": piece, "more_body": True})
        async for piece in pieces:
            await answer.send({"type": "http.response.body", "body": piece, "more_body": True})
        await answer.send({"type": "http.response.body", "body": b""})

    def _find(self, kind: _Kind, name: str) -> Item:
        for item in kind.all(self._objects.declared):
            if getattr(item, kind.key) == name:
                return item
        raise Refused(404, f"There is no {short(name)}.", code="not_found")

    def _shown(self, item: Item) -> dict[str, Any]:
        """As JSON; a node without its key, and with its state."""
        fields: dict[str, Any] = msgspec.to_builtins(item)
        if isinstance(item, Node):
            del fields["apiKey"]
            now = self._objects.node(item.name)
            fields["state"] = now.health.value if now else "unknown"
            fields["inFlight"] = now.in_flight if now else 0
            if now and now.reason:
                fields["reason"] = now.reason
        return fields


@dataclass(frozen=True, slots=True)
class _Answer:
    """One request to the admin endpoint and the way to answer it."""

    scope: Message
    headers: dict[bytes, bytes]
    receive: Receive
    send: Send
    out: Headers
    query: dict[str, str]

    @property
    def path(self) -> str:
        path: str = self.scope["path"]
        return path

    async def by_method(self, **handlers: Callable[[_Answer], Awaitable[None]]) -> None:
        handler = handlers.get(self.scope["method"])
        if handler is None:
            raise wrong_method(self.scope["method"], self.path, ", ".join(handlers))
        await handler(self)

    async def body(self) -> bytes:
        return await read_body(self.receive, self.headers.get(b"content-length"), MAX_BODY_BYTES, BODY_S)

    async def json(self, content: object) -> None:
        await send_bytes(self.send, 200, _encode(content), headers=self.out)

    def number(self, name: str, default: float, most: float) -> float:
        """A number of the query, 0 to `most`."""
        try:
            value = float(self.query.get(name, default))
        except ValueError:
            value = -1.0
        if not 0 <= value <= most:
            raise Refused(
                400, f"'{name}' must be a number from 0 to {most:g}.", code="invalid_value", param=name
            )
        return value


def _param(message: str) -> str:
    path = message.partition(":")[0]
    return path if path.startswith("$") else ""
