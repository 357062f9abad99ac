"""What a client is told of limits: headers in OpenAI's form, and refusals."""

from __future__ import annotations

from control_plane.gateway.limits.layers import WINDOW_S, Layer, Reason, usd
from control_plane.gateway.parts import Headers, Refused

_WHOSE = {
    Layer.INSTANCE: "this gateway",
    Layer.TENANT: "your organization",
    Layer.KEY: "this API key",
    Layer.MODEL: "this model",
}
_NO_RETRY = (b"x-should-retry", b"false")


def duration(seconds: int) -> bytes:
    """A time in OpenAI's form, such as `59s` or `1m1s`."""
    minutes, rest = divmod(seconds, 60)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest


_DURATIONS = [duration(seconds) for seconds in range(WINDOW_S + 1)]


def requests_headers(limit: tuple[bytes, bytes], left: int, reset_s: int) -> Headers:
    """What is left of requests per minute.

    Args:
        limit: The header with the limit.
        left: Requests that are left.
        reset_s: Time until all are, seconds.
    """
    return [
        limit,
        (b"x-ratelimit-remaining-requests", b"%d" % left if left > 0 else b"0"),
        (b"x-ratelimit-reset-requests", _DURATIONS[min(reset_s, WINDOW_S)]),
    ]


def tokens_headers(limit: tuple[bytes, bytes], left: int, reset_s: int) -> Headers:
    """What is left of tokens per minute; arguments as for requests."""
    return [
        limit,
        (b"x-ratelimit-remaining-tokens", b"%d" % left if left > 0 else b"0"),
        (b"x-ratelimit-reset-tokens", _DURATIONS[min(reset_s, WINDOW_S)]),
    ]


def over_limit(layer: Layer, reason: Reason, limit: int, used: int, needed: int, wait_s: int) -> Refused:
    """A limit that is reached: 429 with `retry-after`.

    Args:
        layer: Whose limit.
        reason: Requests, tokens or in flight.
        limit: The limit.
        used: What is used of it.
        needed: What the request needs.
        wait_s: When it would fit, whole seconds.
    """
    what = {
        Reason.REQUESTS: "requests per minute",
        Reason.TOKENS: "tokens per minute",
        Reason.IN_FLIGHT: "requests at the same time",
    }[reason]
    return Refused(
        429,
        f"Rate limit reached for {_WHOSE[layer]} on {what}: limit {limit}, used {used}, requested {needed}. "
        f"Please try again in {wait_s}s.",
        code="rate_limit_exceeded",
        kind="tokens" if reason is Reason.TOKENS else "requests",
        headers=[(b"retry-after", b"%d" % wait_s)],
    )


def never_fits(layer: Layer, limit: int, needed: int) -> Refused:
    """More tokens than a minute may have: 400, because waiting doesn't help."""
    return Refused(
        400,
        f"This request needs up to {needed} tokens (prompt and max_tokens), and the limit of {_WHOSE[layer]} "
        f"is {limit} tokens per minute: it can never be served. Shorten the prompt or lower max_tokens.",
        code="tokens_limit_exceeded",
        param="max_tokens",
    )


def over_budget(layer: Layer, budget: int, used: int, needed: int, wait_s: int) -> Refused:
    """A budget that doesn't have enough left: 429 with the code `insufficient_quota`.

    Args:
        layer: Whose budget.
        budget: The budget, 1e-9 USD.
        used: What is spent or reserved, 1e-9 USD.
        needed: What the request costs at most, 1e-9 USD.
        wait_s: Time until the next month, whole seconds; 0: it costs more than a whole month's budget.
    """
    left = max(0, budget - used)
    text = (
        f"The monthly budget of {_WHOSE[layer]} does not suffice: {usd(left):.6f} of {usd(budget):.2f} USD "
        f"are left, and this request may cost {usd(needed):.6f} USD."
    )
    headers: Headers = [_NO_RETRY]
    if wait_s:
        headers.append((b"retry-after", b"%d" % wait_s))
        text += " It begins anew with the next calendar month (UTC)."
    return Refused(429, text, code="insufficient_quota", kind="insufficient_quota", headers=headers)
