"""Which process is meant, who belongs to it, and who has a port."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_services import ports, processes
from local_services.log import RotatingLog, last_lines
from local_services.processes import ProcessId, end_all, identify, is_marked, members_of
from local_services.spec import ServiceSpec
from tests.unit.local_services.conftest import PYTHON, wait_until


def living(pid: int) -> ProcessId:
    found = identify(pid)
    assert found is not None
    return found


@pytest.fixture
def sleeper():
    child = subprocess.Popen(
        [PYTHON, "-c", "import time; time.sleep(600)"], start_new_session=True, env={"MARK": "x"}
    )
    yield child
    child.kill()
    child.wait()


@pytest.mark.parametrize("look", [identify, processes._identify_without_proc])
def test_a_process_is_itself_until_it_ends(sleeper, look):
    first = look(sleeper.pid)
    assert first is not None
    assert look(sleeper.pid) == first
    assert look(os.getpid()) != first
    sleeper.kill()
    wait_until(lambda: look(sleeper.pid) is None, "a zombie is no process")
    sleeper.wait()
    assert look(sleeper.pid) is None
    assert identify(0) is None


def test_a_process_with_another_start_time_gets_no_signal(sleeper):
    found = living(sleeper.pid)
    replace(found, started="0:0").send(signal.SIGKILL)
    assert not replace(found, started="0:0").lives()
    assert found.lives()


def test_a_session_is_not_taken_over_with_its_number(sleeper):
    """Members count only while the number is that of who has opened the session."""
    wait_until(lambda: os.getsid(sleeper.pid) == sleeper.pid, "its session is open")
    mine = living(sleeper.pid)
    child = psutil.Process().pid
    assert child not in [each.pid for each in members_of(mine)]
    assert members_of(replace(mine, started="00000000:1")) == []
    assert members_of(ProcessId(os.getsid(0), "00000000:1")) == []


def test_a_mark_is_seen_where_it_can_be_read(sleeper):
    found = living(sleeper.pid)
    wait_until(lambda: is_marked(found, "MARK", "x"), "it has its environment")
    assert is_marked(found, "MARK", "y") is False
    assert is_marked(ProcessId(2**22 + 1, ""), "MARK", "x") is None


class Stubborn:
    """Processes that end a while after a signal, on a clock of their own."""

    def __init__(self, needs: dict[int, int]) -> None:
        self.now = 0.0
        self.left = dict(needs)

    def find(self) -> list[ProcessId]:
        return [ProcessId(pid, "never") for pid, turns in self.left.items() if turns > 0]

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.left = {pid: turns - 1 for pid, turns in self.left.items()}


@given(st.dictionaries(st.integers(1, 4), st.integers(0, 250)), st.floats(0, 8))
def test_ending_takes_as_long_as_it_must_and_no_longer(needs: dict[int, int], grace_s: float):
    world = Stubborn(needs)
    left = end_all(world.find, grace_s, lambda: world.now, world.wait)
    longest = max(needs.values(), default=0) * processes.LOOK_EVERY_S
    allowed = grace_s + processes.KILL_S
    assert world.now <= min(longest, allowed) + 2 * processes.LOOK_EVERY_S
    assert bool(left) == (world.find() != [])
    if longest < allowed - 1.0:
        assert left == []


def test_a_holder_that_cannot_be_read_is_told_so(monkeypatch):
    monkeypatch.setattr(ports, "holder", lambda port: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert ports.told_holder(7) == "port 7 is held by another user's process"
    monkeypatch.setattr(ports, "holder", lambda port: (12, ""))
    assert ports.told_holder(7) == "port 7 is held by process 12"


def test_the_command_line_of_a_holder_is_told_without_its_keys(monkeypatch):
    monkeypatch.setattr(ports, "command_of", lambda pid: f"serve --api-key=canary-1234567 {'x' * 200}")
    connection = type("C", (), {"status": psutil.CONN_LISTEN, "laddr": ("127.0.0.1", 7), "pid": 12})
    monkeypatch.setattr(psutil, "net_connections", lambda kind: [connection])
    told = ports.told_holder(7)
    assert told.startswith("port 7 is held by process 12 (serve --api-key=[removed] xxx")
    assert told.endswith("x …)")


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=40))
def test_a_log_never_exceeds_its_size(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]):
    log = tmp_path_factory.mktemp("log") / "x.log"
    writer = RotatingLog(log, 100)
    for chunk in chunks:
        writer.write(chunk)
    assert log.stat().st_size <= 100
    os.close(writer._fd)
    assert len(last_lines(log)) <= 12


def test_the_ports_of_a_service_are_told_once_each():
    spec = ServiceSpec(command=("x",), health_url="http://127.0.0.1:80/", ports=(81, 80))
    assert spec.all_ports() == (81, 80)
    assert replace(spec, health_url="https://elsewhere:443/").all_ports() == (81, 80)
    assert replace(spec, health_url="", health_port=82).all_ports() == (81, 80, 82)


SPECS = st.fixed_dictionaries(
    {
        "command": st.tuples(st.text(max_size=3)),
        "env": st.dictionaries(st.text(max_size=2), st.text(max_size=2)),
    }
)


@settings(max_examples=15)  # it is slow on purpose
@given(SPECS, SPECS)
def test_a_fingerprint_is_that_of_the_process_alone(one, other):
    first, second = ServiceSpec(**one), ServiceSpec(**other)
    assert (first.fingerprint("s") == second.fingerprint("s")) == (first == second)
    steered = replace(first, health_port=1, stop_grace_s=1, ports=(1,), keep_home=True, prepare_timeout_s=1)
    assert steered.fingerprint("s") == first.fingerprint("s")
    assert first.fingerprint("t") != first.fingerprint("s")
