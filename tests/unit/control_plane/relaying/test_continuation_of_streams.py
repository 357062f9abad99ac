"""A stream whose nodes die comes out as if one node had answered it."""

import asyncio
import itertools
from typing import Any

import pytest

from control_plane.gateway.call import Endpoint, Result
from control_plane.gateway.relaying.settings import RelaySettings
from control_plane.gateway.routing.settings import RoutingSettings
from tests.unit.control_plane.manual_timers import ManualTimers, turns
from tests.unit.control_plane.relaying.stand_in import Script, answer_to
from tests.unit.control_plane.relaying.world import Client, World, call_of, run, world

WHOLE = 12
CHAT = answer_to("hello |", WHOLE)
COMPLETION = answer_to("once |", WHOLE)


async def ask(where: World, chat: bool, **body) -> Client:
    return await (where.chat(**body) if chat else where.completion(max_tokens=WHOLE, **body))


def broken(how: str, at: int) -> Script:
    script = Script()
    setattr(script, how, at)
    return script


def scripts(where: World, made: list[Script]) -> None:
    """The next requests go wrong like this, whichever node gets them."""
    shared = list(made)
    for node in where.nodes:
        node.scripts = shared


def check_whole(client: Client, where: World, chat: bool, *, usage: bool, exact: bool = True) -> None:
    expected = CHAT if chat else COMPLETION
    assert client.complete
    assert client.pieces == expected
    events = client.events
    assert len({(event["id"], event["created"], event["model"], event["object"]) for event in events}) == 1
    roles = [c for e in events for c in e["choices"] if c.get("delta", {}).get("role")]
    assert len(roles) == (1 if chat else 0)
    assert sum(bool(c.get("finish_reason")) for e in events for c in e["choices"]) == 1
    outcome = client.outcome
    counted = outcome.usage
    assert counted.prompt == 2
    assert counted.completion == WHOLE
    if exact:
        assert (counted.engine_prompt, counted.engine_completion) == where.counted()
    shown = [event for event in events if event.get("usage")]
    assert len(shown) == (1 if usage else 0)
    if usage:
        assert shown[0]["usage"]["prompt_tokens"] == 2
        assert shown[0]["usage"]["completion_tokens"] == WHOLE
        assert shown[0]["usage"]["total_tokens"] == WHOLE + 2
        assert events[-1] is shown[0]
    assert client.done_before < len(client.messages)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("how", ["die_after", "garbage_after", "error_after", "abort_after", "half"])
def test_one_death_at_any_point(chat, usage, how):
    async def work() -> None:
        for at in (0, 1, 2, 7, WHOLE - 1, WHOLE):
            async with world() as where:
                script = Script(die_after=at, half_event=True) if how == "half" else broken(how, at)
                scripts(where, [script])
                options = {"stream_options": {"include_usage": True}} if usage else {}
                client = await ask(where, chat, **options)
                check_whole(client, where, chat, usage=usage)
                # Nothing had reached the client where a completion's first token was lost.
                expected = Result.OK if client.outcome.hops == 0 else Result.RESUMED
                assert client.outcome.result is expected

    run(work)


@pytest.mark.parametrize("chat", [True, False])
def test_several_deaths(chat):
    async def work() -> None:
        for first, second, third in itertools.product((1, 3), (0, 2), (0, 4)):
            async with world(4) as where:
                scripts(where, [Script(die_after=number) for number in (first, second, third)])
                client = await ask(where, chat, stream_options={"include_usage": True})
                check_whole(client, where, chat, usage=True)
                assert client.outcome.hops == 3
                assert len(set(client.outcome.nodes)) == 4

    run(work)


def test_four_deaths_are_too_many():
    async def work() -> None:
        async with world(5) as where:
            scripts(where, [Script(die_after=1) for _ in range(4)])
            client = await where.chat()
            assert not client.complete
            assert client.events[-1]["error"]["code"] == "stream_broken"
            assert client.outcome.result is Result.BROKEN
            assert client.pieces == CHAT[:4]
            assert (
                client.outcome.usage.engine_prompt,
                client.outcome.usage.engine_completion,
            ) == where.counted()

    run(work)


def test_the_same_node_goes_on_where_there_is_no_other():
    async def work() -> None:
        async with world(1) as where:
            scripts(where, [Script(die_after=3)])
            check_whole(await where.chat(), where, True, usage=False)

    run(work)


def test_a_death_after_the_finish_reason_needs_no_other_node():
    async def work() -> None:
        async with world() as where:
            scripts(where, [Script(skip_done=True)])
            client = await where.chat(stream_options={"include_usage": True})
            check_whole(client, where, True, usage=True)
            assert client.outcome.result is Result.OK
            assert sum(len(node.requests) for node in where.nodes) == 1

    run(work)


@pytest.mark.parametrize("chat", [True, False])
def test_a_death_at_the_last_token_ends_by_length(chat):
    async def work() -> None:
        async with world() as where:
            scripts(where, [Script(die_after=5)])
            client = await (where.chat(max_tokens=5) if chat else where.completion(max_tokens=5))
            assert client.complete
            assert client.pieces == (CHAT if chat else COMPLETION)[:5]
            assert client.events[-1]["choices"][0]["finish_reason"] == "length"
            assert client.outcome.usage.completion == 5
            assert sum(len(node.requests) for node in where.nodes) == 1

    run(work)


def test_max_tokens_is_kept_over_a_death():
    async def work() -> None:
        for name in ("max_tokens", "max_completion_tokens"):
            async with world() as where:
                scripts(where, [Script(die_after=3)])
                limits: dict[str, Any] = {name: 7, "min_tokens": 5}
                client = await where.chat(**limits)
                assert client.pieces == CHAT[:7]
                assert client.events[-1]["choices"][0]["finish_reason"] == "length"
                asked = [request for node in where.nodes for request in node.requests]
                assert sorted(request[name] for request in asked) == [4, 7]
                assert sorted(request["min_tokens"] for request in asked) == [2, 5]

    run(work)


def test_a_completion_without_a_maximum_has_sixteen_tokens_in_all():
    async def work() -> None:
        async with world() as where:
            for node in where.nodes:
                node.answer_tokens = 40
            scripts(where, [Script(die_after=3)])
            client = await where.completion()
            assert client.pieces == answer_to("once |", 16)

    run(work)


@pytest.mark.parametrize("parts", [True, False])
def test_a_beginning_of_the_client_is_gone_on_with(parts):
    async def work() -> None:
        async with world() as where:
            scripts(where, [Script(die_after=4)])
            begun = [{"type": "text", "text": " so"}] if parts else " so"
            client = await where.chat(
                messages=[
                    {"role": "user", "content": "hello"},
                    {"role": "assistant", "content": begun},
                ],
                continue_final_message=True,
                add_generation_prompt=False,
            )
            assert client.complete
            assert client.pieces == answer_to("hello | so", WHOLE - 1)

    run(work)


@pytest.mark.parametrize(
    ("script", "body", "word"),
    [
        (Script(die_after=2, reasoning=True), {}, "reasoning"),
        (Script(die_after=2, tool_call=True), {}, "tool call"),
        (Script(die_after=2), {"logprobs": True}, "logprobs"),
        (Script(die_after=2), {"response_format": {"type": "json_object"}}, "structured output"),
    ],
)
def test_what_cannot_go_on_faithfully_ends_with_an_error(script, body, word):
    async def work() -> None:
        async with world() as where:
            scripts(where, [script])
            client = await where.chat(**body)
            assert not client.complete
            error = client.events[-1]["error"]
            assert word in error["message"]
            assert error["type"] == "server_error"
            assert client.pieces == CHAT[:2]
            assert client.outcome.result is Result.BROKEN
            assert client.outcome.usage.completion == 2

    run(work)


def test_before_the_first_text_everything_can_begin_anew():
    async def work() -> None:
        async with world() as where:
            scripts(where, [Script(die_after=0)])
            client = await where.chat(logprobs=True, response_format={"type": "json_object"})
            check_whole(client, where, True, usage=False)

    run(work)


def test_a_prompt_of_tokens_cannot_go_on():
    async def work() -> None:
        async with world() as where:
            scripts(where, [Script(die_after=2)])
            client = await where.completion(prompt=[1, 2, 3])
            assert "a prompt of tokens" in client.events[-1]["error"]["message"]

    run(work)


def test_a_silent_node_is_left():
    async def work() -> None:
        timers = ManualTimers()
        async with world(timers=timers, settings=RelaySettings(stall_s=60)) as where:
            script = Script(stall_after=3)
            scripts(where, [script])
            client = Client()
            task = asyncio.create_task(where.chat(client))
            while not any(node.reached.is_set() for node in where.nodes) or len(client.pieces) < 3:
                await asyncio.sleep(0.001)
            timers.advance(59)
            await turns()
            assert not task.done()
            timers.advance(3)
            await task
            check_whole(client, where, True, usage=False)
            assert client.outcome.result is Result.RESUMED

    run(work)


def test_who_waits_for_another_node_is_not_hurried_by_the_lost_one():
    async def work() -> None:
        timers = ManualTimers()
        routing = RoutingSettings(places=1)
        async with world(timers=timers, settings=RelaySettings(stall_s=10), routing=routing) as where:
            scripts(where, [Script(die_after=3), Script()])
            call = call_of(Endpoint.COMPLETIONS, {"prompt": "x"}, timers)
            full, other = [await where.router.acquire(call) for _ in range(2)]
            full.succeeded()
            client = Client()
            task = asyncio.create_task(where.chat(client))
            while not where.router.waiting:
                await asyncio.sleep(0.001)
            timers.advance(25)
            await turns()
            assert not task.done()
            other.succeeded()
            await task
            check_whole(client, where, True, usage=False)
            assert client.outcome.result is Result.RESUMED

    run(work)


def test_without_counts_from_the_node_the_events_are_counted():
    async def work() -> None:
        async with world() as where:
            scripts(where, [Script(usage=False, die_after=4)])
            client = await where.chat()
            assert client.pieces == CHAT
            assert client.outcome.usage.estimated

    run(work)
