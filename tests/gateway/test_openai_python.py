"""The `openai` package of Python: plain, stream, async, cancelled, errors."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import openai
import pytest

from tests.gateway import tokens
from tests.gateway.process import until
from tests.gateway.world import MODEL, World

MESSAGES: list[Any] = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "Größe?"}]


@pytest.fixture
def client(shared):
    with openai.OpenAI(base_url=f"{shared.gateway.url}/v1", api_key=shared.key.secret, max_retries=0) as made:
        yield made


def test_chat(client):
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=12)
    assert answer.choices[0].message.content == tokens.answer(MESSAGES, 12)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 12


def test_a_stream_has_each_token_once_and_no_usage_that_was_not_asked_for(client):
    chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=30, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == tokens.answer(MESSAGES, 30)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_has_the_usage_that_was_asked_for(client):
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_tokens=9, stream=True, stream_options=options
        )
    )
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 9
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_completions(client):
    answer = client.completions.create(model=MODEL, prompt="Once", max_tokens=8)
    assert answer.choices[0].text == tokens.completion("Once", 8)
    chunks = list(client.completions.create(model=MODEL, prompt="Once", max_tokens=8, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == tokens.completion("Once", 8)


def test_embeddings_and_models(client):
    assert len(client.embeddings.create(model=MODEL, input="text").data[0].embedding) == 64
    assert [model.id for model in client.models.list()] == [MODEL]


def test_several_choices(client):
    chunks = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=6, n=2, stream=True)
    texts = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {index: tokens.answer(MESSAGES, 6, index) for index in (0, 1)}


def test_many_at_once(shared):
    async def ask(client: openai.AsyncOpenAI, number: int) -> None:
        messages: list[Any] = [{"role": "user", "content": f"number {number}"}]
        if number % 2:
            answer = await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=10)
            text = answer.choices[0].message.content or ""
        else:
            stream = await client.chat.completions.create(
                model=MODEL, messages=messages, max_tokens=10, stream=True
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == tokens.answer(messages, 10)

    async def all_of_them() -> None:
        url = f"{shared.gateway.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=shared.key.secret, max_retries=0) as client:
            await asyncio.gather(*(ask(client, number) for number in range(60)))

    asyncio.run(all_of_them())


def test_who_leaves_a_stream_stops_the_node(shared, client):
    before = cancelled(shared)
    stream = client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        max_tokens=2000,
        stream=True,
        extra_body={"standin": {"tokens": 2000, "pace_ms": 20}},
    )
    for _ in zip(range(5), stream, strict=False):
        pass
    begun = time.monotonic()
    stream.close()
    until(lambda: cancelled(shared) > before, "the node's request ends", 15.0)
    assert time.monotonic() - begun < 15.0 < 2000 * 0.02


def cancelled(world: World) -> int:
    """Requests that nodes saw cancelled so far."""
    return sum(int(node.report()["cancelled"]) for node in world.nodes)


def test_errors_are_those_that_the_package_knows(shared, client):
    with pytest.raises(openai.NotFoundError, match="nobody"):
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=-1)
    stranger = client.with_options(api_key="sk-of-nobody")
    with pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model=MODEL, messages=MESSAGES)
