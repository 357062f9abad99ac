"""`GET /v2/pods/{id}/logs`: the pod's log as server-sent events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from emulators.clock import parse_rfc3339, rfc3339
from emulators.cloud import Frame
from emulators.http import Answer, CutConnection, Stream, dump_json
from emulators.runpod.call import Call
from emulators.runpod.pod import HOLDING, Pod
from emulators.runpod.problems import Refusal, invalid

_POLL_S = 1.0


def handler(frame: Frame) -> _Logs:
    """The handler, bound to the clock that it waits by."""
    return _Logs(frame)


class _Logs:
    """Streams logs. An event's id is its time and number: `2026-06-01T12:02:03Z/000000000001`."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def __call__(self, call: Call) -> Answer:
        """Where to begin is said by Last-Event-ID, else `since`, else `tail`."""
        sources = call.choices("source", ("container", "system")) or ["container", "system"]
        tail = call.number("tail", 100, 0, 5000)
        since = _time(call.request.query.get("since", ""), "since")
        last = call.request.headers.get("last-event-id", "")
        pod = call.fleet.get(call.owner, call.id)
        if pod is None:
            raise Refusal(404, "pod not found")
        end = pod.log_dropped + len(pod.log)
        if last:
            number = re.fullmatch(r"[^/]+/(\d+)", last)
            begin = int(number[1]) + 1 if number else _first_from(pod, _time(last, "Last-Event-ID") or 0.0)
        elif since is not None:
            begin = _first_from(pod, since)
        else:
            matching = [i for i, line in enumerate(pod.log) if line[1] in sources]
            begin = end if tail == 0 else pod.log_dropped + (matching[-tail:] or [len(pod.log)])[0]
        chunks = self._events(call, pod, begin, sources)
        return Stream(chunks, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def _events(self, call: Call, pod: Pod, position: int, sources: list[str]) -> AsyncIterator[bytes]:
        sent, most = 0, call.settings.sse_drop_after_n
        while True:
            position = max(position, pod.log_dropped)
            while position < pod.log_dropped + len(pod.log):
                at, source, line = pod.log[position - pod.log_dropped]
                if source in sources:
                    if most is not None and sent >= most:
                        raise CutConnection
                    stamp = rfc3339(at)
                    data = dump_json({"ts": stamp, "source": source, "line": line})
                    yield b"id: %b/%012d\ndata: %b\n\n" % (stamp.encode(), position, data)
                    sent += 1
                position += 1
            if pod.phase not in HOLDING:
                return
            await self._frame.clock.sleep(_POLL_S)
            self._frame.settle()


def _first_from(pod: Pod, at: float) -> int:
    for index, line in enumerate(pod.log):
        if line[0] >= at:
            return pod.log_dropped + index
    return pod.log_dropped + len(pod.log)


def _time(text: str, name: str) -> float | None:
    if not text:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise invalid([f"$.{name}: '{text}' is not valid date-time"]) from None
