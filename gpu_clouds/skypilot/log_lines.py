"""Lines out of a stream of the server that may break and begin anew; no I/O here.

A stream that breaks is asked for again from its start, and as many lines as were delivered are skipped. So
lines must be counted alike each time, and two things stand in the way (read in server 0.14.1):

- The log of a job that has ended meanwhile is read with its line ends translated: each carriage return has
  become a line feed. So both end a line here.
- Some lines are about the stream and not of the log: payloads for SkyPilot's own client, heartbeats among
  them, which may stand in the middle of a line, and notes that something is waited for. They are not counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gpu_clouds.redaction import redact
from gpu_clouds.skypilot.answers import clean_line

_PAYLOAD = re.compile(rb"<sky-payload[^>]*>(.*)</sky-payload>")
_PADDED = " " * 1024
"""Notes of the stream are padded with 4096 spaces, so that browsers show them at once."""
_NOTE = re.compile(r"INFO: Waiting \d+s for the logs to be written\.\.\.")
_LINE_END = re.compile(rb"\r\n|\r(?!\Z)|\n")
_LONGEST_LINE = 1 << 20
"""Bytes after which a line is cut, so that a stream without line ends can not fill the memory."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a stream.

    Attributes:
        text: Without its end.
        counted: It is of the log itself, and comes again in the same place when the stream is asked for anew.
    """

    text: str
    counted: bool = True


class LineSplitter:
    """Bytes of one connection into lines."""

    def __init__(self) -> None:
        self._rest = b""
        self._before_payload = b""

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that these bytes complete."""
        buffer, position = self._rest + data, 0
        # A carriage return at the very end may be half of a line end, so it waits for the next byte.
        while found := _LINE_END.search(buffer, position):
            piece, position = buffer[position : found.start()], found.end()
            yield from self._piece(piece)
        self._rest = buffer[position:]
        while len(self._before_payload) + len(self._rest) > _LONGEST_LINE:
            whole, self._before_payload = self._before_payload + self._rest, b""
            self._rest = whole[_LONGEST_LINE:]
            yield _line(whole[:_LONGEST_LINE])

    def end(self) -> Iterator[Line]:
        """What is left when the stream has ended as it should."""
        rest, self._rest = self._rest.removesuffix(b"\r"), b""
        if rest:
            yield from self._piece(rest)
        if self._before_payload:
            yield _line(self._before_payload)
            self._before_payload = b""

    def _piece(self, piece: bytes) -> Iterator[Line]:
        if (start := _payload_at_end(piece)) is not None:
            # A heartbeat may stand in the middle of a line: what is before it belongs to what comes after it.
            self._before_payload += piece[:start]
            return
        piece, self._before_payload = self._before_payload + piece, b""
        for start in range(0, max(1, len(piece)), _LONGEST_LINE):
            yield _line(piece[start : start + _LONGEST_LINE])


@dataclass(slots=True)
class Progress:
    """What has been delivered of a stream, over all of its connections.

    Attributes:
        delivered: Lines of the log that the caller has.
        secrets: Values that no line may carry.
    """

    delivered: int = 0
    secrets: frozenset[str] = frozenset()
    _seen: int = 0
    _note: str = ""

    def reconnected(self) -> None:
        """The stream begins anew."""
        self._seen = 0

    def accept(self, lines: Iterable[Line]) -> Iterator[str]:
        """The lines that the caller does not have yet, as they may be shown.

        A line counts as delivered before the caller gets it: whatever comes of it, it is not given twice.
        """
        for line in lines:
            if not line.counted:
                if self._seen >= self.delivered and line.text != self._note:
                    self._note = line.text
                    yield self._shown(line)
                continue
            self._seen += 1
            if self._seen > self.delivered:
                self.delivered = self._seen
                yield self._shown(line)

    def _shown(self, line: Line) -> str:
        return redact(line.text, self.secrets)


def _line(piece: bytes) -> Line:
    text = piece.decode("utf-8", "replace")
    counted = _PADDED not in text and not _NOTE.search(text)
    return Line(clean_line(text) if counted else clean_line(text).strip(), counted)


def _payload_at_end(piece: bytes) -> int | None:
    """Where the payload begins with which this piece ends; None where it ends with none."""
    if not piece.endswith(b"</sky-payload>"):
        return None
    start = piece.rfind(b"<sky-payload")
    found = _PAYLOAD.fullmatch(piece, start) if start >= 0 else None
    if found is None:
        return None
    try:
        json.loads(found[1])
    except (ValueError, RecursionError):
        return None
    return start
