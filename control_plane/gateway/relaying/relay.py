"""The relay: takes calls to the nodes and their answers to the clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from control_plane.gateway.call import Call, Outcome, Receive, Result, Send
from control_plane.gateway.parts import Headers, Refused, Router
from control_plane.gateway.relaying.guard import Guard
from control_plane.gateway.relaying.lost import ClientGone, Stopped
from control_plane.gateway.relaying.plain_run import PlainRun
from control_plane.gateway.relaying.run import Means, Run
from control_plane.gateway.relaying.settings import RelaySettings
from control_plane.gateway.relaying.stream_run import StreamRun
from control_plane.gateway.relaying.upstream import Upstream
from control_plane.gateway.relaying.watching import Watch
from control_plane.gateway.timers import Timers


class NodeRelay:
    """The `Relay` of `parts.py`.

    Args:
        router: Gives places at nodes.
        upstream: Connections to them, entered.
        settings: Of the relaying.
        timers: The time.
    """

    def __init__(self, router: Router, upstream: Upstream, settings: RelaySettings, timers: Timers) -> None:
        self._means = Means(router, upstream, settings, timers)
        self._running: set[Guard] = set()
        self._watch = Watch(timers, settings.watch_after_s)

    async def relay(
        self,
        call: Call,
        headers: Headers,
        receive: Receive,
        send: Send,
        done: Callable[[Outcome], None],
    ) -> None:
        """Answers a call.

        Args:
            call: The request.
            headers: To be added to the answer.
            receive: The client's side, for its disconnect; the body was read before.
            send: The client's side.
            done: Called once, before the client gets the last bytes.

        Raises:
            Refused: Nothing was sent, and `done` was not called.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        means = self._means
        guard = Guard(task, means.timers, receive)
        kind = StreamRun if call.stream else PlainRun
        run = kind(means, call, headers, send, done, guard)
        self._running.add(guard)
        self._watch.add(guard)
        try:
            await run.run()
        except ClientGone:
            _client_gone(run)
        except asyncio.CancelledError:
            if isinstance(guard.interrupted(), ClientGone):
                _client_gone(run)
                return
            if not run.over:
                run.finish(Result.BROKEN, _status(run), "the gateway was stopped")
            raise
        except Stopped:
            raise Refused(
                503, "The gateway is being stopped; try again.", code="stopping", kind="server_error"
            ) from None
        finally:
            self._running.discard(guard)
            self._watch.discard(guard)
            run.clean_up()

    def stop_all(self) -> None:
        """Ends all running requests: streams with an error event, others with a 503."""
        for guard in list(self._running):
            guard.interrupt(Stopped())


def _client_gone(run: Run) -> None:
    if not run.over:
        run.finish(Result.CLIENT_GONE, _status(run), "the client went away")


def _status(run: Run) -> int:
    return 200 if isinstance(run, StreamRun) and run.started else 0
