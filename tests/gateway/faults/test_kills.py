"""The gateway is killed (-9) at random moments under load: what was answered is in the ledger, once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import httpx

from tests.gateway import tokens
from tests.gateway.world import MODEL, World

REQUESTS = 10_000
CLIENTS = 16
#: A gateway lives so long between two kills, seconds, at random.
LIFE_S = (0.5, 4.0)


def messages(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"number {number}"}]


async def ask(client: httpx.AsyncClient, url: str, number: int) -> str:
    """Asks until it is answered wholly; the id of that request."""
    body = {"model": MODEL, "messages": messages(number), "max_tokens": 4, "stream": number % 4 == 0}
    while True:
        try:
            answer = await client.post(f"{url}/v1/chat/completions", json=body)
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code == 503:
            await asyncio.sleep(0.1)
            continue
        assert answer.status_code == 200, answer.text
        if body["stream"]:
            assert answer.text.endswith("data: [DONE]\n\n")
        else:
            assert answer.json()["choices"][0]["message"]["content"] == tokens.answer(messages(number), 4)
        return answer.headers["x-request-id"]


async def drive(world: World) -> set[str]:
    """All requests, while the gateway is killed again and again; ids of those that were answered."""
    answered: set[str] = set()
    numbers = iter(range(REQUESTS))

    async def client() -> None:
        async with httpx.AsyncClient(headers=world.headers, timeout=60.0) as made:
            for number in numbers:
                answered.add(await ask(made, world.gateway.url, number))

    async def killer() -> None:
        chance = random.Random(7)
        while True:
            await asyncio.sleep(chance.uniform(*LIFE_S))
            world.gateway.kill()
            await asyncio.to_thread(world.gateway.start, True)

    killing = asyncio.create_task(killer())
    try:
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    finally:
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
    return answered


def test_ten_thousand_requests_with_kills(tmp_path):
    with World(tmp_path) as world:
        world.node("a")
        world.node("b")
        world.start()
        answered = asyncio.run(drive(world))
        assert len(answered) == REQUESTS
        process = world.gateway.process
        if process is None or not process.alive:
            world.gateway.start()
        time.sleep(3.0)
        rows = world.gateway.settled_ledger(REQUESTS)
        times = Counter(row["requestId"] for row in rows)
        assert max(times.values()) == 1, "a request is in the ledger twice"
        assert answered <= times.keys(), f"{len(answered - times.keys())} answered requests are missing"
        kinds = {row["requestId"]: row["result"] for row in rows}
        assert {kinds[request] for request in answered} <= {"ok", "resumed"}
        counted = world.counted()
        written = {row["requestId"]: row["engineCompletion"] for row in rows}
        assert not [each for each in answered if counted[each, "completion"] != written[each]]
