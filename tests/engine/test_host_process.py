"""The host's process by itself, driven as the engine drives it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from dynamic_providers.host import sdk
from tests.engine.harness import PROGRAMS
from tests.engine.host_process import HostProcess, partial_state

URN = "urn:pulumi:test::gpuplane::pulumi-python:dynamic/toy:Toy::"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    with HostProcess(PROGRAMS, env={"TOY_LOG": str(tmp_path / "toys.jsonl")}) as process:
        yield process


def resident_mb(host: HostProcess) -> float:
    status = Path(f"/proc/{host.process.pid}/status")
    if not status.exists():
        pytest.skip("needs /proc")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def test_a_thousand_creates_at_once_in_modest_memory(host: HostProcess) -> None:
    started = time.monotonic()
    props = {"name": "n", "mode": "slow", "seconds": 3.0}
    creates = [host.start_create(f"{URN}n{i}", props) for i in range(1000)]
    assert {create.result().id for create in creates} == {"id-n"}
    assert time.monotonic() - started < 30  # one after the other: 3000 s
    assert resident_mb(host) < 250


def test_a_lost_engine_ends_it_in_the_middle_of_a_create(host: HostProcess) -> None:
    create = host.start_create(URN + "a", {"name": "a", "mode": "wait-for-cancel"})
    host.lose_engine()
    assert host.wait(5) < 1
    with pytest.raises(grpc.RpcError):
        create.result()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_signal_of_the_engine_ends_it_at_once(host: HostProcess, number: signal.Signals) -> None:
    host.process.send_signal(number)
    assert host.wait(5) < 1
    assert host.process.returncode == 0


def test_nothing_but_the_port_is_written_to_stdout(host: HostProcess) -> None:
    host.create(URN + "a", {"name": "a", "mode": "chatty"})
    host.process.send_signal(signal.SIGINT)
    host.wait(5)
    assert host.process.stdout is not None
    assert host.process.stdout.read() == b""


def test_a_whole_life_without_an_engine(host: HostProcess) -> None:
    inputs = host.check(URN + "a", {"name": "a", "mode": "ok"})
    assert host.create(URN + "a", inputs, preview=True)[1]["price"] == 2.49
    id_, outs = host.create(URN + "a", inputs, timeout_s=7)
    assert (id_, outs["saw_timeout"]) == ("id-a", 7)
    news = {**inputs, "mode": "other"}
    answer = host.diff(URN + "a", id_, outs, news, inputs)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    foreseen = host.update(URN + "a", id_, outs, news, preview=True)
    assert (foreseen["mode"], foreseen["price"], foreseen["address"]) == ("other", 3, "192.0.2.1")
    assert "saw_timeout" not in foreseen
    outs = host.update(URN + "a", id_, outs, news)
    assert host.read(URN + "a", id_, outs)[1]["mode"] == "other"
    assert host.read(URN + "a", "id-gone", outs) == ("", {}, {})
    assert host.read(URN + "a", "id-imported", {})[2] == {"name": "imported", "mode": "ok"}
    host.delete(URN + "a", id_, outs)


def test_cancel_reaches_what_runs_and_what_comes_after_it(host: HostProcess) -> None:
    create = host.start_create(URN + "a", {"name": "a", "mode": "wait-for-cancel"})
    host.cancel()
    late = host.start_create(URN + "b", {"name": "b", "mode": "wait-for-cancel"})
    for each in (create, late):
        with pytest.raises(grpc.RpcError, match="cancelled: what was launched is deleted"):
            each.result()


def test_partial_state_is_in_the_details(host: HostProcess) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        host.create(URN + "a", {"name": "a", "mode": "partial"})
    kept = partial_state(caught.value)
    assert kept is not None
    assert (kept[0], kept[1]["address"], kept[2][0]) == ("id-half", "192.0.2.1", "launched but not ready")
    with pytest.raises(grpc.RpcError) as caught:
        host.create(URN + "a", {"name": "a", "mode": "bug"})
    assert partial_state(caught.value) is None


@pytest.mark.parametrize("method", ["GetSchema", "CheckConfig", "Invoke", "Handshake", "Construct"])
def test_what_dynamic_providers_lack_is_refused_without_noise(
    host: HostProcess, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    descriptor = provider_pb2.DESCRIPTOR.services_by_name["ResourceProvider"].methods_by_name[method]
    request = getattr(provider_pb2, descriptor.input_type.name)()
    with pytest.raises(grpc.RpcError) as caught:
        getattr(host.stub, method)(request)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert host.stub.GetPluginInfo(empty_pb2.Empty()).version
    assert "Traceback" not in capfd.readouterr().err


def test_values_keep_their_types(host: HostProcess) -> None:
    values = {"name": "a", "mode": "ok", "n": 1.5, "b": True, "l": [1, {"x": ["y"]}], "e": {}, "s": "ü\n"}
    assert host.check(URN + "a", values) == values
    # The pickled provider is made where the engine has none, so that the SDK's own host could go on.
    answer = host.stub.Read(provider_pb2.ReadRequest(urn=URN + "a", id="id-a"))
    blob = answer.properties.fields[sdk.PROVIDER_KEY].string_value
    assert blob and answer.inputs.fields[sdk.PROVIDER_KEY].string_value == blob
