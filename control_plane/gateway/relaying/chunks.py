"""Answers of vLLM in the OpenAI form, as far as the gateway reads them."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from control_plane.gateway.relaying.lost import Lost

NOTHING = Raw(b"")


class CachedTokens(msgspec.Struct, gc=False):
    """Of a prompt, those that were in the node's cache."""

    cached_tokens: int | None = None


class NodeUsage(msgspec.Struct, gc=False):
    """What a node has counted."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: CachedTokens | None = None

    @property
    def cached(self) -> int:
        """Prompt tokens that were in its cache."""
        details = self.prompt_tokens_details
        return details.cached_tokens or 0 if details is not None else 0


class Delta(msgspec.Struct, gc=False):
    """What an event adds to a chat message."""

    role: str | None = None
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[Raw] | None = None
    function_call: Raw = NOTHING
    audio: Raw = NOTHING


class Choice(msgspec.Struct, gc=False):
    """One choice in an event."""

    index: int = 0
    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct, gc=False):
    """One event of a stream; `object`, `message` and `code` stand in errors of older nodes."""

    id: str = ""
    created: int = 0
    model: str = ""
    object: str = ""
    system_fingerprint: str | None = None
    choices: list[Choice] | None = None
    usage: NodeUsage | None = None
    error: Raw = NOTHING
    message: str = ""
    code: Raw = NOTHING


class _Answer(msgspec.Struct, gc=False):
    usage: NodeUsage | None = None


class _Code(msgspec.Struct, gc=False):
    code: int | str | None = None


decode_usage = msgspec.json.Decoder(NodeUsage).decode
_chunk = msgspec.json.Decoder(Chunk).decode
_answer = msgspec.json.Decoder(_Answer).decode
_code = msgspec.json.Decoder(_Code).decode
_number = msgspec.json.Decoder(int | str | None).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def payload(event: bytes) -> bytes:
    """The data of an event that has one line of it; empty: it has none (a comment)."""
    if event.startswith(b"data:"):
        line, _, more = event[5:].partition(b"\n")
        if more in (b"\n", b""):
            return line.strip()
    lines = event.split(b"\n")
    return b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))


def decode_chunk(data: bytes) -> Chunk:
    """An event's data.

    Raises:
        Lost: It is no such JSON.
    """
    try:
        return _chunk(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Lost("an event that makes no sense") from None


def decode_fields(data: bytes) -> dict[str, Raw]:
    """An event's data, member by member.

    Raises:
        Lost: It is no JSON object.
    """
    try:
        return _fields(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Lost("an event that makes no sense") from None


def usage_of_answer(body: bytes) -> NodeUsage | None:
    """The usage of a whole answer; None: it has none.

    Raises:
        Lost: It is no JSON object.
    """
    try:
        return _answer(body).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Lost("an answer that is no JSON") from None


def is_error(chunk: Chunk) -> bool:
    """Whether an event reports an error of the node."""
    return given(chunk.error) or chunk.object == "error"


def is_clients_fault(chunk: Chunk) -> bool:
    """Whether an event that is an error says that the request is to blame: a code of 4xx."""
    try:
        code = _code(chunk.error).code if given(chunk.error) else None
        if code is None and given(chunk.code):
            code = _number(chunk.code)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(code, int) and 400 <= code < 500


def given(value: Raw) -> bool:
    """Whether a member is there and not null."""
    return bytes(memoryview(value)[:4]) not in (b"", b"null")
