"""What becomes of one request: answers, refusals, retries, clients that go, nodes that send nonsense."""

import asyncio
import gzip
import json
import time

import msgspec
import pytest

from control_plane.gateway.call import Endpoint, Result
from control_plane.gateway.declared import Declared
from control_plane.gateway.parts import Refused
from control_plane.gateway.relaying.identity import Identity
from control_plane.gateway.relaying.progress import Progress
from control_plane.gateway.relaying.settings import RelaySettings
from control_plane.gateway.relaying.splitter import Splitter
from control_plane.gateway.relaying.stream_filter import StreamFilter
from control_plane.gateway.relaying.tally import NodeTally
from control_plane.gateway.routing.node_state import NodeHealth
from tests.unit.control_plane.manual_timers import ManualTimers, turns
from tests.unit.control_plane.relaying.stand_in import Script, answer_to
from tests.unit.control_plane.relaying.world import Client, call_of, run, world

CHAT = answer_to("hello |", 12)


def test_a_plain_answer_is_passed_on():
    async def work() -> None:
        async with world(1, key="upstream-key") as where:
            client = await where.chat(stream=False)
            assert client.status == 200
            answer = json.loads(client.body)
            assert answer["choices"][0]["message"]["content"] == "".join(CHAT)
            assert client.headers[b"x-request-id"] == b"r1"
            assert client.headers[b"content-length"] == str(len(client.body)).encode()
            usage = client.outcome.usage
            assert (usage.prompt, usage.completion, usage.engine_prompt, usage.engine_completion) == (
                2,
                12,
            ) * 2
            assert not usage.estimated
            assert client.outcome.nodes == ["n0"]
            head = where.nodes[0].heads[0]
            assert head["authorization"] == "Bearer upstream-key"
            assert head["x-request-id"] == "r1"
            assert head["accept-encoding"] == "identity"

    run(work)


def test_embeddings_and_trace_context():
    async def work() -> None:
        async with world(1) as where:
            client = await where.ask(
                Endpoint.EMBEDDINGS,
                {"input": "x"},
                traceparent=b"00-0af7651916cd43dd8448eb211c80319c-b7ad-01",
            )
            assert client.outcome.usage.prompt == 3
            assert where.nodes[0].heads[0]["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c")

    run(work)


def test_a_stream_in_one_piece_and_connections_used_again():
    async def work() -> None:
        async with world(1) as where:
            where.nodes[0].one_write = True
            for _ in range(3):
                client = await where.chat(stream_options={"include_usage": True})
                assert client.pieces == CHAT
                assert client.events[-1]["usage"]["completion_tokens"] == 12
                assert client.headers[b"content-type"].startswith(b"text/event-stream")
            assert where.nodes[0].connections == 1
            assert where.nodes[0].requests[0]["stream_options"]["continuous_usage_stats"] is True

    run(work)


def test_a_refusal_by_the_node_is_passed_on_and_harms_it_not():
    async def work() -> None:
        async with world(1) as where:
            for stream in (True, False):
                where.nodes[0].scripts = [Script(status=422)] * 6
                for _ in range(6):
                    client = await where.chat(stream=stream)
                    assert client.status == 422
                    assert json.loads(client.body)["error"]["code"] == 422
                    assert client.outcome.result is Result.REFUSED_BY_NODE
            assert where.router.nodes()[0].health is NodeHealth.HEALTHY

    run(work)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "script",
    [
        Script(refuse=True),
        Script(status=500),
        Script(status=503),
        Script(status=401),
        Script(status=429),
        Script(status=302),
        Script(raw=b"HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"),
        Script(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"),
        Script(raw=b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 6\r\n\r\n<html>"),
        Script(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n<html>\n\n"),
        Script(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\n\n"),
        Script(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: [DONE]\n\n"),
        Script(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + b"x" * 5000),
        Script(raw=b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20000 + b"\r\n"),
        Script(raw=b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100000 + b"\r\n\r\n"),
        Script(raw=b"\x00\x01garbage\r\n\r\n"),
        Script(
            raw=b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\r\n"
            + gzip.compress(b"{}")
        ),
    ],
)
def test_a_failure_before_the_first_byte_is_tried_elsewhere(script, stream):
    async def work() -> None:
        settings = RelaySettings(max_event_bytes=4096)
        async with world(2, settings=settings) as where:
            where.nodes[0].scripts = where.nodes[1].scripts = [script]
            client = await where.chat(stream=stream)
            assert client.status == 200
            assert client.outcome.result is Result.OK
            text = (
                "".join(client.pieces)
                if stream
                else json.loads(client.body)["choices"][0]["message"]["content"]
            )
            assert text == "".join(CHAT)
            assert client.outcome.usage.completion == 12

    run(work)


def test_two_retries_are_the_most():
    async def work() -> None:
        async with world(5) as where:
            shared = [Script(status=500) for _ in range(5)]
            for node in where.nodes:
                node.scripts = shared
            with pytest.raises(Refused) as refused:
                await where.chat()
            assert refused.value.status == 502
            assert len(shared) == 2

    run(work)


def test_the_only_node_is_asked_again_after_pauses():
    async def work() -> None:
        timers = ManualTimers()
        async with world(1, timers=timers, settings=RelaySettings()) as where:
            where.nodes[0].scripts = [Script(status=500) for _ in range(3)]
            client = Client()
            task = asyncio.create_task(where.chat(client))
            for pause, tries in ((1, 1), (2, 2), (4, 3)):
                while len(where.nodes[0].requests) < tries or not timers.pending or where.router.in_flight:
                    await asyncio.sleep(0.001)
                await turns()
                timers.advance(pause - 0.1)
                await turns()
                assert len(where.nodes[0].requests) == tries
                timers.advance(0.2)
            await task
            assert client.pieces == CHAT

    run(work)


def test_a_router_as_a_node_is_asked_again_at_once():
    async def work() -> None:
        settings = RelaySettings(alone_s=(100.0,))
        change = lambda node: msgspec.structs.replace(node, router=True)  # noqa: E731 - shorter than a function
        async with world(1, settings=settings, change=change) as where:
            where.nodes[0].scripts = [Script(status=500)] * 2
            assert (await where.chat()).pieces == CHAT

    run(work)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_ends_the_request_at_the_node(stream):
    async def work() -> None:
        settings = RelaySettings(watch_after_s=0.0)
        async with world(1, settings=settings) as where:
            script = Script(pause_after=4) if stream else Script(stall_after=0)
            where.nodes[0].scripts = [script]
            client = Client()
            task = asyncio.create_task(where.chat(client, stream=stream))
            await where.nodes[0].reached.wait()
            while stream and len(client.pieces) < 4:
                await asyncio.sleep(0.001)
            client.gone.set()
            await task
            await asyncio.wait_for(where.nodes[0].cut_by_client.wait(), 5)
            outcome = client.outcome
            assert outcome.result is Result.CLIENT_GONE
            assert outcome.usage.completion == (4 if stream else 0)
            assert outcome.usage.estimated
            if not stream:
                # The node had the prompt, and nobody will hear what it counted for it.
                body = {"messages": [{"role": "user", "content": "hello"}], "stream": False}
                estimate = call_of(Endpoint.CHAT, body, ManualTimers()).prompt_tokens_estimate
                assert (outcome.usage.prompt, outcome.usage.engine_prompt) == (estimate, estimate)
                assert estimate > 0
            assert outcome.status == (200 if stream else 0)
            assert where.router.in_flight == 0
            assert where.router.nodes()[0].failures == 0

    run(work)


def test_the_end_of_the_gateway_is_told():
    async def work() -> None:
        async with world(1) as where:
            where.nodes[0].scripts = [Script(pause_after=2)]
            client = Client()
            task = asyncio.create_task(where.chat(client))
            while len(client.pieces) < 2:
                await asyncio.sleep(0.001)
            where.relay.stop_all()
            await task
            assert "is being stopped" in client.events[-1]["error"]["message"]
            assert client.outcome.result is Result.BROKEN

    run(work)


def test_a_node_that_is_taken_out_hands_its_streams_over():
    async def work() -> None:
        timers = ManualTimers()
        async with world(2, timers=timers) as where:
            for node in where.nodes:
                node.scripts = [Script(pause_after=3)]
            client = Client()
            task = asyncio.create_task(where.chat(client))
            while len(client.pieces) < 3:
                await asyncio.sleep(0.001)
            busy, idle = where.nodes if where.nodes[0].requests else where.nodes[::-1]
            idle.scripts.clear()
            rest = tuple(view.node for view in where.router.nodes() if view.node.name == idle.name)
            where.router.apply(Declared(nodes=rest))
            drained = asyncio.create_task(where.router.drained(busy.name, 5))
            await turns()
            view = where.router.node(busy.name)
            assert view is not None
            assert view.health is NodeHealth.DRAINING
            timers.advance(4)
            await turns()
            assert not drained.done()
            timers.advance(2)
            await task
            await drained
            assert client.pieces == CHAT
            assert client.outcome.nodes == [busy.name, idle.name]
            assert where.router.node(busy.name) is None

    run(work)


def test_a_stream_that_can_not_be_handed_over_says_that_its_node_was_drained():
    async def work() -> None:
        timers = ManualTimers()
        async with world(2, timers=timers) as where:
            for node in where.nodes:
                node.scripts = [Script(pause_after=3, tool_call=True)]
            client = Client()
            task = asyncio.create_task(where.chat(client))
            while len(client.pieces) < 3:
                await asyncio.sleep(0.001)
            busy, idle = where.nodes if where.nodes[0].requests else where.nodes[::-1]
            rest = tuple(view.node for view in where.router.nodes() if view.node.name == idle.name)
            where.router.apply(Declared(nodes=rest))
            drained = asyncio.create_task(where.router.drained(busy.name, 5))
            await turns()
            timers.advance(6)
            await task
            await drained
            message = client.events[-1]["error"]["message"]
            assert message.startswith("The node that was answering was drained, and ")
            assert client.outcome.result is Result.BROKEN

    run(work)


def test_cpu_of_a_relayed_event():
    """A loose bound on the filter alone; the benchmark measures the whole."""
    event = (
        b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1,"model":"m",'
        b'"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],'
        b'"usage":{"prompt_tokens":8,"total_tokens":20,"completion_tokens":12}}\n\n'
    )
    splitter = Splitter(1 << 20)
    taken = StreamFilter(Progress(), Identity(), NodeTally(), several=False)
    begin = time.process_time()
    for _ in range(5000):
        taken.take(splitter.feed(event))
    assert (time.process_time() - begin) / 5000 < 40e-6


def test_a_call_is_made_as_the_front_makes_it():
    call = call_of(Endpoint.CHAT, {"messages": [], "stream": True}, ManualTimers())
    assert call.stream
    assert call.choices == 1
