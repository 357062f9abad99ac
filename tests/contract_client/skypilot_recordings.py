"""What the real SkyPilot API server has answered, and a transport that answers the same.

Each file of `recordings/skypilot/` is a JSON list of entries:

    {
        "call": "status",                         the client's method, or what it is an example of: "status.absent"
        "request": {"method": "POST", "path": "/status", "params": {"follow": "true"}, "body": {…} or null},
        "response": {"status": 200, "headers": {"x-skypilot-request-id": "…"}, "text": "…"}
    }

`params` maps a name to its value as text. A call that the server answers with a request is two entries or more,
in the order in which they were sent: the call itself, and `/api/status` or `/api/get` for its id, all with the same
`call`. Secrets are replaced before anything is written; ids of requests are left as they were.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parent / "recordings" / "skypilot"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call and its answer."""

    call: str
    method: str
    path: str
    params: dict[str, str]
    body: Any
    status: int
    headers: dict[str, str]
    text: str
    file: str

    def response(self) -> httpx.Response:
        # Lengths and encodings were those of the wire.
        left_out = {"content-length", "content-encoding", "transfer-encoding", "connection"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
        return httpx.Response(self.status, headers=headers, text=self.text)


def load(folder: Path = FOLDER) -> list[Recorded]:
    """Every entry, file by file."""
    return [entry for file in sorted(folder.glob("*.json")) for entry in _entries(file)]


def calls(entries: Iterable[Recorded]) -> dict[str, list[Recorded]]:
    """Call -> its entries in their order."""
    found: dict[str, list[Recorded]] = {}
    for entry in entries:
        found.setdefault(entry.call, []).append(entry)
    return found


class Replay:
    """Answers as it was recorded; for `httpx.MockTransport`.

    A request gets the first unused entry with its method and path, or the last used one where all are: a state
    may be asked for more often than it was when it was recorded.
    """

    def __init__(self, entries: list[Recorded]) -> None:
        self.left = list(entries)
        self.used: list[Recorded] = []
        self.requests: list[httpx.Request] = []
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.requests.append(request)
            for index, entry in enumerate(self.left):
                if (entry.method, entry.path) == (request.method, request.url.path):
                    self.used.append(self.left.pop(index))
                    return entry.response()
            for entry in reversed(self.used):
                if (entry.method, entry.path) == (request.method, request.url.path):
                    return entry.response()
        raise AssertionError(f"no answer was recorded for {request.method} {request.url.path}")


def _entries(file: Path) -> Iterator[Recorded]:
    for entry in json.loads(file.read_text(encoding="utf-8")):
        request, response = entry["request"], entry["response"]
        yield Recorded(
            call=entry["call"],
            method=request["method"],
            path=request["path"],
            params={name: str(value) for name, value in (request.get("params") or {}).items()},
            body=request.get("body"),
            status=response["status"],
            headers=response["headers"],
            text=response["text"],
            file=file.name,
        )
