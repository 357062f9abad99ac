"""What a client has got of a stream, kept so that it can go on elsewhere."""

from __future__ import annotations

from control_plane.gateway.relaying.chunks import Choice, Chunk, decode_chunk, given, payload
from control_plane.gateway.relaying.lost import Lost

FOLD_BYTES = 65_536
"""So many bytes of events are kept as they are; then they are read and only their text is kept."""


class Progress:
    """Keeps events unread while all goes well."""

    __slots__ = ("_bytes", "_events", "_text", "finished", "first", "obstacle", "role_sent")

    def __init__(self) -> None:
        self._events: list[bytes] = []
        self._bytes = 0
        self._text: list[str] = []
        self.first: Chunk | None = None
        """The first event that was read: id, created and model of the stream."""
        self.finished: set[int] = set()
        """Choices that have ended."""
        self.obstacle = ""
        """What the client has got that another node could not go on from; empty: text only."""
        self.role_sent = False

    def keep(self, event: bytes) -> None:
        """Keeps an event that the client gets."""
        self._events.append(event)
        self._bytes += len(event)
        if self._bytes > FOLD_BYTES:
            self.fold()

    def fold(self) -> None:
        """Reads what was kept."""
        events, self._events, self._bytes = self._events, [], 0
        for event in events:
            try:
                chunk = decode_chunk(payload(event))
            except Lost:
                self.obstacle = "an event that makes no sense"
                continue
            if self.first is None:
                self.first = chunk
            for choice in chunk.choices or ():
                self._add(choice)

    @property
    def text(self) -> str:
        """The text that the client has got. After `fold`."""
        return "".join(self._text)

    def _add(self, choice: Choice) -> None:
        if choice.finish_reason:
            self.finished.add(choice.index)
        if choice.text:
            self._text.append(choice.text)
        delta = choice.delta
        if delta is None:
            return
        if delta.role:
            self.role_sent = True
        if delta.content:
            self._text.append(delta.content)
        if delta.tool_calls or given(delta.function_call):
            self.obstacle = "a tool call in progress"
        elif delta.reasoning or delta.reasoning_content:
            self.obstacle = "reasoning"
        elif delta.refusal or given(delta.audio):
            self.obstacle = "content other than text"
