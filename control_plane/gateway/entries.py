"""Lines of the journal: a request that has begun, and one that has ended, as JSON arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from control_plane.gateway.call import Call, Outcome, Result
from control_plane.store.rows import Row, nano

END = b'["end"'
"""How the line of an ended request begins."""
_MOST = 2**40
_NAME = 200


class Begun(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """A request that was let in.

    Attributes:
        request_id: Its id.
        begun_us: When, microseconds since the epoch.
        tenant: Whose it is.
        key_id: Through which key.
        asked_model: The model as the client named it.
        model: The model that is to answer.
        endpoint: Path.
        stream: Whether a stream is asked for.
        tokens: Reserved for it.
        nano_usd: Reserved for it, 10**-9 USD.
    """

    request_id: str
    begun_us: int
    tenant: str
    key_id: str
    asked_model: str
    model: str
    endpoint: str
    stream: bool
    tokens: int
    nano_usd: int

    def cut_off(self) -> Row:
        """Its row where nobody will ever say what came of it."""
        return Row(
            self.request_id, self.begun_us, None, self.tenant, self.key_id, self.asked_model, self.model,
            self.endpoint, "", Result.CUT_OFF.value, 0, 0, self.stream, 0, 0, 0, 0, 0, True, 0, None, None,
        )  # fmt: skip


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Begun | Row).decode


def begun(call: Call, now_us: int, tokens: int, usd: float) -> Begun:
    """What is written of a request that was let in.

    Args:
        call: The request.
        now_us: When, microseconds since the epoch.
        tokens: Reserved for it.
        usd: Reserved for it, USD.
    """
    return Begun(
        call.request_id, now_us, call.tenant, call.key_id, _name(call.asked_model), _name(call.model),
        call.endpoint.value, call.stream, tokens, nano(usd),
    )  # fmt: skip


def ended(call: Call, outcome: Outcome, usd: float, begun_us: int | None, wall: Callable[[], float]) -> Row:
    """The row of a request that is over.

    Args:
        call: The request.
        outcome: What came of it.
        usd: What it costs, USD.
        begun_us: When it was let in, microseconds since the epoch; None: that was not noted.
        wall: Seconds since the epoch.
    """
    duration_us = max(0, int((outcome.finished - call.received) * 1e6))
    if begun_us is None:
        begun_us = int(wall() * 1e6) - duration_us
    usage = outcome.usage
    first = outcome.first_byte
    return Row(
        call.request_id, begun_us, begun_us + duration_us, call.tenant, call.key_id, _name(call.asked_model),
        _name(call.model), call.endpoint.value, " ".join(outcome.nodes), outcome.result.value,
        outcome.status, outcome.hops, call.stream, _count(usage.engine_prompt),
        _count(usage.engine_completion), _count(usage.prompt), _count(usage.completion),
        _count(usage.cached_prompt), usage.estimated, nano(usd),
        max(0, int((first - call.received) * 1e6)) if first else None, duration_us,
    )  # fmt: skip


def decoded(lines: Iterable[bytes]) -> tuple[list[Begun | Row], int]:
    """What lines say, and how many of them say nothing: a loss of power may leave blocks never written."""
    found: list[Begun | Row] = []
    damaged = 0
    for line in lines:
        try:
            found.append(_decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            damaged += 1
    return found, damaged


def _name(given: str) -> str:
    """A model's name as the store takes it: the client chose it."""
    return given[:_NAME].replace("\0", "\N{REPLACEMENT CHARACTER}")


def _count(given: int) -> int:
    """A number of tokens within reason: a node told it."""
    return given if 0 <= given <= _MOST else min(max(given, 0), _MOST)
