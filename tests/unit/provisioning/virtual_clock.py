"""Time that passes only when every thread waits: then it jumps to the next one that wants to wake."""

import heapq
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from gpu_clouds.errors import CancelledError

REAL_LIMIT_S = 30.0


class _Sleeper:
    def __init__(self, cancel: threading.Event | None, action: Callable[[], None] | None = None) -> None:
        self.cancel = cancel
        self.action = action
        self.awake = False


class VirtualClock:
    """A `Clock`. The thread that makes it counts as running; `run_all` adds others."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._now = start
        self._guard = threading.Condition()
        self._running = 1
        self._heap: list[tuple[float, int, _Sleeper]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> None:
        sleeper = _Sleeper(cancel)
        with self._guard:
            if not (cancel is not None and cancel.is_set()):
                self._push(seconds, sleeper)
                self.less_running()
                while not sleeper.awake:
                    if not self._guard.wait(REAL_LIMIT_S):
                        raise AssertionError("virtual time stands still: a thread waits for nobody")
        if cancel is not None and cancel.is_set():
            raise CancelledError("cancelled while waiting")

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Does something at a moment in the future."""
        with self._guard:
            self._push(seconds, _Sleeper(None, action))

    def run_all(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """Runs each job in its own thread; gives results, or the exceptions that ended them."""
        results: list[Any] = [None] * len(jobs)

        def work(index: int) -> None:
            try:
                results[index] = jobs[index]()
            except BaseException as error:
                results[index] = error
            finally:
                with self._guard:
                    self.less_running()

        threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(jobs))]
        with self._guard:
            self._running += len(threads)
        for thread in threads:
            thread.start()
        with self._guard:
            self.less_running()
        for thread in threads:
            thread.join(REAL_LIMIT_S)
            assert not thread.is_alive(), "virtual time stands still: a thread waits for nobody"
        with self._guard:
            self._running += 1
        return results

    def condition(self) -> threading.Condition:
        """A condition variable whose waiting threads this clock knows of."""
        return _VirtualCondition(self)

    def less_running(self) -> None:
        """One thread fewer runs; the guard is held."""
        self._running -= 1
        while self._running == 0 and self._heap:
            self._now, _, sleeper = heapq.heappop(self._heap)
            if sleeper.action is None:
                self._wake(sleeper)
            else:
                sleeper.action()
                for entry in [e for e in self._heap if e[2].cancel is not None and e[2].cancel.is_set()]:
                    self._heap.remove(entry)
                    self._wake(entry[2])
                heapq.heapify(self._heap)

    def more_running(self, count: int) -> None:
        with self._guard:
            self._running += count

    def waits(self) -> None:
        with self._guard:
            self.less_running()

    def _push(self, seconds: float, sleeper: _Sleeper) -> None:
        heapq.heappush(self._heap, (self._now + max(0.0, seconds), next(self._numbers), sleeper))

    def _wake(self, sleeper: _Sleeper) -> None:
        sleeper.awake = True
        self._running += 1
        self._guard.notify_all()


class _VirtualCondition(threading.Condition):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(threading.Lock())
        self._clock = clock
        self._blocked = 0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is None
        self._blocked += 1
        self._clock.waits()
        return super().wait(REAL_LIMIT_S)

    def notify(self, n: int = 1) -> None:
        raise AssertionError("only notify_all is counted")

    def notify_all(self) -> None:
        self._clock.more_running(self._blocked)
        self._blocked = 0
        super().notify(1 << 30)
