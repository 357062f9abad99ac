"""One process of the provider host, spoken to as the engine does: stdout pipe, gRPC."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc, status_pb2

from tests.crash.forked_host import ROOT, Forker

HOST_FOLDER = ROOT / "dynamic_providers" / "host"
SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
CALL_TIMEOUT_S = 60.0

Properties = struct_pb2.Struct


class HostDiedError(Exception):
    """The host ended in the middle of a call."""


class StepFailedError(Exception):
    """The host answered with an error.

    Args:
        message: What the user would read.
        partial: Id, outputs and inputs that the engine keeps all the same; None: nothing.
    """

    def __init__(self, message: str, partial: provider_pb2.ErrorResourceInitFailed | None = None) -> None:
        super().__init__(message)
        self.partial = partial


@dataclass(frozen=True, slots=True)
class Diff:
    """What the host says about old and new."""

    changes: bool
    replaces: tuple[str, ...]
    delete_before_replace: bool


def secret(value: object) -> dict[str, object]:
    """A value marked as secret, as it travels to a host that accepts secrets."""
    return {SIGNATURE_KEY: SECRET_SIGNATURE, "value": value}


def to_struct(values: Mapping[str, Any]) -> Properties:
    """Plain values as they travel."""
    struct = Properties()
    struct.update(dict(values))
    return struct


def to_plain(struct: Properties) -> dict[str, Any]:
    """What travelled, with secrets opened."""
    return {key: _open(value) for key, value in json_format.MessageToDict(struct).items()}


def _open(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(SIGNATURE_KEY) == SECRET_SIGNATURE:
            return _open(value["value"])
        return {key: _open(inner) for key, inner in value.items()}
    return [_open(inner) for inner in value] if isinstance(value, list) else value


class _EngineSide(engine_pb2_grpc.EngineServicer):
    """The engine's own server, as far as a host uses it: it keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def Log(self, request: Any, context: Any) -> Any:
        self.messages.append(request.message)
        return empty_pb2.Empty()

    def GetRootResource(self, request: Any, context: Any) -> Any:
        return engine_pb2.GetRootResourceResponse()


class Host:
    """A host process that waits for calls.

    Args:
        forker: Starts it.
        environment: Its environment.
        folder: The project folder: its working directory, and where its stderr is kept.
    """

    def __init__(self, forker: Forker, environment: Mapping[str, str], folder: Path) -> None:
        self._engine_side = _EngineSide()
        self._engine_server = grpc.server(futures.ThreadPoolExecutor(2))
        engine_pb2_grpc.add_EngineServicer_to_server(self._engine_side, self._engine_server)
        self._engine_address = f"127.0.0.1:{self._engine_server.add_insecure_port('127.0.0.1:0')}"
        self._engine_server.start()
        self._folder = folder
        self._stderr_path = folder / f"host-{time.monotonic_ns()}.log"
        with self._stderr_path.open("wb") as stderr:
            self._process = forker.start(self._engine_address, environment, folder, stderr.fileno())
        self._channel: grpc.Channel | None = None
        self.accepts_secrets = False
        self._closed = False

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def messages(self) -> list[str]:
        """What the host told the engine to show."""
        return self._engine_side.messages

    def output(self) -> str:
        """The end of its stderr, for a failure message."""
        return self._stderr_path.read_text(errors="replace")[-3000:]

    def connect(self, config: Mapping[str, object]) -> None:
        """Waits for the port, shakes hands and configures.

        Args:
            config: The project's configuration, decrypted: `project:key` -> text (JSON for an object), or
                `secret(text)` for what holds a secret value.
        """
        ready, _, _ = select.select([self._process.stdout], [], [], 30)
        line = os.read(self._process.stdout, 100) if ready else b""
        if not line.strip().isdigit():
            raise AssertionError(f"the host gave no port but {line!r}\n{self.output()}")
        options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.enable_http_proxy", 0)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{int(line)}", options)
        with contextlib.suppress(StepFailedError):  # older hosts do not know it; the engine lives with that
            self._call(
                "Handshake",
                provider_pb2.ProviderHandshakeRequest(
                    engine_address=self._engine_address,
                    root_directory=str(HOST_FOLDER),
                    program_directory=str(HOST_FOLDER),
                    configure_with_urn=True,
                    sends_old_outputs_to_check=True,
                ),
            )
        answer = self._call(
            "Configure",
            provider_pb2.ConfigureRequest(
                variables={f"pulumi-python:config:{key}": _open(value) for key, value in config.items()},
                args=to_struct(config),
                urn="urn:pulumi:dev::gpuplane::pulumi:providers:pulumi-python::default",
                name="default",
                type="pulumi:providers:pulumi-python",
                acceptSecrets=True,
                acceptResources=True,
                sends_old_inputs=True,
                sends_old_inputs_to_delete=True,
            ),
        )
        self.accepts_secrets = answer.acceptSecrets

    def check(self, urn: str, olds: Properties | None, news: Properties) -> Properties:
        """Validates inputs; raises StepFailedError where the host refuses them."""
        answer = self._call("Check", provider_pb2.CheckRequest(**_named(urn), olds=olds, news=news))
        if answer.failures:
            raise StepFailedError("; ".join(f"{one.property}: {one.reason}" for one in answer.failures))
        inputs: Properties = answer.inputs
        return inputs

    def diff(self, urn: str, id_: str, old_inputs: Properties, olds: Properties, news: Properties) -> Diff:
        """Compares the state with new inputs."""
        request = provider_pb2.DiffRequest(**_named(urn), id=id_, olds=olds, news=news, old_inputs=old_inputs)
        answer = self._call("Diff", request)
        changes = answer.changes == provider_pb2.DiffResponse.DIFF_SOME or bool(answer.replaces)
        return Diff(changes, tuple(answer.replaces), answer.deleteBeforeReplace)

    def create(self, urn: str, inputs: Properties) -> tuple[str, Properties]:
        """Creates; gives id and outputs."""
        answer = self._call("Create", provider_pb2.CreateRequest(**_named(urn), properties=inputs, timeout=0))
        return answer.id, answer.properties

    def update(
        self, urn: str, id_: str, old_inputs: Properties, olds: Properties, news: Properties
    ) -> Properties:
        """Updates in place; gives the outputs."""
        request = provider_pb2.UpdateRequest(
            **_named(urn), id=id_, olds=olds, news=news, old_inputs=old_inputs
        )
        outputs: Properties = self._call("Update", request).properties
        return outputs

    def read(
        self, urn: str, id_: str, inputs: Properties, olds: Properties
    ) -> tuple[str, Properties, Properties]:
        """Refreshes; gives id (empty: gone), inputs and outputs."""
        request = provider_pb2.ReadRequest(**_named(urn), id=id_, properties=olds, inputs=inputs)
        answer = self._call("Read", request)
        return answer.id, answer.inputs, answer.properties

    def delete(self, urn: str, id_: str, inputs: Properties, olds: Properties) -> None:
        """Deletes."""
        request = provider_pb2.DeleteRequest(**_named(urn), id=id_, properties=olds, old_inputs=inputs)
        self._call("Delete", request)

    def kill(self) -> None:
        """Kill -9, at once."""
        self._process.kill()

    def lose_engine(self, timeout_s: float = 3.0) -> bool:
        """Dies like a killed engine: its pipe and server are gone. Gives whether the host then ended."""
        self._engine_server.stop(0)
        self._process.close_stdout()
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Ends the host as the engine does at the end of a run, and by force if need be."""
        if self._closed:
            return
        self._closed = True
        if self._channel is not None:
            self._channel.close()
        self._process.close()
        self._engine_server.stop(0)

    def _call(self, method: str, request: Any) -> Any:
        assert self._channel is not None, "connect first"
        stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        try:
            return getattr(stub, method)(request, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            call: Any = error
            code = call.code()
            if code is grpc.StatusCode.UNAVAILABLE or (
                code is grpc.StatusCode.UNKNOWN and "Stream removed" in (call.details() or "")
            ):
                raise HostDiedError(f"{method}: {call.details()}") from None
            raise StepFailedError(f"{method}: {call.details()}", _partial_of(call)) from None


def _named(urn: str) -> dict[str, Any]:
    _, _, type_chain, name = urn.split("::")
    return {"urn": urn, "name": name, "type": type_chain.rpartition("$")[2]}


def _partial_of(call: Any) -> provider_pb2.ErrorResourceInitFailed | None:
    for key, value in call.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                partial = provider_pb2.ErrorResourceInitFailed()
                if detail.Unpack(partial):
                    return partial
    return None


def host_environment(**extra: str) -> dict[str, str]:
    """What the engine's child would inherit here, plus `extra`; no configuration of this machine's user."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PULUMI_PROJECT": "gpuplane",
        "PULUMI_CONFIG": "{}",
        "PYTHONWARNINGS": "ignore",
        **extra,
    }
