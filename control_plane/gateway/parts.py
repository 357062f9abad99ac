"""What the parts of the gateway ask of one another; `service.py` puts them together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from control_plane.gateway.call import Call, Outcome, Receive, Send
from control_plane.gateway.declared import ApiKey, Node

Headers = list[tuple[bytes, bytes]]


class Refused(Exception):
    """A request that is answered with an error in OpenAI's form.

    Attributes:
        status: HTTP status.
        message: For the user: what is wrong and what to do; no secret, nothing of the request's content.
        code: Machine-readable, such as `rate_limit_exceeded`.
        kind: OpenAI's `type`, such as `invalid_request_error`.
        param: The field that it is about; empty for none.
        headers: Further headers, such as `retry-after`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        kind: str = "invalid_request_error",
        param: str = "",
        headers: Headers | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.kind = kind
        self.param = param
        self.headers = headers or []


@dataclass(slots=True)
class Reservation:
    """What was taken for a request from all layers of limits.

    Attributes:
        tokens: Tokens that were reserved.
        usd: Money that was reserved, USD.
        headers: `x-ratelimit-*` for the answer.
        taken: The limiter's own note of where it took them.
    """

    tokens: int
    usd: float
    headers: Headers = field(default_factory=list)
    taken: object = None


class Limiter(Protocol):
    """Requests per minute, tokens per minute, requests in flight and money, in four layers."""

    async def take(self, call: Call, key: ApiKey, tokens: int, usd: float) -> Reservation:
        """Takes from instance, tenant, key and model, or from none of them.

        Args:
            call: The request.
            key: Its key.
            tokens: Tokens to reserve: the prompt's and the most that the answer may have.
            usd: What those cost at most, USD.

        Raises:
            Refused: 429 with `retry-after`; with the code `insufficient_quota` for a used-up budget.
        """

    def settle(self, reservation: Reservation, tokens: int, usd: float) -> None:
        """Gives back what was not used, and the place in flight. Called once for each reservation."""


class Lease(Protocol):
    """A place at a node for one try of one request.

    Attributes:
        on_move: Called when the node is taken out and its time is up: the request is to go on elsewhere.
    """

    on_move: Callable[[], None] | None

    @property
    def node(self) -> Node:
        """The node."""

    def answered(self) -> None:
        """The node has begun to answer as it should: closes its breaker. The place stays taken."""

    def succeeded(self) -> None:
        """The node has answered as it should, a 4xx included: closes its breaker. Frees the place."""

    def failed(self, why: str) -> None:
        """The node has failed: refused the connection, cut it, stalled or answered 5xx. Frees the place."""

    def released(self) -> None:
        """Neither: the client went away. Frees the place. Harmless after one of the others."""


class Router(Protocol):
    """Which node gets a request."""

    async def acquire(self, call: Call, exclude: Collection[str] = ()) -> Lease:
        """Waits for a place at a node that serves the call's model.

        Args:
            call: The request; its `deadline` bounds the wait.
            exclude: Nodes that failed it already; used again only where there is no other.

        Raises:
            Refused: 404 for a model that nobody serves; 503 with `retry-after` where the queue is full, the
                deadline has passed or no node is alive.
        """

    def may_retry(self) -> bool:
        """Whether 10 % of the requests of the last 10 s leave room for another retry; counts it if so."""

    def has_other(self, call: Call, exclude: Collection[str]) -> bool:
        """Whether a node other than those in `exclude` may get the request, now or once it has a place."""


class Relay(Protocol):
    """Takes one call to the nodes and its answer to the client, whatever happens to the nodes meanwhile."""

    async def relay(
        self,
        call: Call,
        headers: Headers,
        receive: Receive,
        send: Send,
        done: Callable[[Outcome], None],
    ) -> None:
        """Answers the call.

        Args:
            call: The request.
            headers: To be added to the answer (request id, limits).
            receive: The client's side, for its disconnect; the body was read before.
            send: The client's side.
            done: Called exactly once, with the outcome, before the client gets the last bytes of its answer,
                so that what was answered is always in the ledger.

        Raises:
            Refused: Nothing was sent; the caller answers. `done` was not called.
        """


class Ledger(Protocol):
    """Where requests are written down."""

    def begin(self, call: Call, tokens: int, usd: float) -> None:
        """Notes that a request was let in, before a node sees it, with what was reserved for it."""

    def end(self, call: Call, outcome: Outcome, usd: float) -> None:
        """Notes what came of it. Survives a kill of this process from here on."""
