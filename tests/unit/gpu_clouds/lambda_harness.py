"""A Lambda connection whose network is a function, or an emulated Lambda in this process."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from emulators.clock import EmulatedClock
from emulators.cloud import Frame
from emulators.faults import Faults
from emulators.http import Answer, CutConnection, Request, Response
from emulators.lambda_cloud.cloud import Lambda
from emulators.lambda_cloud.settings import DEFAULT_KEY
from emulators.lambda_cloud.trouble import FAULT_KINDS
from emulators.store import open_database
from gpu_clouds.connection import Connection
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.lambda_cloud.cloud import LambdaCloud
from gpu_clouds.models import Candidate, InstanceSpec, InstanceTemplate
from tests.unit.gpu_clouds.harness import FakeClock, Handler, Net, answer
from tests.unit.gpu_clouds.state_dirs import new_state_dir

KEY = "secret_" + "l4mBda" * 6
STACK = "abcdefgh"
NAME = f"gp-p-{STACK}-web-0-1a2b3c4d"
A10 = Candidate("lambda", "main", "us-east", "A10")
TEMPLATE = InstanceTemplate(
    image="vllm/vllm-openai:v0.11.0", ports=("22/tcp", "8000/http"), ssh_public_keys=("ssh-ed25519 AAAA me",)
)
SPEC = InstanceSpec(NAME, A10, TEMPLATE)
TYPE: dict[str, Any] = {
    "name": "gpu_1x_a10",
    "description": "1x A10 (24 GB PCIe)",
    "gpu_description": "A10 (24 GB PCIe)",
    "price_cents_per_hour": 129,
    "specs": {"vcpus": 30, "memory_gib": 200, "storage_gib": 1434, "gpus": 1},
}
MACHINE: dict[str, Any] = {
    "id": "0920582c7ff041399e34823a0be62549",
    "name": NAME,
    "ip": "198.51.100.2",
    "private_ip": "10.19.60.24",
    "status": "active",
    "ssh_key_names": ["mine"],
    "file_system_names": [],
    "file_system_mounts": [],
    "region": {"name": "us-east-1", "description": "Virginia, USA"},
    "instance_type": TYPE,
    "hostname": "web-0",
    "jupyter_token": "53968f128c4a4489b688c2c0a181d083",
    "jupyter_url": "https://jupyter-0920582c.example/?token=53968f128c4a4489b688c2c0a181d083",
    "actions": {},
    "tags": [
        {"key": "gpuplane-marker", "value": NAME},
        {"key": "gpuplane-ports-0", "value": "22/tcp,8000/http"},
    ],
    "firewall_rulesets": [],
}


def data(value: Any) -> httpx.Response:
    return answer(200, {"data": value})


def refusal(status: int, code: str, message: str = "No.", **more: Any) -> httpx.Response:
    return answer(status, {"error": {"code": code, "message": message, **more}})


def types(*regions: str, **more: Any) -> httpx.Response:
    free = [{"name": region, "description": ""} for region in regions]
    return data({"gpu_1x_a10": {"instance_type": TYPE, "regions_with_capacity_available": free}, **more})


def keys(*texts: str) -> httpx.Response:
    return data([{"id": f"k{i}", "name": f"key-{i}", "public_key": text} for i, text in enumerate(texts)])


def lambda_connection(
    clock: Any = None,
    *,
    key: str = KEY,
    endpoint: str = "https://cloud.lambda.ai/api/v1",
    cancel: threading.Event | None = None,
    state_dir: Path | None = None,
    proxy_template: str = "",
    allowed_sources: tuple[str, ...] = (),
) -> Connection:
    return Connection(
        credentials=CredentialSet(
            "main", "lambda", key, endpoint, proxy_template, allowed_sources=allowed_sources
        ),
        endpoint=endpoint,
        clock=clock or FakeClock(),
        cancel=cancel or threading.Event(),
        may_send=lambda: None,
        state_dir=state_dir or new_state_dir(),
    )


def lambda_cloud(net: Handler, clock: FakeClock | None = None, **options: Any) -> LambdaCloud:
    return LambdaCloud(lambda_connection(clock, **options), httpx.MockTransport(net))


def ready_to_launch(*after: Any, regions: tuple[str, ...] = ("us-east-1",)) -> Net:
    """A network with one free type and the key of TEMPLATE; then what a test adds."""
    return Net(types(*regions), keys("ssh-ed25519 AAAA other-comment"), *after)


class FrameClock(FakeClock):
    """The client's clock and the emulator's are one: waiting moves both."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self._frame = frame

    def time(self) -> float:
        return self._frame.clock.now()

    def monotonic(self) -> float:
        return self._frame.clock.now()

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> None:
        super().sleep(seconds, cancel)
        self._frame.clock.advance(max(0.0, seconds))


class Wire(httpx.BaseTransport):
    """Hands requests to an emulated Lambda; an answer that never comes is a time-out."""

    def __init__(self, emulated: Lambda, frame: Frame) -> None:
        self._emulated = emulated
        self._frame = frame
        self._lock = threading.Lock()
        self.sent: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked = Request(
            request.method,
            request.url.path,
            dict(request.url.params),
            {name.lower(): value for name, value in request.headers.items()},
            request.read(),
        )
        with self._lock:
            self.sent.append(f"{request.method} {request.url.path.removeprefix('/api/v1')}")
            self._emulated.settle()
            try:
                reply = asyncio.run(self._answer(asked))
            except CutConnection:
                raise httpx.ReadError("cut", request=request) from None
        assert isinstance(reply, Response)
        headers = {"content-type": reply.content_type, **reply.headers}
        return httpx.Response(reply.status, headers=headers, content=reply.body)

    async def _answer(self, asked: Request) -> Answer:
        """The answer; time passes while there is none."""
        task = asyncio.ensure_future(self._emulated.handle(asked))
        while not task.done():
            await asyncio.sleep(0)
            if not task.done():
                self._frame.clock.advance(10)
        return task.result()


@dataclass
class EmulatedLambda:
    """An emulated Lambda, the clock of both sides, and clients for it."""

    frame: Frame
    cloud: Lambda
    clock: FrameClock
    state_dir: Path

    @classmethod
    def start(cls, state_dir: Path, **settings: Any) -> EmulatedLambda:
        clock = EmulatedClock(0, start=1_795_248_000.0, real_time=lambda: 0.0)
        frame = Frame(clock, Faults(FAULT_KINDS), open_database(None))
        emulated = Lambda(frame)
        emulated.change_settings(settings)
        return cls(frame, emulated, FrameClock(frame), state_dir)

    def connect(self, key: str = DEFAULT_KEY, **options: Any) -> tuple[LambdaCloud, Wire]:
        wire = Wire(self.cloud, self.frame)
        options = {"proxy_template": "http://127.0.0.1:7/lambda/{id}-{port}", **options}
        options.setdefault("state_dir", self.state_dir)
        endpoint = "http://127.0.0.1:7/api/v1"
        connection = lambda_connection(self.clock, key=key, endpoint=endpoint, **options)
        return LambdaCloud(connection, wire), wire

    def fault(self, kind: str, **more: Any) -> None:
        self.frame.faults.add({"kind": kind, **more})

    def account(self, name: str = "default") -> Any:
        return self.cloud.state()["accounts"][name]


def call(emulated: Lambda, method: str, path: str, body: bytes = b"", key: str = DEFAULT_KEY) -> Response:
    """One request to an emulated Lambda."""
    headers = {"authorization": f"Bearer {key}"}
    reply = asyncio.run(emulated.handle(Request(method, f"/api/v1{path}", {}, headers, body)))
    assert isinstance(reply, Response)
    return reply
