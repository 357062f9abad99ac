"""An OpenAI-style server as vLLM runs one on a node, in front of the tiny model.

As vLLM: `/v1/*` wants the key where `VLLM_API_KEY` is set and none where it is not; `/health` never does;
`continue_final_message` with `add_generation_prompt: false` continues the last assistant message. Embeddings
are hashes of the text: equal for equal texts, and no more than that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import secrets
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from emulators.http import Answer, Request, Response, Stream, dump_json, json_response
from emulators.markov import built_in, tokenize

_DEFAULT_TOKENS = 128
_CONTEXT = 8192
_DIMENSIONS = 32


class _BadRequest(Exception):
    """The request is answered with an error."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be generated.

    Attributes:
        chat: Whether it was asked for as chat.
        prompt: Everything before the answer.
        so_far: The answer's beginning, where one is continued.
        prompt_tokens: How many tokens went in.
        limit: Most tokens to give.
        seed: Of the draw.
        temperature: See the model.
        stop: Texts that end the answer; they are not part of it.
        ignore_end: Go on after the model's own end.
        stream: Whether to send it in pieces.
        usage: Whether a stream ends with the usage.
        usage_everywhere: Whether every piece of a stream carries the usage so far.
    """

    chat: bool
    prompt: str
    so_far: list[str]
    prompt_tokens: int
    limit: int
    seed: int
    temperature: float
    stop: list[str]
    ignore_end: bool
    stream: bool
    usage: bool
    usage_everywhere: bool


@dataclass(slots=True)
class ModelServer:
    """One node's server.

    Attributes:
        name: Name of the model that it says it serves.
        api_key: The key that it wants; empty: none.
        now: Time for `created`, seconds since the epoch.
    """

    name: str
    api_key: str
    now: float

    def answer(self, request: Request, path: str) -> Answer:
        """Answers one request to the node."""
        if path == "/health":
            return Response(200, b"", "text/plain")
        if path.startswith("/v1") and self.api_key:
            given = request.bearer().encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, self.api_key.encode()):
                return json_response({"error": "Unauthorized"}, 401)
        try:
            match request.method, path:
                case "GET", "/v1/models":
                    return json_response({"object": "list", "data": [self._model()]})
                case "GET", "/version":
                    return json_response({"version": "emulated"})
                case "POST", "/v1/chat/completions":
                    return self._complete(_job(_body(request), self.name, chat=True))
                case "POST", "/v1/completions":
                    return self._complete(_job(_body(request), self.name, chat=False))
                case "POST", "/v1/embeddings":
                    return json_response(_embeddings(_body(request), self.name))
                case _, "/v1/models" | "/v1/chat/completions" | "/v1/completions" | "/v1/embeddings":
                    return json_response({"detail": "Method Not Allowed"}, 405)
                case _:
                    return json_response({"detail": "Not Found"}, 404)
        except _BadRequest as error:
            kind = "NotFoundError" if error.status == 404 else "BadRequestError"
            body = {"message": str(error), "type": kind, "param": error.param, "code": error.status}
            return json_response({"error": body}, error.status)

    def _model(self) -> dict[str, Any]:
        return {
            "id": self.name,
            "object": "model",
            "created": int(self.now),
            "owned_by": "emulator: word chains, no real model",
            "root": self.name,
            "parent": None,
            "max_model_len": _CONTEXT,
        }

    def _complete(self, job: _Job) -> Answer:
        head = {
            "id": ("chatcmpl-" if job.chat else "cmpl-") + secrets.token_hex(12),
            "object": "chat.completion" if job.chat else "text_completion",
            "created": int(self.now),
            "model": self.name,
        }
        if job.stream:
            return Stream(_events(job, head), headers={"cache-control": "no-cache"})
        pieces = list(_pieces(job))
        text = "".join(piece for piece, _, _ in pieces)
        _, count, reason = pieces[-1]
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None, "stop_reason": None}
        if job.chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        return json_response({**head, "choices": [choice], "usage": _usage(job, count)})


def _embeddings(body: dict[str, Any], model: str) -> dict[str, Any]:
    """An embedding for each input."""
    if body.get("model", model) != model:
        raise _BadRequest(f"The model `{body['model']}` does not exist.", status=404, param="model")
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise _BadRequest("input must be a text or a list of texts", param="input")
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise _BadRequest("encoding_format must be float or base64", param="encoding_format")
    tokens = sum(len(tokenize(text)) for text in texts)
    return {
        "id": "embd-" + secrets.token_hex(12),
        "object": "list",
        "model": model,
        "data": [
            {"object": "embedding", "index": index, "embedding": _embedding(text, encoding)}
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
    }


def _embedding(text: str, encoding: str) -> list[float] | str:
    """A vector of length 1; as base64 of 32-bit floats where that is wanted."""
    raw = [byte / 127.5 - 1.0 for byte in hashlib.shake_128(text.encode()).digest(_DIMENSIONS)]
    length = sum(one * one for one in raw) ** 0.5
    vector = [one / length for one in raw]
    if encoding == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{_DIMENSIONS}f", *vector)).decode()


def _body(request: Request) -> dict[str, Any]:
    try:
        body = request.json()
    except ValueError:
        raise _BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise _BadRequest("the body is not an object")
    return body


def _job(body: dict[str, Any], model: str, *, chat: bool) -> _Job:
    if body.get("model", model) != model:
        raise _BadRequest(f"The model `{body['model']}` does not exist.", status=404, param="model")
    so_far: list[str] = []
    if chat:
        prompt, so_far = _chat_prompt(body)
    else:
        given = body.get("prompt")
        if not isinstance(given, str):
            raise _BadRequest("prompt must be a string", param="prompt")
        prompt = given
    prompt_tokens = len(tokenize(prompt)) + len(so_far)
    if prompt_tokens >= _CONTEXT:
        raise _BadRequest(
            f"This model's maximum context length is {_CONTEXT} tokens."
            f" However, you requested {prompt_tokens} tokens."
        )
    limit = _number(body, "max_completion_tokens", _number(body, "max_tokens", _DEFAULT_TOKENS, 1), 1)
    stop = body.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(one, str) and one for one in stop):
        raise _BadRequest("stop must be a string or a list of strings", param="stop")
    if _number(body, "n", 1, 1) != 1:
        raise _BadRequest("this server gives one choice only", param="n")
    temperature = _number(body, "temperature", 1, 0)
    seed = body.get("seed")
    if seed is None:
        seed = 0 if temperature == 0 else secrets.randbelow(2**31)
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise _BadRequest("stream_options must be an object", param="stream_options")
    return _Job(
        chat=chat,
        prompt=prompt,
        so_far=so_far,
        prompt_tokens=prompt_tokens,
        limit=int(min(limit, _CONTEXT - prompt_tokens)),
        seed=int(seed),
        temperature=temperature,
        stop=stop,
        ignore_end=bool(body.get("ignore_eos")),
        stream=bool(body.get("stream")),
        usage=bool(options.get("include_usage")),
        usage_everywhere=bool(options.get("continuous_usage_stats")),
    )


def _chat_prompt(body: dict[str, Any]) -> tuple[str, list[str]]:
    """The prompt, and the beginning of the answer where the last message is to be continued."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _BadRequest("messages must be a list of at least one message", param="messages")
    continued = bool(body.get("continue_final_message", False))
    if continued and body.get("add_generation_prompt", True):
        raise _BadRequest("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    texts = [_message(message) for message in messages]
    if not continued:
        return "".join(texts), []
    if messages[-1]["role"] != "assistant":
        raise _BadRequest("continue_final_message needs a final assistant message", param="messages")
    return "".join(texts[:-1]), tokenize(_content(messages[-1]))


def _message(message: Any) -> str:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise _BadRequest("a message has a role and content", param="messages")
    return f"\n{message['role']}: {_content(message)}"


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [
            part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"
        ]
        return "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise _BadRequest("content must be a string or a list of parts", param="messages")
    return content


def _number(body: dict[str, Any], name: str, default: float, least: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least:
        raise _BadRequest(f"{name} must be a number of at least {least:g}", param=name)
    return value


def _pieces(job: _Job) -> Iterator[tuple[str, int, str]]:
    """Pieces of the answer with the count so far and the finish reason: `stop` until the limit is hit.

    Text that may be the beginning of a stop text is held back until that is decided.
    """
    held, count = "", 0
    tokens = built_in().generate(
        job.prompt, job.so_far, seed=job.seed, temperature=job.temperature, ignore_end=job.ignore_end
    )
    longest = max(map(len, job.stop), default=0)
    for token in itertools.islice(tokens, job.limit):
        count += 1
        held += token
        cut = min((at for one in job.stop if (at := held.find(one)) >= 0), default=-1)
        if cut >= 0:
            yield held[:cut], count, "stop"
            return
        keep = len(held) - max(0, longest - 1) if longest else len(held)
        if keep > 0:
            yield held[:keep], count, "length" if count == job.limit else "stop"
            held = held[keep:]
    yield held, count, "length" if count == job.limit else "stop"


def _usage(job: _Job, count: int) -> dict[str, int]:
    return {
        "prompt_tokens": job.prompt_tokens,
        "completion_tokens": count,
        "total_tokens": job.prompt_tokens + count,
    }


async def _events(job: _Job, head: dict[str, Any]) -> AsyncIterator[bytes]:
    """The answer as server-sent events."""
    head = {**head, "object": "chat.completion.chunk" if job.chat else "text_completion"}

    def event(choices: list[dict[str, Any]], usage: dict[str, int] | None) -> bytes:
        body: dict[str, Any] = {**head, "choices": choices}
        if usage is not None:
            body["usage"] = usage
        return b"data: " + dump_json(body) + b"\n\n"

    def choice(text: str | None, reason: str | None, role: str = "") -> list[dict[str, Any]]:
        one: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": reason}
        if job.chat:
            delta = {"role": role} if role else {}
            one["delta"] = delta if text is None else {**delta, "content": text}
        else:
            one["text"] = text or ""
        return [one]

    def so_far(count: int) -> dict[str, int] | None:
        return _usage(job, count) if job.usage_everywhere else None

    count, reason = 0, "stop"
    if job.chat:
        yield event(choice("", None, "assistant"), so_far(0))
    for piece, given, ended in _pieces(job):
        count, reason = given, ended
        if piece:
            yield event(choice(piece, None), so_far(count))
    yield event(choice(None, reason), so_far(count))
    if job.usage:
        yield event([], _usage(job, count))
    yield b"data: [DONE]\n\n"
