"""An end for what stage dev rents."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from policies.dev_lifetime import look
from policies.reading import UNKNOWN, Seen
from stack_config.policies import DevLifetimeRule
from tests.policies.made import eks, node, sky

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("resource", "hours", "word"),
    [
        (node(), None, "without expiresAt"),
        (node(expiresAt="2030-01-01T00:00:00+00:00"), None, ""),
        (node(expiresAt="2027-01-02T12:00:00+00:00"), 24, ""),
        (node(expiresAt="2027-01-02T12:00:01+00:00"), 24, "more than 24 hours"),
        (node(expiresAt="2027-01-02T14:00:00+02:00"), 24, ""),
        (node(expiresAt=UNKNOWN), 24, ""),
        (sky(), None, "without autostopMin"),
        (sky(autostopMin=0.0), None, ""),
        (sky(autostopMin=30.0), None, ""),
        (eks(pool={"min": 0.0, "max": 4.0}), None, ""),
        (eks(pool={"min": 1.0, "max": 4.0}), None, "keeps nodes of pool pool"),
    ],
)
def test_what_never_ends_is_told(resource: Seen, hours: int | None, word: str) -> None:
    limits = DevLifetimeRule(max_hours=hours)
    found = [broken.what for broken in look([resource], limits, "dev", now=lambda: NOW)]
    assert len(found) == bool(word)
    assert all(word in what for what in found)
    assert not list(look([resource], limits, "prod", now=lambda: NOW))
