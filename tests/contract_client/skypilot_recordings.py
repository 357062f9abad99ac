"""What the real SkyPilot API server has answered, and a network that answers the same.

`python -m tests.peers.record` writes `recordings/skypilot/*.json`, each a list of entries:

    {
        "call": "status.force",
        "request": {"method": "POST", "path": "/status", "params": {}, "body": {…} or null},
        "response": {"status": 200, "headers": {"x-skypilot-request-id": "…"}, "text": "…"}
    }

Where the server has answered with a request, the entry of the same name with `.get` is what came of it.
Secrets and pickles are replaced before anything is written.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parent / "recordings" / "skypilot"
_OF_THE_WIRE = {"content-length", "content-encoding", "transfer-encoding", "connection"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call and its answer."""

    file: str
    call: str
    method: str
    path: str
    params: dict[str, str]
    body: Any
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    def response(self) -> httpx.Response:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_WIRE}
        return httpx.Response(self.status, headers=headers, content=self.text.encode())


class Replay:
    """Answers as it was recorded, for `httpx.MockTransport`.

    A call gets the entry of its method and path; a state that was not recorded is the one in what came of the
    request, as both have the same fields.
    """

    def __init__(self, *entries: Recorded) -> None:
        self.entries = entries
        self.requests: list[httpx.Request] = []
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.requests.append(request)
        for entry in self.entries:
            if (entry.method, entry.path) == (request.method, request.url.path):
                return entry.response()
        if request.url.path == "/api/status":
            ended = next(entry for entry in self.entries if entry.path == "/api/get").json
            return httpx.Response(200, json=[ended.get("detail", ended)])
        raise AssertionError(f"no answer was recorded for {request.method} {request.url.path}")

    def bodies(self) -> list[tuple[str, Any]]:
        """Path and body of each request."""
        return [
            (request.url.path, json.loads(request.content) if request.content else None)
            for request in self.requests
        ]


def load() -> dict[str, Recorded]:
    """`file/call` -> entry."""
    return {
        f"{entry.file}/{entry.call}": entry for file in sorted(FOLDER.glob("*.json")) for entry in _of(file)
    }


def _of(file: Path) -> Iterator[Recorded]:
    for entry in json.loads(file.read_text(encoding="utf-8")):
        request, response = entry["request"], entry["response"]
        yield Recorded(
            file=file.stem,
            call=entry["call"],
            method=request["method"],
            path=request["path"],
            params={name: str(value) for name, value in (request.get("params") or {}).items()},
            body=request.get("body"),
            status=response["status"],
            headers=response["headers"],
            text=response["text"],
        )
