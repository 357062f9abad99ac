"""A relay with router in this process, stand-in nodes on 127.0.0.1, and a client that notes what it gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from control_plane.gateway.call import SENT, Call, Endpoint, Message, Outcome
from control_plane.gateway.declared import Declared, Node
from control_plane.gateway.parsing import Parser
from control_plane.gateway.relaying.relay import NodeRelay
from control_plane.gateway.relaying.settings import RelaySettings
from control_plane.gateway.relaying.upstream import Upstream
from control_plane.gateway.routing.router import NodeRouter
from control_plane.gateway.routing.settings import RoutingSettings
from control_plane.gateway.timers import LoopTimers, Timers
from tests.unit.control_plane.relaying.stand_in import MODEL, StandIn


@dataclass
class Client:
    """What one client got."""

    messages: list[Message] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    done_before: int = -1
    """How many messages it had when `done` was called."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    got_something: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    def send(self, message: Message) -> Awaitable[None]:
        """Takes two of three at once, as the server does, and is slow with the others."""
        if len(self.messages) % 3:
            self._take(message)
            return SENT
        return self._take_slowly(message)

    async def _take_slowly(self, message: Message) -> None:
        await asyncio.sleep(0)
        self._take(message)

    def _take(self, message: Message) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.body":
            self.got_something.set()

    def done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.done_before = len(self.messages)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def outcome(self) -> Outcome:
        assert len(self.outcomes) == 1
        return self.outcomes[0]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events but `[DONE]`."""
        blobs = self.body.decode().split("\n\n")
        assert blobs.pop() == ""
        return [json.loads(blob[5:]) for blob in blobs if blob != "data: [DONE]"]

    @property
    def complete(self) -> bool:
        return self.body.endswith(b"data: [DONE]\n\n") and self.body.count(b"[DONE]") == 1

    @property
    def pieces(self) -> list[str]:
        """The texts of all events that have one."""
        out = []
        for event in self.events:
            for choice in event.get("choices", ()):
                text = choice["delta"].get("content") if "delta" in choice else choice["text"]
                if text:
                    out.append(text)
        return out


def call_of(endpoint: Endpoint, body: dict[str, Any], timers: Timers, **changes: Any) -> Call:
    call = Parser(128).parse(
        endpoint,
        json.dumps({"model": MODEL, **body}).encode(),
        request_id="r1",
        tenant="t",
        key_id="k",
        received=timers.now(),
        deadline=timers.now() + 30,
    )
    for name, value in changes.items():
        setattr(call, name, value)
    return call


@dataclass
class World:
    nodes: list[StandIn]
    router: NodeRouter
    relay: NodeRelay
    timers: Timers

    async def ask(
        self, endpoint: Endpoint, body: dict[str, Any], client: Client | None = None, **changes: Any
    ) -> Client:
        client = client or Client()
        call = call_of(endpoint, body, self.timers, **changes)
        await self.relay.relay(call, [(b"x-request-id", b"r1")], client.receive, client.send, client.done)
        return client

    async def chat(self, client: Client | None = None, **body: Any) -> Client:
        given = {"messages": [{"role": "user", "content": "hello"}], "stream": True, **body}
        return await self.ask(Endpoint.CHAT, given, client)

    async def completion(self, client: Client | None = None, **body: Any) -> Client:
        return await self.ask(Endpoint.COMPLETIONS, {"prompt": "once |", "stream": True, **body}, client)

    def counted(self) -> tuple[int, int]:
        """What all nodes together have counted."""
        return sum(n.prompt_tokens for n in self.nodes), sum(n.completion_tokens for n in self.nodes)

    def first(self) -> StandIn:
        """The node that gets the chat of these tests first: the idlest one, as none of them has a prefix."""
        return self.nodes[0]


@asynccontextmanager
async def world(
    count: int = 2,
    *,
    timers: Timers | None = None,
    settings: RelaySettings | None = None,
    routing: RoutingSettings | None = None,
    change: Callable[[Node], Node] = lambda node: node,
    key: str = "",
) -> AsyncIterator[World]:
    timers = timers or LoopTimers()
    settings = settings or RelaySettings(alone_s=(0.0, 0.0, 0.0))
    routing = routing or RoutingSettings()
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(StandIn(f"n{number}", key=key)) for number in range(count)]
        upstream = await stack.enter_async_context(Upstream(settings))
        router = NodeRouter(routing, timers)
        router.apply(
            Declared(nodes=tuple(change(Node(node.name, node.url, (MODEL,), api_key=key)) for node in nodes))
        )
        yield World(nodes, router, NodeRelay(router, upstream, settings, timers), timers)
        assert router.in_flight == 0
        assert router.waiting == 0


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Runs an async test, with a limit against hanging."""

    async def limited() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(limited())
