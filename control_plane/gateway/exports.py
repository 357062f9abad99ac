"""What was used, as JSON or CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol


class Report(Protocol):
    """What the store knows of the past."""

    async def usage(self, query: Mapping[str, str]) -> tuple[bytes, bytes]:
        """A month's aggregates: content and content type."""

    async def ledger(self, query: Mapping[str, str]) -> tuple[bytes, AsyncIterator[bytes]]:
        """The requests of a time: content type and content in pieces."""
