"""What requests with and without a stream have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from control_plane.gateway.call import Call, Outcome, Result, Send
from control_plane.gateway.parts import Headers, Lease, Router
from control_plane.gateway.relaying.connection import Answer
from control_plane.gateway.relaying.guard import Guard
from control_plane.gateway.relaying.lost import Answered4xx, Lost
from control_plane.gateway.relaying.settings import RelaySettings
from control_plane.gateway.relaying.tally import Tally
from control_plane.gateway.relaying.tries import Tries
from control_plane.gateway.relaying.upstream import Upstream
from control_plane.gateway.timers import Timers

Value = TypeVar("Value")
DRAINED = "it was taken out"
"""Why a node is left that did nothing wrong."""


@dataclass(frozen=True, slots=True)
class Means:
    """What every request uses.

    Attributes:
        router: Gives places at nodes.
        upstream: Connections to them.
        settings: Of the relaying.
        timers: The time.
    """

    router: Router
    upstream: Upstream
    settings: RelaySettings
    timers: Timers


class Run:
    """One request on its way.

    Args:
        means: What every request uses.
        call: The request.
        headers: To be added to the answer.
        send: The client's side.
        done: Told the outcome, once.
        guard: What may interrupt it.
    """

    def __init__(
        self,
        means: Means,
        call: Call,
        headers: Headers,
        send: Send,
        done: Callable[[Outcome], None],
        guard: Guard,
    ) -> None:
        self.means = means
        self.call = call
        self.headers = headers
        self.send = send
        self._done = done
        self.guard = guard
        self.tries = Tries(call, means.router, means.settings, means.timers)
        self.tally = Tally(call.prompt_tokens_estimate)
        self.outcome = Outcome()
        self.lease: Lease | None = None
        self.response: Answer | None = None
        self.over = False
        self.asked = False
        """Whether a node has the request now."""

    async def wait(self, awaitable: Awaitable[Value]) -> Value:
        """Waits for a node, or for a place at one; here the request may be interrupted."""
        self.guard.begin_wait()
        try:
            return await awaitable
        except asyncio.CancelledError:
            reason = self.guard.interrupted()
            if reason is None:
                raise
            raise reason from None
        finally:
            self.guard.end_wait()

    async def place(self) -> Lease:
        """A place at a node for the next try.

        Raises:
            Refused: There is none.
        """
        lease = self.lease = await self.wait(self.tries.place())
        lease.on_move = self._taken_out
        return lease

    def _taken_out(self) -> None:
        self.guard.interrupt(Lost(DRAINED, blamed=False))

    async def ask(self, lease: Lease, body: bytes) -> Answer:
        """Sends the request to a node; its answer has a head by then. To be waited for by `wait`."""
        self.guard.set_limit(self.means.settings.first_byte_s, "no answer in time")
        call = self.call
        self.asked = True
        self.response = await self.means.upstream.post(
            lease.node, call.endpoint, body, call.request_id, call.traceparent
        )
        self.outcome.nodes.append(lease.node.name)
        return self.response

    def drop(self, lost: Lost) -> None:
        """Leaves the node that was lost."""
        self.asked = False
        self.guard.leave_node()
        if self.response is not None:
            self.response.close()
            self.response = None
        if self.lease is not None:
            if lost.blamed:
                self.lease.failed(lost.why)
            else:
                self.lease.released()
            self.lease = None
        self.outcome.error = lost.why

    def finish(self, result: Result, status: int, error: str = "") -> None:
        """Tells the outcome, before the client gets the last bytes. Frees the place.

        Args:
            result: How it ended.
            status: That the client got.
            error: What went wrong.
        """
        self.over = True
        self.guard.close()
        outcome = self.outcome
        outcome.result = result
        outcome.status = status
        outcome.usage = self.tally.total()
        if result is Result.CLIENT_GONE:
            outcome.usage = self.tally.left() if self.asked else replace(outcome.usage, estimated=True)
        outcome.hops = self.tries.hops
        outcome.finished = self.means.timers.now()
        outcome.error = error
        if self.lease is not None:
            if result in (Result.OK, Result.RESUMED, Result.REFUSED_BY_NODE):
                self.lease.succeeded()
            else:
                self.lease.released()
            self.lease = None
        self._done(outcome)

    def clean_up(self) -> None:
        """Leaves nothing behind: no place, no connection, no timer."""
        self.guard.close()
        if self.response is not None:
            # One that was read to its end has gone back to the others already.
            self.response.close()
        if self.lease is not None:
            self.lease.released()

    async def pass_refusal(self, refused: Answered4xx) -> None:
        """Gives the client a node's own 4xx."""
        self.outcome.first_byte = self.means.timers.now()
        self.finish(Result.REFUSED_BY_NODE, refused.status, f"the node answered {refused.status}")
        await self.send_whole(refused.status, refused.content_type, refused.body)

    async def send_whole(self, status: int, kind: bytes, body: bytes) -> None:
        """Sends an answer that is no stream."""
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *self.headers]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
