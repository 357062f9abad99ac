"""All emulated clouds in this process, on a clock that only moves when everybody waits.

Clients are the real ones, down to their HTTP library: only the socket is replaced. So a request that hangs
for ten minutes costs nothing, each time-out is met exactly, and a busy machine changes no result.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

import httpx

from emulators.app import Emulators
from emulators.clock import EmulatedClock
from emulators.http import CutConnection
from tests.unit.provisioning.virtual_clock import VirtualClock

START = 1_795_248_000.0
LATENCY_S = 0.05
"""Every request takes a moment: a poll that costs no time could go on for ever."""
_ports = itertools.count(1025)
_networks: dict[str, EmulatedNet] = {}
_sockets = httpx.HTTPTransport.handle_request


def through_the_wire(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    """Stands for `HTTPTransport.handle_request`: emulated clouds answer, the rest goes to real sockets."""
    net = _networks.get(request.url.netloc.decode())
    return _sockets(transport, request) if net is None else net.answer(request)


class DrivenClock(EmulatedClock):
    """The emulators' view of the virtual clock.

    Args:
        clock: The virtual clock.
        settle: Called at each moment at which somebody's wait is over; has to call `wake`.
    """

    def __init__(self, clock: VirtualClock, settle: Callable[[], None]) -> None:
        super().__init__(0, start=0.0, real_time=lambda: 0.0)
        self._clock = clock
        self._settle = settle
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []
        self._over = False

    def now(self) -> float:
        return self._clock.time()

    async def sleep(self, seconds: float) -> None:
        until = self.now() + seconds
        if self.now() < until:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((until, woken))
            # A request that its client has given up, or that outlives it, still has its effect in time.
            self._clock.after(seconds, self._settle)
            await woken
        if self._over:
            raise CutConnection

    def wake(self) -> None:
        """Wakes those whose time has come."""
        due = [one for one in self._waiting if self._over or one[0] <= self.now()]
        self._waiting = [one for one in self._waiting if one not in due]
        for _, woken in due:
            if not woken.done():
                woken.set_result(None)

    def next_due(self) -> float:
        """When the next one wakes."""
        return min((until for until, _ in self._waiting), default=float("inf"))

    def stop(self) -> None:
        self._over = True
        self.wake()


class EmulatedNet:
    """The emulated clouds behind one address of their own.

    Args:
        clock: What everybody's time is.

    Attributes:
        before: Sees each request (`POST /v2/pods`) before it is sent, and may raise.
        after: Sees it once it has been answered, before the client does, and may raise.
        late: Gives seconds for a request that shall reach the cloud only after its client has died: the
            client then gets what `lost` makes. None: it goes the usual way.
        lost: What becomes of the client of a late request.
        spoil: May put another answer in the place of the cloud's.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.emulated_clock = DrivenClock(clock, self.settle)
        self.emulators = Emulators(None, clock=self.emulated_clock, cut=_mark_cut)
        self.base = f"http://127.0.0.1:{next(_ports)}"
        self.before: Callable[[str], None] = lambda _line: None
        self.after: Callable[[str], None] = lambda _line: None
        self.late: Callable[[str], float | None] = lambda _line: None
        self.lost: Callable[[], BaseException] = lambda: AssertionError("nobody said what is lost")
        self.spoil: Callable[[str, httpx.Response], httpx.Response] = lambda _line, answer: answer
        self._loop = asyncio.new_event_loop()
        self._lock = threading.RLock()
        _networks[self.base.removeprefix("http://")] = self

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What the clouds answer to a request, if they do so in time."""
        line = f"{request.method} {request.url.path}"
        self.before(line)
        body = request.read()
        late_s = self.late(line)
        self.clock.sleep(LATENCY_S)
        with self._lock:
            self.settle()  # what was under way comes first
            task = self._loop.create_task(self._serve(request, body, late_s or 0.0))
            self.settle()
        if late_s is not None:
            raise self.lost()
        timeouts = request.extensions.get("timeout", {})
        give_up = self.clock.time() + (timeouts.get("read") or float("inf"))
        while not task.done():
            until = min(self.emulated_clock.next_due(), give_up)
            assert until < float("inf"), f"{line} waits for ever"
            self.clock.sleep(until - self.clock.time())
            with self._lock:
                self.settle()
            if not task.done() and self.clock.time() >= give_up:
                raise httpx.ReadTimeout("timed out", request=request)
        answer = task.result()
        if answer is None:
            raise httpx.ReadError("cut", request=request)
        self.after(line)
        return self.spoil(line, answer)

    def settle(self) -> None:
        """Lets everything happen that is due by now."""
        with self._lock:
            self.emulated_clock.wake()
            self._loop.run_until_complete(_turns())
            self.emulators.settle()

    def close(self) -> None:
        """Ends it; requests that still wait get no answer."""
        _networks.pop(self.base.removeprefix("http://"))
        self.emulated_clock.stop()
        self._loop.run_until_complete(_turns())
        self._loop.run_until_complete(self.emulators.close())
        self._loop.close()

    async def _serve(self, request: httpx.Request, body: bytes, late_s: float) -> httpx.Response | None:
        """One request through the emulators' own front; None where the connection is cut."""
        try:
            await self.emulated_clock.sleep(late_s)
        except CutConnection:
            return None
        raw_path, _, query = request.url.raw_path.partition(b"?")
        scope: MutableMapping[str, Any] = {
            "type": "http",
            "method": request.method,
            "path": unquote(raw_path.decode("latin-1")),
            "raw_path": raw_path,
            "query_string": query,
            "headers": request.headers.raw,
            "client": ("127.0.0.1", 1),
        }
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self.emulators(scope, receive, send)
        if not sent or scope.get("cut"):
            return None
        content = b"".join(message.get("body", b"") for message in sent)
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=content)


def _mark_cut(scope: MutableMapping[str, Any]) -> None:
    scope["cut"] = True


async def _turns() -> None:
    """As many turns of the loop as a request needs up to its end, or to its next wait."""
    for _ in range(2):
        await asyncio.sleep(0)
