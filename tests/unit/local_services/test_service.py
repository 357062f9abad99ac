"""Start, adopt, look, stop: with real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import urllib.request
from dataclasses import replace

import pytest

from gpu_clouds.errors import CancelledError, ConflictError, DeadlineError, ValidationError
from local_services.processes import ProcessId, identify
from local_services.record import Folder, Phase
from tests.unit.local_services.conftest import PYTHON, Place, wait_until


def ask(place: Place, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{place.port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def record(place: Place):
    found = Folder(place.folder).read()
    assert found is not None
    return found


def test_a_service_starts_answers_and_ends(place):
    spec = place.spec(env={"WORD": "hello"})
    running = place.service().ensure(spec)
    assert not running.adopted
    assert place.servers() == [running.pid]
    assert ask(place) == "hello"
    assert place.service().running() == replace(running, adopted=True)
    assert place.service().healthy(spec)
    # Out of reach of whatever happens to the terminal or the process group of who has started it.
    assert os.getsid(running.pid) not in (os.getsid(0), os.getpgid(0))

    place.service().stop(spec)
    assert place.servers() == []
    assert place.service().running() is None
    assert not place.service().exists()
    place.service().stop(spec)  # absent is success


def test_the_same_service_is_found_not_started_again(place):
    first = place.service().ensure(place.spec(env={"WORD": "a"}))
    again = place.service().ensure(place.spec(env={"WORD": "a"}))
    assert again == replace(first, adopted=True)
    assert place.servers() == [first.pid]


def test_what_only_steers_us_restarts_nothing(place):
    first = place.service().ensure(place.spec())
    changed = place.spec(stop_grace_s=1.0, health_timeout_s=12.0, health_url="", health_port=place.port)
    assert place.service().ensure(changed).pid == first.pid


@pytest.mark.parametrize(
    "change",
    [{"env": {"WORD": "b"}}, {"home": "home", "files": {"a": "b"}}],
    ids=lambda change: "+".join(change),
)
def test_another_command_or_environment_is_started_in_its_place(place, change):
    first = place.service().ensure(place.spec(env={"WORD": "a"}))
    second = place.service().ensure(place.spec(**{"env": {"WORD": "a"}, **change}))
    assert second.pid != first.pid
    assert place.servers() == [second.pid]


def test_a_restart_on_request(place):
    first = place.service().ensure(place.spec())
    second = place.service().ensure(place.spec(), restart=True)
    assert place.servers() == [second.pid] != [first.pid]


def test_two_at_once_start_one(place):
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(place.service().ensure(place.spec("slow")).pid))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 3
    assert place.servers() == [found[0]]
    assert len(set(found)) == 1


# -- the whole tree


@pytest.mark.parametrize("options", [("workers",), ("workers", "deaf")], ids="+".join)
def test_no_worker_is_left_also_in_a_session_of_its_own(place, options):
    spec = place.spec(*options, stop_grace_s=0.5)
    place.service().ensure(spec)
    assert len(place.processes()) == 4  # supervisor, server, two workers
    place.service().stop(spec)
    assert place.processes() == []


def test_workers_of_a_service_that_has_died_are_ended_by_its_supervisor(place):
    spec = place.spec("workers", stop_grace_s=0.5)
    running = place.service().ensure(spec)
    os.kill(running.pid, signal.SIGKILL)
    wait_until(lambda: not place.processes(), "the tree ends")
    kept = record(place)
    assert (kept.phase, kept.exit_code, kept.tree) == (Phase.ENDED, -9, ())
    assert place.service().running() is None


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")  # noqa: PTH110
def test_workers_of_a_killed_supervisor_are_found(place):
    spec = place.spec("workers", stop_grace_s=0.5)
    place.service().ensure(spec)
    supervisor = record(place).supervisor
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_until(lambda: not place.servers(), "the server ends with its supervisor")
    assert place.service().running() is None
    assert place.service().exists()
    place.service().stop(spec)
    assert place.processes() == []


def test_after_a_killed_supervisor_one_start_gives_one_service(place):
    spec = place.spec("workers", stop_grace_s=0.5)
    place.service().ensure(spec)
    os.kill(record(place).supervisor.pid, signal.SIGKILL)
    running = place.service().ensure(spec)
    assert place.servers() == [running.pid]
    assert len(place.processes()) == 4


def test_a_used_again_pid_is_never_taken_for_ours(place):
    """The record names a living process with another start time: a stranger."""
    stranger = subprocess.Popen([PYTHON, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        spec = place.spec()
        place.service().ensure(spec)
        place.service().stop(spec)
        theirs = ProcessId(stranger.pid, "00000000:1")
        kept = replace(
            record(place), phase=Phase.RUNNING, main=theirs, supervisor=theirs, tree=(theirs,), token="x"
        )
        Folder(place.folder).write(kept)
        assert place.service().running() is None
        assert not place.service().exists()
        place.service().remove(spec)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


# -- what goes wrong


def test_one_that_dies_is_told_with_its_last_words(place):
    spec = place.program(
        "import os, sys; print('cannot read', os.environ['WORD']); sys.exit(3)",
        env={"WORD": "hidden-word"},
        health_port=place.port,
    )
    with pytest.raises(ValidationError) as caught:
        place.service().ensure(spec)
    assert "[web] ended with status 3 before it answered" in caught.value.message
    assert "cannot read [removed]" in caught.value.message
    assert "hidden-word" not in caught.value.message
    assert not place.service().exists()


def test_words_of_an_earlier_start_are_not_told(place):
    for word in ("first-words", "second-words"):
        with pytest.raises(ValidationError) as caught:
            place.service().ensure(
                place.program(f"print('{word}'); raise SystemExit(1)", health_port=place.port)
            )
    assert "second-words" in caught.value.message
    assert "first-words" not in caught.value.message


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("no-such-program",), "no-such-program: No such file or directory"),
        (("/",), "/: Permission denied"),
    ],
)
def test_one_that_cannot_be_started(place, command, said):
    spec = replace(place.spec(), command=command)
    with pytest.raises(ValidationError) as caught:
        place.service().ensure(spec)
    assert caught.value.message == f"[web] can't be started: {said}"


def test_a_log_that_cannot_be_written_is_named(place):
    (place.root / "file").touch()
    with pytest.raises(ValidationError) as caught:
        place.service().ensure(place.spec(log_file=str(place.root / "file" / "x.log")))
    assert caught.value.message.startswith(f"[web] {place.root / 'file'}")
    assert "\n" not in caught.value.message


def test_a_supervisor_that_is_killed_during_the_start_is_told(place):
    spec = place.program("import time; time.sleep(600)", health_port=place.port)
    killer = threading.Thread(target=lambda: kill_supervisor(place))
    killer.start()
    with pytest.raises(ValidationError) as caught:
        place.service().ensure(spec)
    killer.join()
    assert "ended with its supervisor (which was killed) before it answered" in caught.value.message
    assert place.processes() == []


def kill_supervisor(place: Place) -> None:
    wait_until(lambda: (kept := Folder(place.folder).read()) and kept.phase is Phase.RUNNING, "it runs")
    os.kill(record(place).supervisor.pid, signal.SIGKILL)


def test_one_that_does_not_answer_in_time_is_ended(place):
    spec = place.program(
        "import time; print('thinking', flush=True); time.sleep(600)",
        health_port=place.port,
        health_timeout_s=1.0,
    )
    with pytest.raises(DeadlineError) as caught:
        place.service().ensure(spec)
    assert f"[web] did not answer on port {place.port} within 1 s" in caught.value.message
    assert "  thinking" in caught.value.message
    assert place.processes() == []


def test_a_taken_port_is_named_with_its_holder(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError) as caught:
            place.service().ensure(place.spec(ports=(port,)))
    assert f"port {port} is held by process {os.getpid()} (" in caught.value.message
    assert place.processes() == []


def test_cancel_ends_what_was_started(place):
    cancel = threading.Event()
    service = place.service(cancel=cancel)
    timer = threading.Timer(1.0, cancel.set)
    timer.start()
    with pytest.raises(CancelledError):
        service.ensure(place.program("import time; time.sleep(600)", health_port=place.port))
    timer.join()
    assert place.processes() == []


def test_nothing_starts_after_a_cancel(place):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        place.service(cancel=cancel).ensure(place.spec())
    assert not list(place.started.iterdir())


# -- a starting process that is killed at any point


def test_killed_before_anything_was_said_the_supervisor_starts_nothing(place):
    """Half a request: the supervisor was started, and who started it died."""
    folder = Folder(place.folder)
    folder.make()
    alive = folder.claim()
    from local_services import supervisor

    child = subprocess.Popen(
        [PYTHON, "-P", str(supervisor.__file__), str(place.folder), str(alive)],
        stdin=subprocess.PIPE,
        pass_fds=[alive],
    )
    os.close(alive)
    assert folder.supervised()  # there is no moment in which it could be taken for absent
    child.communicate(b'{"command": ["touch"', timeout=20)
    assert child.returncode == 0
    assert not folder.supervised()
    assert place.service().ensure(place.spec()).pid == place.servers()[0]


KILLED = """
import os, sys, pathlib
sys.path.insert(0, sys.argv[1])
from local_services import service, spawn
from local_services.spec import ServiceSpec
point = sys.argv[2]
def die(*words, **more):
    os._exit(9)
if point == "before the start":
    service.spawn = die
elif point == "after the start":
    real = service.spawn
    service.spawn = lambda *words: (real(*words), die())
elif point == "while it waits":
    service.answers = die
service.Service("web", pathlib.Path(sys.argv[3])).ensure(
    ServiceSpec(command=tuple(sys.argv[5:]), health_url=sys.argv[4], health_timeout_s=30, stop_grace_s=1))
"""


@pytest.mark.parametrize("point", ["before the start", "after the start", "while it waits"])
@pytest.mark.parametrize("then", ["ensure", "remove"])
def test_killed_at_any_point(place, point, then):
    spec = place.spec("workers", stop_grace_s=1)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))  # noqa: PTH120
    killed = subprocess.run(
        [PYTHON, "-c", KILLED, root, point, str(place.folder), spec.health_url, *spec.command], timeout=60
    )
    assert killed.returncode == 9
    if then == "ensure":
        running = place.service().ensure(spec)
        assert running.adopted == (point != "before the start")
        assert place.servers() == [running.pid]
        assert len(place.processes()) == 4
    place.service().remove(spec)
    assert place.processes() == []
    assert not place.folder.exists()


# -- home, files, prepare, log


def test_home_files_and_placeholders(place):
    spec = place.spec(
        home="home",
        files={".sky/config.yaml": "a: 1\n", "old": "x"},
        env={"WORD": "{home}"},
        prepare=("{python}", "-c", "print('noise'); print('/prepared')"),
    )
    place.service().ensure(spec)
    home = place.folder / "home"
    assert ask(place) == str(home)
    assert (home / ".sky/config.yaml").read_text() == "a: 1\n"
    assert (home / ".sky/config.yaml").stat().st_mode & 0o777 == 0o600
    place.service().ensure(replace(spec, files={".sky/config.yaml": "a: 2\n"}))
    assert (home / ".sky/config.yaml").read_text() == "a: 2\n"
    assert not (home / "old").exists()
    (home / "state").write_text("kept")
    place.service().remove(replace(spec, keep_home=True))
    assert [path.name for path in place.folder.iterdir()] == ["home"]
    assert (home / "state").read_text() == "kept"
    assert not (home / ".sky/config.yaml").exists()


def test_a_failed_preparation(place):
    spec = place.spec(prepare=("{python}", "-c", "import sys; sys.exit('no network')"))
    with pytest.raises(ValidationError) as caught:
        place.service().ensure(spec)
    assert caught.value.message == "[web] its preparation failed with status 1:\n  no network"
    assert not list(place.started.iterdir())


def test_a_preparation_that_takes_too_long_is_ended(place):
    spec = place.spec(prepare=("{python}", "-c", "import time; time.sleep(600)"), prepare_timeout_s=0.5)
    with pytest.raises(DeadlineError):
        place.service().ensure(spec)
    assert place.processes() == []


def test_the_log_is_rotated(place):
    text = """
        import time
        for number in range(3000):
            print(f"{number:06d}" + "x" * 93, flush=True)
        time.sleep(600)
    """
    spec = place.program(text, log_max_mb=0.1)
    place.service().ensure(spec)
    log, old = place.folder / "service.log", place.folder / "service.log.1"
    wait_until(lambda: log.exists() and "002999" in log.read_text()[-100:], "all is written")
    assert old.stat().st_size <= 0.1 * 1024 * 1024
    assert log.stat().st_size <= 0.1 * 1024 * 1024
    assert log.stat().st_mode & 0o777 == 0o600


def test_no_secret_on_disk_but_in_the_files_that_hold_them(place):
    spec = place.spec(env={"WORD": "canary-77aa"}, home="home", files={"key": "canary-77bb"})
    place.service().ensure(spec)
    for path in place.folder.rglob("*"):
        if path.is_file() and path.name != "key":
            assert "canary" not in path.read_text(errors="replace"), path


def test_removing_leaves_nothing(place):
    spec = place.spec()
    place.service().ensure(spec)
    place.service().remove(spec)
    assert not (place.root / "services").exists()
    place.service().remove(spec)


def test_identify_knows_a_zombie_for_dead():
    child = subprocess.Popen([PYTHON, "-c", ""])
    wait_until(lambda: identify(child.pid) is None, "it ends")
    child.wait()
