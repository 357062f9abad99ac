"""One request as the gateway's parts hand it on: what was asked, what was taken for it, what came of it."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any, cast

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Over:
    def __await__(self) -> Iterator[None]:
        return iter(())


SENT: Awaitable[None] = cast("Awaitable[None]", _Over())
"""What a `Send` may return where nothing has to be waited for: awaiting it takes no time."""


class Endpoint(enum.Enum):
    """What the data plane serves; the value is the path."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"


class Result(enum.Enum):
    """How a request ended, as the ledger and the metrics name it."""

    OK = "ok"
    RESUMED = "resumed"
    """A stream that was continued on another node, and complete."""
    CLIENT_GONE = "client_gone"
    BROKEN = "broken"
    """A stream that ended with an error event."""
    REFUSED_BY_NODE = "refused_by_node"
    """A node's 4xx, passed on."""
    UNSERVED = "unserved"
    """No node answered; the client got a 5xx."""
    CUT_OFF = "cut_off"
    """The gateway was killed meanwhile; found in its journal."""


@dataclass(slots=True)
class Call:
    """A request that was let in.

    Attributes:
        request_id: Ours, unique; also the ledger's key.
        endpoint: Which of them.
        body: The client's bytes.
        asked_model: The model's name as the client wrote it.
        model: The model that is to answer, after aliases.
        stream: Whether the client wants a stream.
        wants_usage: Whether the client itself asked for `stream_options.include_usage`.
        max_tokens: Most tokens of an answer that the client asked for; None for no limit of its own.
        choices: `n`, at least 1.
        prompt_tokens_estimate: Tokens of the prompt, estimated from its bytes.
        not_continuable: Why the stream could not go on faithfully on another node; empty: it can.
        prefix: Hash of the beginning of the prompt: equal ones go to the same node where they can.
        tenant: Whose it is.
        key_id: Through which key.
        received: When it came, monotonic seconds.
        deadline: Until when it may wait for a node, monotonic seconds.
        traceparent: The client's W3C trace context, passed on to the nodes; empty for none.
    """

    request_id: str
    endpoint: Endpoint
    body: bytes = field(repr=False)
    asked_model: str
    model: str
    stream: bool
    wants_usage: bool
    max_tokens: int | None
    choices: int
    prompt_tokens_estimate: int
    not_continuable: str
    prefix: int
    tenant: str
    key_id: str
    received: float
    deadline: float
    traceparent: bytes = b""


@dataclass(slots=True)
class Usage:
    """Tokens of one request.

    Attributes:
        engine_prompt: Prompt tokens that the nodes counted, all nodes of a continued stream together.
        engine_completion: Completion tokens that the nodes counted, all nodes together.
        prompt: Prompt tokens that are billed: those of the first node alone.
        completion: Completion tokens that are billed: what the client got.
        cached_prompt: Of `prompt`, those that the node had in its prefix cache.
        estimated: Whether a node never said what it counted, so that these are counted from events.
    """

    engine_prompt: int = 0
    engine_completion: int = 0
    prompt: int = 0
    completion: int = 0
    cached_prompt: int = 0
    estimated: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of a request.

    Attributes:
        result: How it ended.
        status: HTTP status that the client got; 0 where it was gone before one.
        usage: Its tokens.
        nodes: Names of the nodes that served it, in order.
        hops: How often a stream was continued elsewhere.
        first_byte: When the client got its first piece of the answer, monotonic seconds; 0 for never.
        finished: When it was over, monotonic seconds.
        chunks: Events that were relayed.
        error: What went wrong, for the log; no content, no secret.
    """

    result: Result = Result.OK
    status: int = 0
    usage: Usage = field(default_factory=Usage)
    nodes: list[str] = field(default_factory=list)
    hops: int = 0
    first_byte: float = 0.0
    finished: float = 0.0
    chunks: int = 0
    error: str = ""
