"""Calls the emulators in this process, with a clock that only moves when told to."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from emulators.app import Emulators
from emulators.clock import EmulatedClock
from emulators.http import Message, Scope
from emulators.runpod.settings import DEFAULT_KEY

EIGHT_OCLOCK = 1795248000.0
L4 = "NVIDIA L4"
H100 = "NVIDIA H100 80GB HBM3"


@dataclass
class Reply:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        return str(self.json()["detail"])

    def events(self) -> list[dict[str, str]]:
        """The server-sent events of the body, as field -> value."""
        blocks = [block for block in self.body.decode().split("\n\n") if block]
        return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


class Driver:
    """The emulators and a client in one."""

    def __init__(self, folder: Path | None = None, *, start: float = EIGHT_OCLOCK, **settings: Any) -> None:
        self._runner = asyncio.Runner()
        self._cuts: list[Scope] = []
        self.emulators = Emulators(
            folder, clock=EmulatedClock(0, start=start, real_time=lambda: 0.0), cut=self._cuts.append
        )
        self.runpod = self.emulators.runpod
        self.runpod.change_settings({"tcp_listeners": False, **settings})
        self._runner.run(self.emulators.start())

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self.emulators.close())
        self._runner.close()

    def crash(self) -> None:
        """Ends without saving anything, as `kill -9` does. The file is only closed."""
        self.emulators.frame.database.close()
        self._runner.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = DEFAULT_KEY,
        headers: dict[str, str] | None = None,
        advance: float = 0.0,
        leave: bool = False,
    ) -> Reply:
        """Sends one request; `advance`: moves time meanwhile; `leave`: does not wait for the answer."""
        return self._runner.run(self._call(method, path, body, key, headers or {}, advance, leave))

    def control(self, method: str, path: str, body: Any = None) -> Any:
        reply = self.call(method, f"/_emu/{path}", body, key=None)
        assert reply.status == 200, reply.body
        return reply.json()

    def advance(self, seconds: float) -> None:
        self.control("POST", "clock/advance", {"seconds": seconds})

    def fault(self, kind: str, **more: Any) -> str:
        return str(self.control("POST", "faults", {"kind": kind, **more})["id"])

    def create(self, name: str = "node", **more: Any) -> Any:
        reply = self.call("POST", "/v2/pods", pod_body(name, **more))
        assert reply.status == 201, reply.body
        return reply.json()

    def pods(self, **more: Any) -> list[Any]:
        reply = self.call("GET", "/v2/pods", **more)
        assert reply.status == 200, reply.body
        found: list[Any] = reply.json()["pods"]
        return found

    async def _call(
        self,
        method: str,
        path: str,
        body: Any,
        key: str | None,
        headers: dict[str, str],
        advance: float,
        leave: bool,
    ) -> Reply:
        sent = {"user-agent": "test/1", **({"authorization": f"Bearer {key}"} if key else {}), **headers}
        path, _, query = path.partition("?")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items() if v],
            "client": ("127.0.0.1", 1),
        }
        messages: list[Message] = [{"type": "http.request", "body": raw}]
        reply = Reply()

        async def receive() -> Message:
            if messages:
                return messages.pop()
            if leave:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                reply.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                reply.body += message["body"]

        task = asyncio.ensure_future(self.emulators(scope, receive, send))
        for _ in range(200 if advance else 0):
            await asyncio.sleep(0)
            if task.done():
                break
            self.emulators.frame.advance(advance)
        await task
        reply.cut = scope in self._cuts
        return reply


def pod_body(name: str = "node", gpu: str = L4, count: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": "vllm/vllm-openai:v0.11.0",
        "gpu": {"id": gpu, "count": count},
        "ports": ["22/tcp", "8000/http"],
        **more,
    }
