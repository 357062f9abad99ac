"""From pieces of a stream as the network gives them to whole server-sent events."""

from __future__ import annotations

from control_plane.gateway.relaying.lost import Lost


class Splitter:
    """Gives out whole events only, as many as there are; what is left waits for its rest.

    Line ends are made one newline, whichever of the three that the format allows the node uses.

    Args:
        longest: Longest event, bytes.
    """

    __slots__ = ("_carriage_return", "_longest", "rest")

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._carriage_return = False
        self.rest = b""
        """The beginning of an event that is not whole yet."""

    def feed(self, data: bytes) -> bytes:
        r"""Takes a piece.

        Returns:
            The events that are whole by it, each with the empty line at its end; empty: none is.

        Raises:
            Lost: An event is too long.
        """
        if self._carriage_return or b"\r" in data:
            data = self._newlines(data)
        # Most pieces are just one event or several.
        if not self.rest and data.endswith(b"\n\n"):
            return data
        # Only the new part can hold the end, but for a newline that came before.
        start = len(self.rest)
        whole = self.rest + data if start else data
        end = whole.rfind(b"\n\n", max(0, start - 1))
        if end < 0:
            if len(whole) > self._longest:
                raise Lost("an event without an end")
            self.rest = whole
            return b""
        self.rest = whole[end + 2 :]
        return whole[: end + 2]

    def _newlines(self, data: bytes) -> bytes:
        if self._carriage_return and data.startswith(b"\n"):
            # The second half of a line end of which the first was taken for one already.
            data = data[1:]
        self._carriage_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def events(blob: bytes) -> list[bytes]:
    """The single events of what `Splitter.feed` gave, each with the empty line at its end."""
    return [event + b"\n\n" for event in blob[:-2].split(b"\n\n")]
