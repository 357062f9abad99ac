"""The request with which another node goes on where one was lost."""

from __future__ import annotations

from typing import Any

import msgspec

from control_plane.gateway.call import Call, Endpoint
from control_plane.gateway.parsing import forwarded_body
from control_plane.gateway.relaying.lost import NotFaithful
from control_plane.gateway.relaying.progress import Progress

COMPLETION_TOKENS = 16
"""Tokens of a completion that names no maximum: OpenAI's and vLLM's default of `max_tokens` there."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def token_limit(call: Call) -> int | None:
    """Most tokens that the client may get; None: as many as the model likes."""
    if call.max_tokens is None and call.endpoint is Endpoint.COMPLETIONS:
        return COMPLETION_TOKENS
    return call.max_tokens


def continued_body(call: Call, progress: Progress, tokens: int) -> bytes:
    """What the next node is asked.

    While the client has no text yet, that is the whole request once more, whatever it asks for. After that
    the text so far becomes the beginning of the answer: a last message of the assistant that is to be
    continued (vLLM's `continue_final_message`), or the end of the prompt.

    Args:
        call: The request.
        progress: What the client has got, folded.
        tokens: How many tokens that is.

    Raises:
        NotFaithful: Another node could not go on from there.
    """
    if progress.obstacle:
        raise NotFaithful(progress.obstacle)
    text = progress.text
    if not text:
        if progress.finished:
            raise NotFaithful("several choices")
        return forwarded_body(call)
    if call.not_continuable:
        raise NotFaithful(call.not_continuable)
    body = _decode(forwarded_body(call))
    if call.endpoint is Endpoint.CHAT:
        body["messages"] = _with_answer(body, text)
        body["continue_final_message"] = True
        body["add_generation_prompt"] = False
    else:
        body["prompt"] = _with_text(body.get("prompt"), text)
    for name in ("max_tokens", "max_completion_tokens"):
        if isinstance(body.get(name), int):
            body[name] = max(1, body[name] - tokens)
    if call.endpoint is Endpoint.COMPLETIONS and body.get("max_tokens") is None:
        body["max_tokens"] = max(1, COMPLETION_TOKENS - tokens)
    if isinstance(body.get("min_tokens"), int):
        body["min_tokens"] = max(0, body["min_tokens"] - tokens)
    return _encode(body)


def _with_answer(body: dict[str, Any], text: str) -> list[Any]:
    messages = list(body["messages"])
    last = messages[-1] if messages else None
    if body.get("continue_final_message") and isinstance(last, dict) and last.get("role") == "assistant":
        return [*messages[:-1], {**last, "content": _joined(last.get("content"), text)}]
    return [*messages, {"role": "assistant", "content": text}]


def _joined(content: Any, text: str) -> Any:
    """The client's own beginning of the answer, and what came after it."""
    if content is None or isinstance(content, str):
        return (content or "") + text
    if isinstance(content, list) and content and isinstance(content[-1], dict):
        part = content[-1]
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            return [*content[:-1], {**part, "text": part["text"] + text}]
    raise NotFaithful("a beginning of the answer that is no text")


def _with_text(prompt: Any, text: str) -> Any:
    if isinstance(prompt, str):
        return prompt + text
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        return [prompt[0] + text]
    # Their text is not known here, and the tokens of the answer are not either.
    raise NotFaithful("a prompt of tokens")
