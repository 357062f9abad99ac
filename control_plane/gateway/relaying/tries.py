"""Whether, where and when a request is tried again."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable

from control_plane.gateway.call import Call
from control_plane.gateway.parts import Lease, Refused, Router
from control_plane.gateway.relaying.lost import Lost, NotFaithful
from control_plane.gateway.relaying.settings import RelaySettings
from control_plane.gateway.timers import Timers


class Tries:
    """The tries of one request, before and after its client has got something.

    Args:
        call: The request.
        router: Gives places.
        settings: Of the relaying.
        timers: The time.
    """

    __slots__ = ("_call", "_failed", "_retries", "_router", "_settings", "_timers", "hops")

    def __init__(self, call: Call, router: Router, settings: RelaySettings, timers: Timers) -> None:
        self._call = call
        self._router = router
        self._settings = settings
        self._timers = timers
        self._failed: list[str] = []
        self._retries = 0
        self.hops = 0

    def place(self) -> Awaitable[Lease]:
        """A place for the next try.

        Raises:
            Refused: There is none in time.
        """
        return self._router.acquire(self._call, self._failed)

    async def prepare_retry(self, lease: Lease, lost: Lost) -> None:
        """After a try that has brought the client nothing: waits until the next may begin.

        Args:
            lease: Where it failed.
            lost: How.

        Raises:
            Refused: There is to be none.
        """
        alone = self._note(lease)
        pauses = self._settings.alone_s
        if self._retries >= (len(pauses) if alone else self._settings.retries):
            raise failed(lost)
        pause = pauses[self._retries] if alone else 0.0
        if self._timers.now() + pause > self._call.deadline or not self._router.may_retry():
            raise failed(lost)
        self._retries += 1
        if pause:
            await self._timers.sleep(pause)

    async def prepare_hop(self, lease: Lease) -> None:
        """After a try whose answer the client has begun to get: waits until it may go on elsewhere.

        Raises:
            NotFaithful: It has moved too often already.
        """
        alone = self._note(lease)
        if self.hops >= self._settings.hops:
            raise NotFaithful("too many nodes were lost")
        pauses = self._settings.alone_s
        if alone and pauses:
            await self._timers.sleep(pauses[min(self.hops, len(pauses) - 1)])
        self.hops += 1
        # The time to the first token is over; what counts now is how long its reader may be kept waiting.
        self._call = dataclasses.replace(self._call, deadline=self._timers.now() + self._settings.continue_s)

    def _note(self, lease: Lease) -> bool:
        """Notes a node that failed; says whether there is only the same one to try."""
        if lease.node.name not in self._failed:
            self._failed.append(lease.node.name)
        if lease.node.router:
            # It has other nodes of its own.
            return False
        return not self._router.has_other(self._call, self._failed)


def failed(lost: Lost) -> Refused:
    """What the client is told when no node has answered its request."""
    return Refused(
        502,
        f"No node could answer: {lost.why}. Try again.",
        code="upstream_failed",
        kind="server_error",
        headers=[(b"retry-after", b"1")],
    )
