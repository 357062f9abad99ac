"""What a client is told of leased limits: by what Redis said last, and what is left of the leases."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.gateway.limits import answers
from control_plane.gateway.limits.holding import Holding
from control_plane.gateway.limits.layers import WINDOW_S, Reason, nano_usd
from control_plane.gateway.limits.memory import MemoryLimiter
from control_plane.gateway.parts import Headers, Refused


def headers_of(holdings: Sequence[Holding]) -> Headers:
    """`x-ratelimit-*` of the tightest layer."""
    tight_requests = tight_tokens = None
    least_requests = least_tokens = 0
    for holding in holdings:
        limits = holding.meter.limits
        if limits.requests_per_minute:
            left = holding.requests_left + holding.requests
            if tight_requests is None or left < least_requests:
                least_requests, tight_requests = left, holding.meter
        if limits.tokens_per_minute:
            left = holding.tokens_left + holding.tokens
            if tight_tokens is None or left < least_tokens:
                least_tokens, tight_tokens = left, holding.meter
    headers: Headers = []
    if tight_requests is not None:
        headers = answers.requests_headers(tight_requests.requests_header, least_requests, WINDOW_S)
    if tight_tokens is not None:
        headers += answers.tokens_headers(tight_tokens.tokens_header, least_tokens, WINDOW_S)
    return headers


def raise_if(refused: Refused | None) -> None:
    """Raises the refusal, if there is one."""
    if refused is not None:
        raise refused


def refusal(
    local: MemoryLimiter,
    missing: Sequence[Holding],
    tokens: int,
    money: int,
    now: float,
    *,
    always: bool = False,
) -> Refused | None:
    """The refusal for what Redis has refused just now; the longest wait counts.

    Args:
        local: Counts refusals, and knows the month.
        missing: Leases that don't suffice.
        tokens: Tokens that the request needs.
        money: Money that it needs, 1e-9 USD.
        now: Monotonic seconds.
        always: Whether all that is missing counts as refused.
    """
    longest = 0
    for holding in missing:
        lacks = holding.lacks(now, tokens, money)
        for reason in [reason for reason, _ in lacks] if always else holding.denied(lacks, now):
            wait = {
                Reason.REQUESTS: holding.wait_requests,
                Reason.TOKENS: holding.wait_tokens,
                Reason.IN_FLIGHT: 1,
                Reason.BUDGET: local.month_left_s(),
            }[reason]
            if wait > longest:
                longest, why, blocking = wait, reason, holding
    return _told(local, blocking, why, tokens, money, longest) if longest else None


def _told(
    local: MemoryLimiter, holding: Holding, reason: Reason, tokens: int, money: int, wait: int
) -> Refused:
    meter, limits = holding.meter, holding.meter.limits
    if reason is Reason.BUDGET:
        budget = nano_usd(limits.budget_usd)
        refused = answers.over_budget(meter.layer, budget, holding.spent - holding.money, money, wait)
    else:
        limit, left, needed = {
            Reason.REQUESTS: (limits.requests_per_minute, holding.requests_left, 1),
            Reason.TOKENS: (limits.tokens_per_minute, holding.tokens_left, tokens),
            Reason.IN_FLIGHT: (limits.in_flight, 0, 1),
        }[reason]
        refused = answers.over_limit(meter.layer, reason, limit, limit - left, needed, wait)
    requests_left = holding.requests_left + max(0, holding.requests)
    tokens_left = holding.tokens_left + max(0, holding.tokens)
    return local.refused(meter, reason, refused, requests_left, tokens_left)
