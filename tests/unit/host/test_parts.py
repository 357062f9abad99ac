from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest
from pulumi.dynamic import ConfigureRequest, ResourceProvider

from dynamic_providers.host import call as calls
from dynamic_providers.host import errors, fence, messages, registry, sdk, secrets
from dynamic_providers.host.call import (
    Call,
    as_current,
    current_call,
    progress,
    set_progress_sink,
    type_token,
)
from dynamic_providers.host.messages import EngineLog, PrintStream
from dynamic_providers.host.providers import Providers
from dynamic_providers.host.registry import RegistryError
from dynamic_providers.host.results import PartialState
from dynamic_providers.host.secrets import Secrets
from gpu_clouds.errors import CapacityError

URN = "urn:pulumi:dev::shop::my:Group$pulumi-python:dynamic/gpu:GpuNode::node-1"

# -- the current call


def test_outside_the_host_there_is_a_default() -> None:
    call = current_call()
    assert (call.urn, call.preview, call.timeout_s, call.hosted, call.name) == ("", False, None, False, "")
    assert not call.cancel.is_set()


def test_a_call_belongs_to_its_thread() -> None:
    seen: list[bool] = []
    with as_current(Call(urn=URN, hosted=True)) as call:
        thread = threading.Thread(target=lambda: seen.append(current_call().hosted))
        thread.start()
        thread.join()
        assert current_call() is call
        assert (call.name, call.resource_type) == ("node-1", "pulumi-python:dynamic/gpu:GpuNode")
    assert seen == [False]
    assert not current_call().hosted


@pytest.mark.parametrize(
    ("urn", "token"),
    [
        (URN, "pulumi-python:dynamic/gpu:GpuNode"),
        (
            "urn:pulumi:dev::shop::pulumi-python:dynamic/gpu:GpuNode::a::b",
            "pulumi-python:dynamic/gpu:GpuNode",
        ),
        ("", ""),
    ],
)
def test_type_token(urn: str, token: str) -> None:
    assert type_token(urn) == token


def test_progress_goes_to_the_host_or_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    progress("alone")
    assert capsys.readouterr() == ("", "alone\n")
    sent: list[tuple[str, str, bool]] = []
    set_progress_sink(lambda call, message, keep: sent.append((call.name, message, keep)))
    try:
        with as_current(Call(urn=URN)):
            progress("one")
        progress("two", keep=True, call=Call(urn=URN))
    finally:
        set_progress_sink(None)
    assert sent == [("node-1", "one", False), ("node-1", "two", True)]


def test_progress_survives_a_closed_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    progress("nobody hears")
    assert calls._sink is None


# -- results


@pytest.mark.parametrize(("id_", "reasons"), [("", ["why"]), ("i-1", [])])
def test_a_partial_state_needs_an_id_and_a_reason(id_: str, reasons: list[str]) -> None:
    with pytest.raises(ValueError, match="partial state"):
        PartialState(id_, {}, reasons)


def test_partial_state_reads_as_its_reasons() -> None:
    assert str(PartialState("i-1", {}, "one")) == "one"
    assert str(PartialState("i-1", {}, ["one", "two"])) == "one\ntwo"


# -- errors


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CapacityError("no H100 free"), "no H100 free"),
        (CapacityError("head\n  attempt 1\n  attempt 2"), "head\n  attempt 1\n  attempt 2"),
        (PartialState("i-1", {}, "half"), "half"),
        (RegistryError("not there"), "not there"),
        (KeyError("spec"), "KeyError: 'spec'"),
        (ValueError("two\n   lines"), "ValueError: two lines"),
        (RuntimeError(), "RuntimeError"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_describe(error: BaseException, text: str) -> None:
    assert errors.describe(error) == text


def test_an_endless_message_is_cut() -> None:
    assert len(errors.describe(ValueError("x" * 100_000))) < errors.MAX_LINE + 20


def test_tracebacks_are_for_bugs_and_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    assert errors.debug_trace(KeyError("a")) == ""
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    assert "KeyError" in errors.debug_trace(KeyError("a"))
    assert errors.debug_trace(CapacityError("a")) == ""


# -- registry and providers


class Recorder(ResourceProvider):
    made: ClassVar[list[Recorder]] = []
    configured: ClassVar[list[Any]] = []
    fail: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        Recorder.made.append(self)

    def configure(self, req: ConfigureRequest) -> None:
        if Recorder.fail:
            raise CapacityError("not now")
        Recorder.configured.append(req.config.require("key"))


NotAProvider = str
TOKEN = "pulumi-python:dynamic/test:Recorder"


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Recorder.made.clear()
    Recorder.configured.clear()
    monkeypatch.setattr(Recorder, "fail", False)
    monkeypatch.setitem(sys.modules, "recorder_module", sys.modules[__name__])
    monkeypatch.chdir(tmp_path)
    (tmp_path / registry.PROGRAM_FILE).write_text(f'{{"{TOKEN}": "recorder_module:Recorder"}}')
    return tmp_path / registry.PROGRAM_FILE


def test_a_program_lists_its_own_providers(listed: Path) -> None:
    assert registry.find(TOKEN) is Recorder
    assert registry.find("pulumi-python:dynamic/test:Other") is None


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere:Recorder", "should be at nowhere:Recorder: No module named 'nowhere'"),
        ("recorder_module:Missing", "should be at recorder_module:Missing"),
        ("recorder_module:NotAProvider", "is not a pulumi.dynamic.ResourceProvider"),
        ("recorder_module", "should be at recorder_module"),
    ],
)
def test_a_wrong_place_is_named(listed: Path, place: str, message: str) -> None:
    listed.write_text(f'{{"{TOKEN}": "{place}"}}')
    with pytest.raises(RegistryError, match=message):
        registry.find(TOKEN)


@pytest.mark.parametrize("text", ["[", "[]", '{"a": 1}'])
def test_a_list_that_is_not_valid_is_named(listed: Path, text: str) -> None:
    listed.write_text(text)
    with pytest.raises(RegistryError, match=registry.PROGRAM_FILE):
        registry.find(TOKEN)


def test_released_tokens_stay() -> None:
    assert {"pulumi-python:dynamic/gpu:GpuNode", "pulumi-python:dynamic/gpu:LeakGuard"} <= set(
        registry.PROVIDERS
    )


def test_a_provider_is_made_and_configured_once(listed: Path) -> None:
    providers = Providers("shop")
    providers.set_config({"shop:key": "value"})
    found: list[ResourceProvider] = []
    threads = [threading.Thread(target=lambda: found.append(providers.get(TOKEN, None))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(map(id, found))) == len(Recorder.made) == 1
    assert Recorder.configured == ["value"]
    # The pickle does not matter for a listed token.
    assert providers.get(TOKEN, "no pickle") is found[0]


def test_a_configure_that_failed_is_tried_again(listed: Path) -> None:
    providers = Providers("shop")
    providers.set_config({"shop:key": "value"})
    Recorder.fail = True
    with pytest.raises(CapacityError):
        providers.get(TOKEN, None)
    Recorder.fail = False
    assert providers.get(TOKEN, None)
    assert Recorder.configured == ["value"]


def test_a_token_that_is_not_listed_uses_the_pickle(listed: Path) -> None:
    providers = Providers("shop")
    blob = sdk.pickle_provider(ResourceProvider())
    first = providers.get("pulumi-python:dynamic/test:Other", blob)
    assert type(first) is ResourceProvider
    assert providers.get("pulumi-python:dynamic/test:Third", blob) is first
    with pytest.raises(RegistryError, match=r"no provider is known for pulumi-python:dynamic/test:Other"):
        providers.get("pulumi-python:dynamic/test:Other", None)


# -- the fence


class Ended(BaseException):
    pass


def end() -> NoReturn:
    raise Ended


def test_the_fence_sees_the_pipe_close() -> None:
    reading, writing = os.pipe()
    guard = fence.Fence(writing, os.getppid(), end)
    assert guard.engine_lives()
    guard.check()
    os.close(reading)
    assert not guard.engine_lives()
    with pytest.raises(Ended):
        guard.check()
    os.close(writing)


def test_the_fence_sees_another_parent() -> None:
    reading, writing = os.pipe()
    guard = fence.Fence(writing, os.getppid() + 1, end)
    with pytest.raises(Ended):
        guard.check()
    os.close(reading)
    os.close(writing)


def test_the_watch_ends_the_process_at_once() -> None:
    reading, writing = os.pipe()
    ended = threading.Event()

    def note() -> NoReturn:
        ended.set()
        threading.Event().wait()  # a daemon thread: it ends with the tests
        raise AssertionError

    fence.Fence(writing, os.getppid(), note).watch()
    assert not ended.is_set()
    os.close(reading)
    assert ended.wait(5)
    os.close(writing)


def test_without_a_host_there_is_no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    fence.check()
    reading, writing = os.pipe()
    os.close(reading)
    fence.arm(fence.Fence(writing, os.getppid(), end))
    try:
        with pytest.raises(Ended):
            fence.check()
    finally:
        fence.arm(None)
        os.close(writing)


# -- prints


def test_lines_of_threads_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(messages, "write_stderr", written.append)
    found, told = Secrets(), Secrets()
    found.add_text("hidden-text")
    told.add_text("told-text")
    monkeypatch.setattr(secrets, "_concealed", told)
    stream = PrintStream(EngineLog("", found))
    assert stream.writable()
    print("first half ", end="", file=stream)
    thread = threading.Thread(target=lambda: print("other thread", file=stream))
    thread.start()
    thread.join()
    print("second half, hidden-text told-text\n\n", file=stream)
    assert written == ["other thread\n", "first half second half, [secret] [secret]\n"]


def test_messages_to_a_dead_engine_neither_fail_nor_block(monkeypatch: pytest.MonkeyPatch) -> None:
    written = threading.Event()
    monkeypatch.setattr(messages, "write_stderr", lambda text: written.set())
    log = EngineLog("127.0.0.1:1", Secrets())
    log.send(Call(urn=URN), "hello", False)
    assert written.wait(10)
    log.flush(URN)
    log.flush("another")
