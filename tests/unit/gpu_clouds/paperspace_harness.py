"""An emulated Paperspace without sockets, whose time passes when the client waits."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import httpx

from emulators.clock import EmulatedClock
from emulators.cloud import Frame
from emulators.faults import Faults
from emulators.http import CutConnection, Request, Response
from emulators.paperspace.cloud import BASE, Paperspace
from emulators.paperspace.settings import DEFAULT_KEY
from emulators.paperspace.trouble import FAULT_KINDS
from gpu_clouds.connection import Connection
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.models import Candidate, Instance, InstanceSpec, InstanceState, InstanceTemplate
from gpu_clouds.paperspace.cloud import PaperspaceCloud
from tests.unit.gpu_clouds.harness import FakeClock, Handler
from tests.unit.gpu_clouds.state_dirs import new_state_dir

ENDPOINT = "http://127.0.0.1:9"
STACK = "gp-p-abcdefgh-"
NAME = f"{STACK}web-0-1a2b3c4d"
OTHER = f"{STACK}web-1-1a2b3c4d"
A100 = Candidate("paperspace", "main", "us-east", "A100-80GB-SXM")
TEMPLATE = InstanceTemplate(
    image="vllm/vllm-openai:v0.11.0",
    ports=("22/tcp", "8000/http"),
    env={"VLLM_API_KEY": "it's a 'private' $VALUE\nof two lines"},
)


TABLE = "CREATE TABLE documents (owner TEXT, kind TEXT, id TEXT, text TEXT, PRIMARY KEY (owner, kind, id))"


def connection(clock: FakeClock, key: str = DEFAULT_KEY, endpoint: str = f"{ENDPOINT}{BASE}") -> Connection:
    return Connection(
        credentials=CredentialSet(
            "main", "paperspace", key, endpoint, f"{ENDPOINT}/paperspace/node/{{id}}-{{port}}"
        ),
        endpoint=endpoint,
        clock=clock,
        cancel=threading.Event(),
        may_send=lambda: None,
        state_dir=new_state_dir(),
    )


def scripted(net: Handler, clock: FakeClock | None = None) -> PaperspaceCloud:
    """A client whose network is a function."""
    return PaperspaceCloud(connection(clock or FakeClock()), httpx.MockTransport(net))


class World(httpx.BaseTransport):
    """The emulator, and clients of it. Whoever waits moves the emulator's time."""

    def __init__(self, **settings: Any) -> None:
        clock = EmulatedClock(0, start=1_795_248_000.0, real_time=lambda: 0.0)
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        database.execute(TABLE)
        self.frame = Frame(clock, Faults(FAULT_KINDS), database)
        self.emulated = Paperspace(self.frame)
        self.frame.settle = self.emulated.settle
        self.emulated.change_settings(settings)
        self.clock = FakeClock()
        self.clock.on_sleep = self.frame.advance
        self.sent: list[str] = []
        self.bodies: list[Any] = []
        self.before: Callable[[str], None] = lambda sent: None
        # The emulator is one event loop: it answers one request at a time.
        self._lock = threading.Lock()
        self.cloud = self.connect()

    def connect(self, key: str = DEFAULT_KEY) -> PaperspaceCloud:
        """Another process, as far as memory goes."""
        return PaperspaceCloud(connection(self.clock, key), self)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            return self._handle(request)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(BASE)
        self.before(f"{request.method} {path}")
        self.sent.append(f"{request.method} {path}")
        self.bodies.append(json.loads(request.read()) if request.read() else None)
        asked = Request(
            request.method,
            request.url.path,
            dict(request.url.params),
            {name.lower(): value for name, value in request.headers.items()},
            request.read(),
        )
        self.emulated.settle()
        try:
            answer = asyncio.run(self._answer(asked, request.extensions["timeout"]["read"]))
        except CutConnection:
            raise httpx.ReadError("cut", request=request) from None
        except TimeoutError:
            raise httpx.ReadTimeout("no answer", request=request) from None
        return httpx.Response(
            answer.status,
            headers={"content-type": answer.content_type, **answer.headers},
            content=answer.body,
        )

    async def _answer(self, asked: Request, patience_s: float) -> Response:
        """Time passes while the emulator lets a request wait, up to the client's time-out."""
        task = asyncio.ensure_future(self.emulated.handle(asked))
        waited = 0.0
        while True:
            for _ in range(10):
                await asyncio.sleep(0)
                if task.done():
                    answer = task.result()
                    assert isinstance(answer, Response)
                    return answer
            if waited >= patience_s:
                task.cancel()
                raise TimeoutError
            self.frame.advance(5)
            self.clock.now += 5
            waited += 5

    def pass_time(self, seconds: float) -> None:
        """Time passes for the client and the emulator alike."""
        self.clock.sleep(seconds)

    def fault(self, kind: str, **more: Any) -> None:
        self.frame.faults.add({"kind": kind, "count": 1, **more})

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """A call past the client."""
        headers = {"authorization": f"Bearer {DEFAULT_KEY}"}
        raw = b"" if body is None else json.dumps(body).encode()
        answer = asyncio.run(self.emulated.handle(Request(method, f"{BASE}{path}", {}, headers, raw)))
        assert isinstance(answer, Response)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def launch(self, name: str = NAME, **more: Any) -> Instance:
        return self.cloud.create(spec(name, **more))

    def ready(self, name: str = NAME, **more: Any) -> Instance:
        made = self.launch(name, **more)
        self.pass_time(200)
        seen = self.cloud.get(made.id)
        assert seen.state is InstanceState.READY, seen
        return seen

    @property
    def alive(self) -> int:
        count: int = self.emulated.state()["alive"]
        return count

    @property
    def objects(self) -> dict[str, int]:
        """What the team has besides machines, by family."""
        counts: dict[str, int] = self.emulated.state()["accounts"]["default"]["objects"]
        return counts

    @property
    def left(self) -> int:
        """Machines and everything else that costs or clutters."""
        return self.alive + sum(self.objects.values())


def spec(
    name: str = NAME, candidate: Candidate = A100, template: InstanceTemplate = TEMPLATE, **more: Any
) -> InstanceSpec:
    return InstanceSpec(name, candidate, template, **more)
