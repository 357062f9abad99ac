"""Server-sent events: from lines to events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        id: The last id seen, to resume after this event; sent back exactly as received.
        data: The data lines, joined.
    """

    id: str
    data: str


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Reads events as the HTML standard describes them; an event cut off in the middle is dropped.

    Args:
        lines: Lines without their line ends.
    """
    last_id, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Event(last_id, "\n".join(data))
            data = []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value
