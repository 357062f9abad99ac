"""Asks the gateway through LiteLLM's Python client, in its own environment; prints one line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import litellm  # type: ignore[import-not-found]  # only in the environment that this program runs in

GIVEN = json.load(sys.stdin)
COMMON = {
    "model": f"openai/{GIVEN['model']}",
    "api_base": GIVEN["url"],
    "api_key": GIVEN["key"],
    "max_retries": 0,
}


def chat(**more: Any) -> Any:
    """One chat."""
    return litellm.completion(**{**COMMON, "messages": GIVEN["messages"], **more})


async def together() -> list[str]:
    """Ten at once."""

    async def one(number: int) -> str:
        messages = [{"role": "user", "content": f"number {number}"}]
        answer = await litellm.acompletion(**COMMON, messages=messages, max_tokens=5)
        return str(answer.choices[0].message.content)

    return await asyncio.gather(*(one(number) for number in range(10)))


def status(**more: Any) -> int:
    """The status that a request is refused with."""
    try:
        chat(**more)
    except litellm.exceptions.APIError as error:
        return int(error.status_code)
    except (litellm.exceptions.AuthenticationError, litellm.exceptions.NotFoundError) as error:
        return int(error.status_code)
    return 200


def main() -> None:
    """All of it."""
    found: dict[str, Any] = {"plain": chat(max_tokens=7).choices[0].message.content, "streamed": ""}
    for chunk in chat(max_tokens=25, stream=True, stream_options={"include_usage": True}):
        found["streamed"] += chunk.choices[0].delta.content or "" if chunk.choices else ""
        usage = getattr(chunk, "usage", None)
        if usage:
            found["usage"] = usage.completion_tokens
    embedded = litellm.embedding(**COMMON, input=["text"], encoding_format="float")
    found["embedding"] = len(embedded.data[0]["embedding"])
    found["together"] = asyncio.run(together())
    extra = {"standin": {"tokens": 1000, "pace_ms": 20}}
    stream = chat(max_tokens=1000, stream=True, extra_body=extra)
    for _ in range(4):
        next(stream)
    del stream
    found["afterCancel"] = chat(max_tokens=3).choices[0].message.content
    found["refused"] = [status(api_key="sk-none"), status(model="openai/nobody")]
    print(json.dumps(found))


main()
