"""From a node's events to those that the client gets: usage taken out, one stream of several nodes' pieces.

Nothing is read that need not be: an event of the usual form is recognised by a few searches for bytes. A
quote inside a JSON string is always escaped, so `"name":` with bare quotes is never part of a text.
"""

from __future__ import annotations

import msgspec

from control_plane.gateway.relaying import chunks
from control_plane.gateway.relaying.identity import Identity
from control_plane.gateway.relaying.lost import Lost, NotFaithful
from control_plane.gateway.relaying.progress import Progress
from control_plane.gateway.relaying.splitter import events
from control_plane.gateway.relaying.tally import NodeTally

_CHOICES = b'"choices":[{'
_USAGE = b',"usage":{'
_REASONING = b'"reasoning'
_FINISH = b'"finish_reason":"'
_BROKEN_ENDS = ("abort", "error")
"""Reasons of vLLM for the end of an answer that is none: the node gave it up."""

_encode = msgspec.json.Encoder().encode


class StreamFilter:
    """The events of one node.

    Args:
        progress: What the client has got.
        identity: Id and creation of the whole stream.
        tally: Where the node's usage is put.
        several: Whether there are several choices.
        goes_on: Whether the node was asked to go on with a text.
    """

    __slots__ = (
        "_goes_on",
        "_identity",
        "_progress",
        "_several",
        "_tally",
        "done",
        "finished",
        "last_usage",
        "refusal",
        "relayed",
    )

    def __init__(
        self,
        progress: Progress,
        identity: Identity,
        tally: NodeTally,
        *,
        several: bool,
        goes_on: bool = False,
    ) -> None:
        self._progress = progress
        self._identity = identity
        self._tally = tally
        self._several = several
        self._goes_on = goes_on
        self.done = False
        """Whether the node has said that its stream is over."""
        self.finished = False
        """Whether a choice has ended."""
        self.last_usage: bytes | None = None
        """The node's event with its own sum, which has no choice."""
        self.refusal: bytes | None = None
        """An event that says that the request is to blame, in mid-stream."""
        self.relayed = 0

    def take(self, blob: bytes) -> bytes:
        """What the client gets for whole events of the node; empty for nothing.

        Raises:
            Lost: The node has reported an error of its own, or sends what makes no sense; `LostAfter` where
                good events came before that.
            NotFaithful: The node goes on with something else than the text that it was to go on with.
        """
        if blob.find(b"\n\n") == len(blob) - 2:
            return self._take_one(blob)
        taken: list[bytes] = []
        try:
            for event in events(blob):
                taken.append(self._take_one(event))
                if self.done:
                    break
        except Lost as lost:
            raise LostAfter(lost, b"".join(taken)) from None
        return b"".join(taken)

    def _take_one(self, event: bytes) -> bytes:
        if _CHOICES not in event or not event.endswith(b"}\n\n") or not event.startswith(b"data:"):
            return self._unusual(event)
        at = event.rfind(_USAGE)
        if at > 0:
            said = event[at + 9 : -3]
            if said.find(b"}") != len(said) - 1:
                return self._unusual(event)
            self._tally.raw = said
            event = event[:at] + b"}\n\n"
        if self._several:
            return self._unusual(event)
        if _FINISH in event or (self._goes_on and _REASONING in event):
            self._finish(chunks.decode_chunk(chunks.payload(event)))
        if not self.relayed or self._identity.continued:
            return self._give(event)
        # As `_give`, with nothing left to learn or to change.
        self._tally.texts += 1
        self.relayed += 1
        self._progress.keep(event)
        return event

    def _give(self, event: bytes) -> bytes:
        self._tally.texts += 1
        event = self._identity.own(event)
        if event:
            self.relayed += 1
            self._progress.keep(event)
        return event

    def _finish(self, chunk: chunks.Chunk) -> None:
        for choice in chunk.choices or ():
            delta = choice.delta
            if self._goes_on and delta is not None and (delta.reasoning or delta.reasoning_content):
                raise NotFaithful("reasoning")
            if choice.finish_reason in _BROKEN_ENDS:
                raise Lost(f"its answer ended with {choice.finish_reason}")
            if choice.finish_reason:
                self.finished = True

    def _unusual(self, event: bytes) -> bytes:
        """An event that has to be read."""
        data = chunks.payload(event)
        if not data:
            # A comment, which keeps the connection alive, or something that begins to be none.
            if event.lstrip(b"\n").startswith((b":", b"event:", b"id:", b"retry:")) or not event.strip():
                return event
            raise Lost("something that is no event")
        if data == b"[DONE]":
            self.done = True
            return b""
        chunk = chunks.decode_chunk(data)
        if chunks.is_error(chunk):
            if not chunks.is_clients_fault(chunk):
                raise Lost("an error event of the node")
            self.refusal = event
            self.done = True
            return b""
        if not chunk.choices:
            if chunk.usage is not None:
                self._tally.last = chunk.usage
                self.last_usage = event
                return b""
            return event
        if chunk.usage is not None:
            if self._several:
                self._tally.by_choice[chunk.choices[0].index] = chunk.usage
            else:
                self._tally.raw = _encode(chunk.usage)
            fields = chunks.decode_fields(data)
            fields.pop("usage", None)
            event = b"data: " + _encode(fields) + b"\n\n"
        elif self._several and self._tally.raw:
            self._tally.by_choice[chunk.choices[0].index] = chunks.decode_usage(self._tally.raw)
            self._tally.raw = b""
        self._finish(chunk)
        return self._give(event)


class LostAfter(Lost):
    """A node that was lost in the middle of a piece.

    Attributes:
        kept_back: The events before that, which the client is still to get.
    """

    def __init__(self, lost: Lost, kept_back: bytes) -> None:
        super().__init__(lost.why, blamed=lost.blamed)
        self.kept_back = kept_back
