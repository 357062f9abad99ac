"""Who is next: tenants take turns by their weights, each tenant's requests in the order of their coming."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """A queue with turns: a tenant of weight 3 is served three times while one of weight 1 is served once.

    Args:
        weight: A tenant's weight; less than 1 counts as 1.
    """

    __slots__ = ("_length", "_tenants", "_turn_left", "_weight")

    def __init__(self, weight: Callable[[str], int]) -> None:
        self._weight = weight
        self._tenants: OrderedDict[str, deque[Item]] = OrderedDict()
        self._turn_left = 0
        """What the tenant at the front may still get in its turn; 0: its turn has not begun."""
        self._length = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._length

    def add(self, tenant: str, item: Item) -> None:
        """Puts an item at the end of its tenant's."""
        self._tenants.setdefault(tenant, deque()).append(item)
        self._length += 1

    def remove(self, tenant: str, item: Item) -> None:
        """Takes an item out, wherever it stands. It must be there."""
        waiting = self._tenants[tenant]
        waiting.remove(item)
        self._length -= 1
        if not waiting:
            if next(iter(self._tenants)) == tenant:
                self._turn_left = 0
            del self._tenants[tenant]

    def serve(self, served: Callable[[Item], bool]) -> bool:
        """Offers places: to the tenant whose turn it is first, then to the others in their order.

        Args:
            served: Tries to serve an item; says whether it was.

        Returns:
            Whether one was served; it is out of the queue then.
        """
        for number, tenant in enumerate(list(self._tenants)):
            waiting = self._tenants[tenant]
            if not served(waiting[0]):
                continue
            waiting.popleft()
            self._length -= 1
            if number == 0:
                self._count_turn(tenant)
            if not waiting:
                del self._tenants[tenant]
            return True
        return False

    def _count_turn(self, tenant: str) -> None:
        left = (self._turn_left or max(1, self._weight(tenant))) - 1
        if not self._tenants[tenant]:
            left = 0
        elif not left:
            self._tenants.move_to_end(tenant)
        self._turn_left = left
