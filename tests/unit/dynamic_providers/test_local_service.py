"""LocalService without an engine: rules, differences, outputs; one start and one end with a real process."""

from __future__ import annotations

import os
import platform
import socket
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from pulumi.output import Unknown

from dynamic_providers.generated_secret import GeneratedSecretProvider
from dynamic_providers.host.call import Call, as_current, set_progress_sink
from dynamic_providers.host.results import Kind, PartialState
from dynamic_providers.local_service import LocalServiceProvider, end_services, services_root
from dynamic_providers.local_service_inputs import STEERING, ServiceInputs
from gpu_clouds.errors import ValidationError
from local_services.processes import identify
from local_services.service import Service
from tests.unit.dynamic_providers.memory_cloud import STACK, MemoryCloud, shared_with

UNKNOWN: Any = Unknown()  # type: ignore[no-untyped-call]  # of the SDK
URN = "urn:pulumi:dev::my project::pulumi-python:dynamic/local:LocalService::web"


@pytest.fixture
def provider() -> LocalServiceProvider:
    made = LocalServiceProvider()
    made._shared = shared_with(MemoryCloud())
    return made


@pytest.fixture
def told():
    """What was told."""
    lines: list[str] = []
    set_progress_sink(lambda call, text, keep: lines.append(text))
    yield lines
    set_progress_sink(None)


def service(**more: Any) -> dict[str, Any]:
    return {"service": "web", "command": ["{python}", "-m", "http.server"], **more}


def failures(provider: LocalServiceProvider, **more: Any) -> list[str]:
    return [each.reason for each in provider.check({}, service(**more)).failures]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"command": []}, "command: name a program"),
        ({"command": [""]}, "command: name a program"),
        ({"service": "Web"}, "service: must be lower-case letters, digits and '-', at most 48 characters"),
        ({"service": "../x"}, "service: must be lower-case letters, digits and '-', at most 48 characters"),
        ({"cwd": "here"}, "cwd: must be an absolute path, not 'here'"),
        ({"logFile": "x.log"}, "logFile: must be an absolute path, not 'x.log'"),
        ({"healthUrl": "ftp://x"}, "healthUrl: must be a URL with http or https"),
        ({"healthUrl": "http://x:99999"}, "healthUrl: is no URL"),
        ({"healthUrl": "http://me:word@x"}, "healthUrl: must hold no password"),
        ({"files": {"a": "b"}}, "files: are written below `home`: name one"),
        ({"files": {"../a": "b"}, "home": "home"}, "files: '../a' must be a path below `home`"),
        ({"files": {"/a": "b"}, "home": "home"}, "files: '/a' must be a path below `home`"),
        ({"home": "../x"}, "home: must be an absolute path, or one inside the service's folder: '../x'"),
        ({"env": {"A=B": "x"}}, "env: 'A=B' is no name of an environment variable"),
        (
            {"healthPort": 1.0, "healthUrl": "http://127.0.0.1:1"},
            "healthPort: name a health URL or a health port, not both",
        ),
        ({"portHolders": [70000.0]}, "portHolders[0]: must be less than or equal to 65535"),
        ({"heathPort": 1.0}, "heathPort: unknown input; did you mean 'healthPort'?"),
        ({"stopGraceS": -1.0}, "stopGraceS: must be greater than or equal to 0"),
    ],
)
def test_a_broken_rule_is_one_clear_line(provider, more, said):
    assert failures(provider, **more) == [said]


def test_a_good_one_is_normalised(provider):
    result = provider.check({}, service(healthPort=8000.0, stopGraceS=10.0, env={"A": "b"}))
    assert result.failures == []
    assert result.inputs == service(healthPort=8000, env={"A": "b"})


def test_what_is_not_known_yet_is_let_through(provider):
    result = provider.check({}, service(env={"A": UNKNOWN}, command=["x", UNKNOWN]))
    assert result.failures == []
    assert result.inputs["env"] == {"A": UNKNOWN}


def outs(**more: Any) -> dict[str, Any]:
    folder = str(services_root() / STACK / "web")
    computed = {
        "pid": 7.0,
        "startedAt": "x",
        "url": "",
        "state": "running",
        "machine": platform.node(),
        "folder": folder,
        "logFile": f"{folder}/service.log",
    }
    return {**service(), **computed, **more}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, {}),
        ({}, {"env": {"A": "b"}}, {"env": Kind.ADD}),
        ({"logFile": "/x/y.log"}, {"logFile": "/x/y.log"}, {}),
        ({"logFile": "/x/y.log"}, {}, {"logFile": Kind.DELETE}),
        ({}, {"logFile": "/x/y.log"}, {"logFile": Kind.ADD}),
        ({}, {"service": "other"}, {"service": Kind.UPDATE_REPLACE}),
        ({}, {"replaceTrigger": "2"}, {"replaceTrigger": Kind.ADD_REPLACE}),
        ({"state": "gone"}, {}, {"state": Kind.UPDATE}),
        ({"state": "unhealthy"}, {"cwd": "/x"}, {"state": Kind.UPDATE, "cwd": Kind.ADD}),
    ],
)
def test_differences(provider, old, new, expected):
    assert provider.diff("id", outs(**old), service(**new)).detailed == expected


def test_what_stays_known_through_an_update(provider):
    steering = provider.update_preview("id", outs(), service(stopGraceS=1, healthPort=81))
    assert (steering["pid"], steering["state"]) == (7.0, "running")
    assert steering["url"] == "http://127.0.0.1:81"
    restarted = provider.update_preview("id", outs(), service(env={"A": "b"}))
    assert "pid" not in restarted and "state" not in restarted
    assert restarted["logFile"] == outs()["logFile"]
    assert "pid" not in provider.update_preview("id", outs(state="gone"), service())
    assert {info.alias for info in ServiceInputs.model_fields.values()} >= STEERING


def test_a_preview_names_who_holds_a_port_and_touches_nothing(provider, told, intents):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        known = provider.create_preview(service(healthPort=port))
    assert "url" not in known
    assert known["folder"] == str(intents / "services" / STACK / "web")
    (line,) = told
    assert line.startswith(f"[web] port {port} is held by process {os.getpid()} (")
    assert line.endswith("the up will fail")
    assert list(intents.iterdir()) == []


def test_create_read_delete(provider, told, intents):
    props = service(command=["{python}", "-c", "import time; time.sleep(600)"], env={"A": "hidden-a"})
    made = provider.create(props)
    assert made.id == f"{STACK}/web"
    state = made.outs
    try:
        assert state["state"] == "running"
        assert provider.diff(made.id, state, props).detailed == {}
        read = provider.read(made.id, state)
        assert read.outs == state
        assert read.inputs == props
        psutil.Process(state["pid"]).kill()
        end = time.monotonic() + 20
        while identify(state["pid"]) is not None:
            assert time.monotonic() < end
            time.sleep(0.01)
        read = provider.read(made.id, state)
        assert (read.outs["state"], read.outs["pid"]) == ("gone", None)
        assert read.inputs == props
        assert "[web] is gone: the next up starts it anew" in told
        updated = provider.update(made.id, read.outs, props)
        assert updated.outs["state"] == "running" and updated.outs["pid"] != state["pid"]
    finally:
        provider.delete(made.id, state)
    assert not (intents / "services").exists()
    provider.delete(made.id, state)  # absent is success
    assert "hidden-a" not in "\n".join(told)


def test_an_update_that_does_not_come_up_is_kept(provider, told):
    bad = service(command=["{python}", "-c", "raise SystemExit('no')"], healthPort=1)
    with pytest.raises(PartialState) as caught:
        provider.update("id", outs(), bad)
    assert caught.value.outs["state"] == "failed"
    assert caught.value.outs["pid"] is None
    assert "ended with status 1" in str(caught.value)
    with pytest.raises(ValidationError):
        provider.create(bad)


def test_a_service_of_another_machine_is_left_alone(provider, told):
    there = outs(machine="elsewhere")
    assert provider.read("id", there).outs == there
    assert told == ["[web] runs on elsewhere: not looked at from here"]
    with pytest.raises(ValidationError, match="run this command there"):
        provider.delete("id", there)
    with pytest.raises(ValidationError, match="run this command there"):
        provider.update("id", there, service())


def test_an_import_finds_nothing(provider):
    assert provider.read("x/y", {}).id == ""


def test_a_stack_without_an_id_goes_by_its_name(provider):
    provider.shared.stack_id = ""
    with as_current(Call(urn=URN)):
        known = provider.create_preview(service())
    assert Path(known["folder"]).parent.name == "my-project.dev"


def test_the_guard_ends_what_no_state_knows(provider, guard, told, intents):
    folder = services_root() / STACK / "web"
    spec = ServiceInputs.model_validate(service(command=["{python}", "-c", "import time; time.sleep(600)"]))
    running = Service("web", folder).ensure(spec.spec())
    guard.shared.settings = guard.shared.settings.model_copy(update={"settle_s": 0})
    guard.delete(STACK, {"stackId": STACK, "credentials": []})
    assert "ended service web, which no state knew" in told
    assert identify(running.pid) is None
    assert not (intents / "services").exists()
    end_services(STACK)  # nothing is left to end


def test_a_generated_secret_is_kept_until_it_is_rotated():
    provider = GeneratedSecretProvider()
    checked = provider.check({}, {"length": 32.0}).inputs
    assert checked == {}
    made = provider.create({})
    state = dict(made.outs or {})
    assert len(state["value"]) == 32
    assert provider.create({}).outs != state
    assert provider.read(str(made.id), state).outs == state
    assert provider.diff("id", state, {}).detailed == {}
    assert provider.diff("id", state, {"rotation": "2"}).replaces == ["rotation"]
    assert provider.secret_outputs == {"value"}
    assert provider.check({}, {"length": 4.0}).failures
