"""One list call serves everybody who waits.

A thousand nodes that boot at once cost one list call every few seconds for each cloud and credential set,
not a thousand status calls. There is no thread of its own: whichever waiting thread is first does the work
for all. A listing that began before the question is not an answer to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.errors import CancelledError, GpuCloudError, UnknownCloudError
from gpu_clouds.marker import Marker
from gpu_clouds.models import Instance

POLL_MIN_S = 5.0
POLL_MAX_S = 30.0
RECENT_S = 5.0
"""For so long after its beginning a listing will do for `Feed.recent`."""
_LOOK_UP_S = 1.0
"""The thread that waits for the next poll looks up this often for somebody who needs it earlier."""


def poll_interval(waited_s: float) -> float:
    """Seconds until the next poll for somebody who has waited this long: a tenth of it, from 5 to 30."""
    return min(POLL_MAX_S, max(POLL_MIN_S, waited_s / 10))


@dataclass(frozen=True, slots=True)
class Listing:
    """Every node of one stack that one credential set showed at one moment.

    Attributes:
        number: Counts the listings of this feed from 1.
        by_id: The nodes.
        by_node: The same by the part of the marker that names the node (`Marker.node_prefix`).
    """

    number: int
    by_id: dict[str, Instance]
    by_node: dict[str, list[Instance]]

    @classmethod
    def of(cls, number: int, instances: list[Instance]) -> Listing:
        """Sorts what a cloud has answered; names that are no marker are somebody else's."""
        by_id: dict[str, Instance] = {}
        by_node: dict[str, list[Instance]] = {}
        for instance in instances:
            marker = Marker.parse(instance.name)
            if marker is not None:
                by_id[instance.id] = instance
                by_node.setdefault(marker.node_prefix, []).append(instance)
        return cls(number, by_id, by_node)


@dataclass(frozen=True, slots=True)
class _Failure:
    number: int
    error: GpuCloudError


@dataclass(slots=True)
class _State:
    """Guarded by the feed's condition."""

    started: int = 0
    began: float = 0.0
    listing: bool = False
    timing: bool = False
    last: Listing | _Failure | None = None
    asked: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Who waits: the number of the listing that will do, and when it has to start."""
    waiters: int = 0


class Feed:
    """The listings of one stack with one credential set.

    Args:
        cloud: Where to list.
        prefix: `stack_prefix(owner, stack_id)`.
        clock: Tells the time.
        condition: Makes the condition variable; tests put in one that their clock can see.
    """

    def __init__(
        self,
        cloud: GpuCloud,
        prefix: str,
        clock: Clock,
        condition: Callable[[], threading.Condition] = threading.Condition,
    ) -> None:
        self._cloud = cloud
        self._prefix = prefix
        self._clock = clock
        self._cond = condition()
        self._state = _State()

    def fresh(self, cancel: threading.Event | None) -> Listing:
        """A listing that starts after this call, as soon as possible.

        Raises:
            CancelledError: `cancel` was set.
            GpuCloudError: The list call failed.
        """
        return self._get(self._clock.monotonic(), None, cancel)

    def recent(self, since: float, cancel: threading.Event | None) -> Listing:
        """A listing that began at `since` or later and less than 5 s ago; a fresh one where there is none.

        For somebody who knows that nothing can have changed in between what concerns them.

        Args:
            since: `Clock.monotonic()` of the earliest beginning that will do.
            cancel: As in `fresh`.

        Raises:
            CancelledError: `cancel` was set.
            GpuCloudError: The list call failed.
        """
        now = self._clock.monotonic()
        return self._get(now, None, cancel, began_after=max(since, now - RECENT_S))

    def next(self, waiting_since: float, cancel: threading.Event | None) -> Listing:
        """The next listing of those who wait: 5 s to 30 s from now, or any that somebody else needs earlier.

        Args:
            waiting_since: `Clock.monotonic()` at which the caller began to wait.
            cancel: Looked at while this thread does the work, and whenever a listing has come.

        Raises:
            CancelledError: `cancel` was set.
            GpuCloudError: The list call failed.
        """
        now = self._clock.monotonic()
        return self._get(now, poll_interval(now - waiting_since), cancel)

    def _get(
        self,
        now: float,
        interval: float | None,
        cancel: threading.Event | None,
        began_after: float = float("inf"),
    ) -> Listing:
        state = self._state
        with self._cond:
            wanted = state.started + 1
            if state.began >= began_after:
                last = state.last
                if isinstance(last, Listing) and last.number == state.started:
                    return last
                if state.listing:
                    wanted = state.started
            state.waiters += 1
            me = state.waiters
            state.asked[me] = (wanted, now if interval is None else now + interval)
            try:
                while True:
                    if cancel is not None and cancel.is_set():
                        raise CancelledError("cancelled while waiting for a listing")
                    if state.last is not None and state.last.number >= wanted:
                        break
                    if state.listing:
                        self._cond.wait()
                    elif self._clock.monotonic() >= self._due():
                        self._list()
                    elif state.timing:
                        self._cond.wait()
                    else:
                        self._pass_time(self._due(), cancel)
            finally:
                state.asked.pop(me, None)
                if not state.listing and not state.timing:
                    # Somebody has to take over the work that this thread would have done.
                    self._cond.notify_all()
            last = state.last
        if isinstance(last, _Failure):
            raise last.error.with_traceback(None)
        return last

    def _due(self) -> float:
        return min(due for _, due in self._state.asked.values())

    def _list(self) -> None:
        """Lists for all, the lock given back meanwhile. An own cancel or a kill is nobody else's answer."""
        state = self._state
        state.listing = True
        state.started += 1
        state.began = self._clock.monotonic()
        number = state.started
        answer: Listing | _Failure | None = None
        self._cond.release()
        try:
            answer = Listing.of(number, self._cloud.list(self._prefix))
        except CancelledError:
            raise
        except GpuCloudError as error:
            answer = _Failure(number, error)
        except Exception as error:
            # A fault in a client must not end a wait: nobody would hold the id of the node then.
            fault = UnknownCloudError(
                f"the client of {self._cloud.name} failed while listing ({type(error).__name__})",
                cloud=self._cloud.name,
            )
            fault.__cause__ = error
            answer = _Failure(number, fault)
        finally:
            self._cond.acquire()
            state.listing = False
            if answer is not None:
                state.last = answer
                # Those who have their answer and have not run yet must not make another look due.
                state.asked = {who: ask for who, ask in state.asked.items() if ask[0] > number}
            self._cond.notify_all()

    def _pass_time(self, until: float, cancel: threading.Event | None) -> None:
        """Sleeps a little, the lock given back meanwhile."""
        self._state.timing = True
        self._cond.release()
        try:
            self._clock.sleep(min(_LOOK_UP_S, max(0.0, until - self._clock.monotonic())), cancel)
        finally:
            self._cond.acquire()
            self._state.timing = False
