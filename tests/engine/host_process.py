"""Drives our host without an engine: its own process, the engine's protocol, Python values in and out.

Good for many short cases, such as killing the process at a certain moment. What the engine does around it
(replace order, locks, pending operations) is not here: use `harness.Stack` for that.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from dynamic_providers.host import sdk
from dynamic_providers.host.secrets import decode
from tests.engine.harness import HOST

START_S = 30.0


class HostProcess:
    """One running host; a context manager that ends it.

    Args:
        folder: Folder of the program: where `dynamic-providers.json` and the program's packages are.
        env: Further environment variables.
        config: Configuration of the stack, with full keys (`gpuplane:stackId`).
    """

    def __init__(
        self, folder: Path, *, env: Mapping[str, str] | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [HOST / "pulumi-resource-pulumi-python", ""],
            cwd=folder,
            env={
                **os.environ,
                "PULUMI_RUNTIME_VIRTUALENV": sys.prefix,
                "PULUMI_PROJECT": "gpuplane",
                **(env or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], START_S)[0]:
            self.kill()
            raise AssertionError(f"the host wrote no port within {START_S:.0f} s")
        self.port = int(self.process.stdout.readline())
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=list(sdk.CHANNEL_OPTIONS))
        self.stub = provider_pb2_grpc.ResourceProviderStub(self.channel)
        self.stub.Configure(provider_pb2.ConfigureRequest(args=sdk.to_struct(config or {})))

    def __enter__(self) -> HostProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    # -- operations

    def check(
        self, urn: str, news: Mapping[str, Any], olds: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The checked inputs; raises AssertionError with the failures, if there are any."""
        answer = self.stub.Check(
            provider_pb2.CheckRequest(urn=urn, news=sdk.to_struct(news), olds=sdk.to_struct(olds or {}))
        )
        assert not answer.failures, [(failure.property, failure.reason) for failure in answer.failures]
        return _plain(answer.inputs)

    def create(
        self, urn: str, props: Mapping[str, Any], *, preview: bool = False, timeout_s: float = 0.0
    ) -> tuple[str, dict[str, Any]]:
        """(id, outputs)."""
        answer = self.start_create(urn, props, preview=preview, timeout_s=timeout_s).result()
        return answer.id, _plain(answer.properties)

    def start_create(
        self, urn: str, props: Mapping[str, Any], *, preview: bool = False, timeout_s: float = 0.0
    ) -> Any:
        """A create in the background: a gRPC future of the raw answer."""
        request = provider_pb2.CreateRequest(
            urn=urn, properties=sdk.to_struct(props), preview=preview, timeout=timeout_s
        )
        return self.stub.Create.future(request)

    def diff(
        self,
        urn: str,
        id_: str,
        olds: Mapping[str, Any],
        news: Mapping[str, Any],
        old_inputs: Mapping[str, Any],
    ) -> provider_pb2.DiffResponse:
        """The raw answer to a diff of old outputs and new inputs."""
        request = provider_pb2.DiffRequest(
            urn=urn,
            id=id_,
            olds=sdk.to_struct(olds),
            news=sdk.to_struct(news),
            old_inputs=sdk.to_struct(old_inputs),
        )
        answer: provider_pb2.DiffResponse = self.stub.Diff(request)
        return answer

    def update(
        self, urn: str, id_: str, olds: Mapping[str, Any], news: Mapping[str, Any], *, preview: bool = False
    ) -> dict[str, Any]:
        """The outputs."""
        request = provider_pb2.UpdateRequest(
            urn=urn, id=id_, olds=sdk.to_struct(olds), news=sdk.to_struct(news), preview=preview
        )
        return _plain(self.stub.Update(request).properties)

    def read(
        self, urn: str, id_: str, props: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """(id, outputs, inputs); the id is empty when the resource is gone."""
        answer = self.stub.Read(provider_pb2.ReadRequest(urn=urn, id=id_, properties=sdk.to_struct(props)))
        return answer.id, _plain(answer.properties), _plain(answer.inputs)

    def delete(self, urn: str, id_: str, props: Mapping[str, Any]) -> None:
        """Delete a resource with these outputs."""
        self.stub.Delete(provider_pb2.DeleteRequest(urn=urn, id=id_, properties=sdk.to_struct(props)))

    def cancel(self) -> None:
        """What the engine sends after ^C."""
        self.stub.Cancel(empty_pb2.Empty())

    # -- the process

    def kill(self) -> None:
        """kill -9."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        if hasattr(self, "channel"):
            self.channel.close()

    def lose_engine(self) -> None:
        """What the host sees of its engine's death: nobody reads its stdout any more."""
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wait(self, timeout_s: float) -> float:
        """Wait for the process to end; the seconds that took."""
        started = time.monotonic()
        self.process.wait(timeout_s)
        return time.monotonic() - started


def partial_state(error: grpc.RpcError) -> tuple[str, dict[str, Any], list[str]] | None:
    """(id, outputs, reasons) that a failed operation asks the engine to keep; None when it keeps nothing."""
    trailers: Iterable[tuple[str, bytes]] = cast(Any, error).trailing_metadata() or ()
    for key, value in trailers:
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            detail = provider_pb2.ErrorResourceInitFailed()
            if status.details and status.details[0].Unpack(detail):
                return detail.id, _plain(detail.properties), list(detail.reasons)
    return None


def _plain(struct: Any) -> dict[str, Any]:
    values, _ = decode(struct)
    return {key: value for key, value in values.items() if key != sdk.PROVIDER_KEY}
