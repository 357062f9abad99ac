"""One id, time and model for a stream, whichever nodes its pieces come from."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from control_plane.gateway.relaying.chunks import decode_fields, payload

_MEMBERS = ("id", "object", "created", "model", "system_fingerprint")
_CHOICES = b'"choices":'
_encode = msgspec.json.Encoder().encode


class Identity:
    """Learns it from the first event of a stream, and gives it to the events of further nodes."""

    __slots__ = ("_head", "_members", "_other_head", "_sample", "continued")

    def __init__(self) -> None:
        self._sample = b""
        self._head = b""
        """Of the first node's events: all that stands before their choices."""
        self._other_head = b""
        self._members: dict[str, Raw] | None = None
        self.continued = False
        """Whether the events come from a further node."""

    def next_node(self) -> None:
        """Events come from another node from here on, which has its own id."""
        if self._sample:
            self.continued = True
            self._other_head = b""

    def own(self, event: bytes) -> bytes:
        """The event as part of the stream; empty: it says only once more whose message it is."""
        if not self.continued:
            if not self._sample:
                self._sample = event
            return event
        if b'"role":"' in event or b'"system_fingerprint":' in event or b'"choices":' not in event:
            return self._written_anew(event)
        if not self._other_head or not event.startswith(self._other_head):
            self._other_head = event[: event.index(_CHOICES)]
        if not self._head:
            self._head = b"data: " + _encode(self.members())[:-1] + b","
        return self._head + event[len(self._other_head) :]

    def members(self) -> dict[str, Raw]:
        """Id, object, created, model and, where the first node gave one, system_fingerprint."""
        if self._members is None:
            fields = decode_fields(payload(self._sample)) if self._sample else {}
            self._members = {name: fields[name] for name in _MEMBERS if name in fields}
        return self._members

    def event(self, **members: object) -> bytes:
        """An event of this stream with further members."""
        return b"data: " + _encode({**self.members(), **members}) + b"\n\n"

    def _written_anew(self, event: bytes) -> bytes:
        fields = decode_fields(payload(event))
        fields.pop("system_fingerprint", None)
        fields.update(self.members())
        choices = msgspec.json.decode(fields["choices"])
        for choice in choices:
            delta = choice.get("delta")
            again = isinstance(delta, dict) and delta.pop("role", None)
            if again and not any(delta.values()) and not choice.get("finish_reason"):
                return b""
        fields["choices"] = Raw(_encode(choices))
        return b"data: " + _encode(fields) + b"\n\n"
