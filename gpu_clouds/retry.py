"""When a failed call is sent again: pure arithmetic, no waiting."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How often and how long.

    Attributes:
        retries: Further attempts after the first.
        first_s: Wait before the first of them, seconds; it doubles each time.
        longest_s: Longest single wait of our own choosing, seconds.
        jitter: Part of the wait by which it varies either way.
        total_s: Longest time from the first attempt's failure to the last retry, seconds.
    """

    retries: int = 3
    first_s: float = 1.0
    longest_s: float = 30.0
    jitter: float = 0.25
    total_s: float = 60.0
    # Spreads many callers out; nothing secret depends on it.
    randomness: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def wait_before(self, retry: int, waited_s: float, retry_after_s: float | None = None) -> float | None:
        """Seconds to wait before this retry; None when it is not to be made.

        Args:
            retry: 1 for the first.
            waited_s: Time already spent waiting between attempts.
            retry_after_s: What the cloud asked for. It wins over our own schedule in both directions; where
                it does not fit into the total, there is no retry: it would only be refused again.
        """
        if retry > self.retries:
            return None
        if retry_after_s is not None:
            wait = retry_after_s
        else:
            base = min(self.longest_s, self.first_s * 2.0 ** (retry - 1))
            wait = min(self.longest_s, base * (1.0 + self.jitter * self.randomness.uniform(-1.0, 1.0)))
        return wait if waited_s + wait <= self.total_s else None
