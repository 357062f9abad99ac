"""What is declared, from the store into the parts that work by it; looked at anew each second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from control_plane.gateway.admin import Item
from control_plane.gateway.declared import Declared, Limits
from control_plane.gateway.log import Log
from control_plane.gateway.routing.router import NodeRouter
from control_plane.gateway.routing.views import NodeView
from control_plane.gateway.timers import Timers
from control_plane.store.errors import StoreError, StoreLost
from control_plane.store.objects import Objects

POLL_S = 0.8
"""Between looks at the store's number of changes, seconds: so a change is here in under two."""


class InForce:
    """What is in force in this process.

    Args:
        objects: The store's.
        router: The nodes of this process.
        apply: Takes over what is declared, in all parts, all at once.
        timers: The time.
        log: Log.
    """

    def __init__(
        self,
        objects: Objects,
        router: NodeRouter,
        apply: Callable[[Declared], None],
        timers: Timers,
        log: Log,
    ) -> None:
        self._objects = objects
        self._router = router
        self._apply = apply
        self._timers = timers
        self._log = log
        self._lock = asyncio.Lock()
        self._version = -1
        self.declared = Declared()
        self.lost = False
        """Whether the store did not answer last time: what is in force may be old."""

    @property
    def read(self) -> bool:
        """Whether the store was read at least once."""
        return self._version >= 0

    async def refresh(self) -> None:
        """Reads the store if it has changed.

        Raises:
            StoreLost: It does not answer; what was in force stays.
            StoreError: It cannot be read.
        """
        async with self._lock:
            if self._version >= 0 and await self._objects.version() == self._version:
                return
            found = await self._objects.load()
            self._apply(found.declared)
            self.declared = found.declared
            self._version = found.version

    async def follow(self) -> None:
        """Keeps up with the store until it is cancelled; tells once when it is lost, and when it is back."""
        while True:
            await self._timers.sleep(POLL_S)
            try:
                await self.refresh()
            except (StoreLost, StoreError) as error:
                if not self.lost:
                    self._log.error("the store is lost; what is known stays in force", error=str(error))
                self.lost = True
            else:
                if self.lost:
                    self._log.warning("the store answers again")
                self.lost = False

    # For the admin endpoint.

    async def put(self, item: Item) -> None:
        """Into the store, and in force here once it returns."""
        await self._objects.put(item)
        await self.refresh()

    async def delete(self, kind: type[Item], name: str) -> None:
        """Out of the store, and out of force here once it returns."""
        await self._objects.delete(kind, name)
        await self.refresh()

    async def put_limits(self, limits: Limits) -> None:
        """Limits of the whole gateway, as `put`."""
        await self._objects.put_limits(limits)
        await self.refresh()

    def node(self, name: str) -> NodeView | None:
        """A node as it is now."""
        return self._router.node(name)

    async def drained(self, name: str, drain_s: float) -> None:
        """Waits until a node that was taken out serves nothing any more."""
        await self._router.drained(name, drain_s)
