"""A request whose answer is a stream: relayed event by event, and continued where a node is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from control_plane.gateway.call import SENT, Call, Endpoint, Outcome, Result, Send
from control_plane.gateway.errors import error_body
from control_plane.gateway.parsing import forwarded_body
from control_plane.gateway.parts import Headers, Lease, Refused
from control_plane.gateway.relaying.answers import check
from control_plane.gateway.relaying.connection import Answer
from control_plane.gateway.relaying.continuation import continued_body, token_limit
from control_plane.gateway.relaying.guard import Guard
from control_plane.gateway.relaying.identity import Identity
from control_plane.gateway.relaying.lost import Answered4xx, Lost, NotFaithful, Stopped
from control_plane.gateway.relaying.progress import Progress
from control_plane.gateway.relaying.run import DRAINED, Means, Run
from control_plane.gateway.relaying.splitter import Splitter
from control_plane.gateway.relaying.stream_filter import LostAfter, StreamFilter

DONE = b"data: [DONE]\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx and its kin would keep events back.
    (b"x-accel-buffering", b"no"),
]
_TO_END_S = 1.0
"""How long the end of a stream's HTTP body is waited for after its last event, to keep the connection."""


class StreamRun(Run):
    """One such request."""

    def __init__(
        self,
        means: Means,
        call: Call,
        headers: Headers,
        send: Send,
        done: Callable[[Outcome], None],
        guard: Guard,
    ) -> None:
        super().__init__(means, call, headers, send, done, guard)
        self.started = False
        self._progress = Progress()
        self._identity = Identity()
        self._goes_on = False
        self._filter = self._new_filter()
        self._splitter = Splitter(means.settings.max_event_bytes)

    async def run(self) -> None:
        """Answers it.

        Raises:
            Refused: No node did, and nothing was sent.
        """
        body = forwarded_body(self.call)
        while True:
            try:
                lease = await self.place()
                try:
                    await self._relay(lease, body)
                    return
                except Lost as lost:
                    self._note_half_event()
                    self.drop(lost)
                    if not self.started:
                        self.tally.next_node(got_nothing=True)
                        await self.wait(self.tries.prepare_retry(lease, lost))
                        self._begin_node()
                        continue
                    after = await self._go_on(lease)
                if after is None:
                    return
                body = after
            except Answered4xx as refused:
                if not self.started:
                    await self.pass_refusal(refused)
                    return
                await self._break_off(f"another node refused to go on ({refused.status})")
                return
            except Refused as refused:
                if not self.started:
                    raise
                await self._break_off(refused.message.rstrip("."))
                return
            except NotFaithful as reason:
                await self._break_off(f"it could not be continued faithfully: {reason}")
                return
            except Stopped:
                if not self.started:
                    raise
                await self._break_off("the gateway is being stopped")
                return

    async def _relay(self, lease: Lease, body: bytes) -> None:
        """Relays what one node sends, to the end of the stream.

        Raises:
            Lost: The node was lost before.
        """
        response = await self.wait(self._asked(lease, body))
        guard = self.guard
        splitter, taken = self._splitter, self._filter
        now, stall_s = self.means.timers.now, self.means.settings.stall_s
        begun = False
        out = b""
        sending: Awaitable[None] | None = None

        def consume(data: bytes) -> bool:
            nonlocal begun, out, sending
            more = False
            try:
                blob = splitter.feed(data)
                if not blob:
                    more = True
                    return True
                events = taken.take(blob)
                if begun:
                    guard.limit = now() + stall_s
                elif taken.relayed:
                    begun = True
                    lease.answered()
                    guard.set_limit(stall_s, "no event in time")
                if taken.done:
                    out = events
                elif events:
                    sent = self._give(events)
                    more = sent is SENT
                    sending = None if more else sent
                else:
                    more = True
            finally:
                if not more:
                    # What was taken is sent before anything else may happen to the request.
                    guard.end_wait()
            return more

        try:
            while not taken.done and not await self.wait(response.pump(consume)):
                if sending is not None:
                    to_send, sending = sending, None
                    await to_send
        except LostAfter as lost:
            if lost.kept_back:
                await self._give(lost.kept_back)
            raise
        finally:
            if isinstance(sending, Coroutine):
                # The client is gone.
                sending.close()
        if not taken.finished and taken.refusal is None:
            if out:
                await self._give(out)
            raise Lost("the stream ended without an end")
        await self._complete(out)
        await self._read_to_end(response)

    async def _asked(self, lease: Lease, body: bytes) -> Answer:
        response = await self.ask(lease, body)
        await check(response, stream=True)
        return response

    def _give(self, events: bytes) -> Awaitable[None]:
        if not self.started:
            return self._give_first(events)
        return self.send({"type": "http.response.body", "body": events, "more_body": True})

    async def _give_first(self, events: bytes) -> None:
        await self._start()
        await self.send({"type": "http.response.body", "body": events, "more_body": True})

    async def _start(self) -> None:
        self.started = True
        self.outcome.first_byte = self.means.timers.now()
        headers = [*_HEADERS, *self.headers]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _go_on(self, lease: Lease) -> bytes | None:
        """After the loss of a node in mid-stream.

        Returns:
            What the next node is to be asked; None: the client has everything already.

        Raises:
            NotFaithful: The stream can't go on.
        """
        call, progress = self.call, self._progress
        progress.fold()
        if len(progress.finished) >= call.choices:
            await self._complete(b"")
            return None
        text = bool(progress.text)
        tokens = self.tally.tokens() if text else 0
        limit = token_limit(call)
        if limit is not None and tokens >= limit and call.choices == 1 and not progress.obstacle:
            await self._complete(self._end_by_length())
            return None
        body = continued_body(call, progress, tokens)
        await self.wait(self.tries.prepare_hop(lease))
        self.tally.next_node(got_nothing=not text)
        self._identity.next_node()
        self._goes_on = text
        self._begin_node()
        return body

    def _begin_node(self) -> None:
        self.outcome.chunks += self._filter.relayed
        self._filter = self._new_filter()
        self._splitter = Splitter(self.means.settings.max_event_bytes)

    def _new_filter(self) -> StreamFilter:
        return StreamFilter(
            self._progress,
            self._identity,
            self.tally.node,
            several=self.call.choices > 1,
            goes_on=self._goes_on,
        )

    def _note_half_event(self) -> None:
        """A node that was sending a token when it was lost had counted it."""
        rest = self._splitter.rest
        for name in (b'"content":"', b'"text":"'):
            at = rest.find(name)
            if at >= 0 and rest[at + len(name) : at + len(name) + 1] not in (b"", b'"'):
                self.tally.node.extra = 1

    def _end_by_length(self) -> bytes:
        choice: dict[str, object] = {"index": 0, "logprobs": None, "finish_reason": "length"}
        if self.call.endpoint is Endpoint.CHAT:
            choice["delta"] = {}
        else:
            choice["text"] = ""
        return self._identity.event(choices=[choice])

    async def _complete(self, events: bytes) -> None:
        """Sends the last events, the usage where the client wants it, and the end."""
        if self._filter.refusal is not None:
            events += self._filter.refusal
            result, error = Result.BROKEN, "the node refused in mid-stream"
        else:
            result, error = (Result.RESUMED if self.tries.hops else Result.OK), ""
            if self.call.wants_usage:
                events += self._usage_event()
        if not self.started:
            await self._start()
        self.outcome.chunks += self._filter.relayed
        self.finish(result, 200, error)
        await self.send({"type": "http.response.body", "body": events + DONE, "more_body": False})

    def _usage_event(self) -> bytes:
        said = self._filter.last_usage
        if said is not None and not self.tries.hops:
            return said
        usage = self.tally.total()
        shown: dict[str, object] = {
            "prompt_tokens": usage.prompt,
            "total_tokens": usage.prompt + usage.completion,
            "completion_tokens": usage.completion,
        }
        if usage.cached_prompt:
            shown["prompt_tokens_details"] = {"cached_tokens": usage.cached_prompt}
        return self._identity.event(choices=[], usage=shown)

    async def _break_off(self, why: str) -> None:
        """Ends a stream that can't be completed with an error in OpenAI's form, and no `[DONE]`."""
        became = "drained" if self.outcome.error == DRAINED else "lost"
        message = f"The node that was answering was {became}, and {why}."
        event = error_body(Refused(502, message, code="stream_broken", kind="server_error"))
        self.outcome.chunks += self._filter.relayed
        lost = f"{self.outcome.error}; " if self.outcome.error else ""
        self.finish(Result.BROKEN, 200, f"{lost}{why}")
        await self.send(
            {"type": "http.response.body", "body": b"data: " + event + b"\n\n", "more_body": False}
        )

    async def _read_to_end(self, response: Answer) -> None:
        """Lets the connection be used again: the client has everything already."""
        try:
            async with asyncio.timeout(_TO_END_S):
                while await response.read():
                    pass
        except (Lost, TimeoutError):
            response.close()
