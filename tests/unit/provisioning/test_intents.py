"""A launch is on disk before it is sent, and other processes see it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gpu_clouds.clock import SystemClock
from gpu_clouds.errors import ValidationError
from gpu_clouds.intents import IntentLog, state_root
from tests.unit.provisioning.virtual_clock import VirtualClock
from tests.unit.provisioning.world import STACK

MARKER = f"gp-p-{STACK}-n0-00000000"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def log(folder: Path, clock: VirtualClock) -> IntentLog:
    return IntentLog(STACK, folder, clock)


def test_an_intent_is_seen_by_others_until_it_is_closed(tmp_path: Path, clock: VirtualClock) -> None:
    mine, other = log(tmp_path, clock), log(tmp_path, clock)
    intent = mine.open(MARKER, "runpod")
    clock.sleep(7)
    for each in (mine, other):
        assert each.youngest_open("gp-p-") == 7
        assert each.youngest_open(f"gp-p-{STACK}-n0-") == 7
        assert each.youngest_open(f"gp-p-{STACK}-n1-") is None
        assert each.settle_left("gp-p-", 60) == 53
        assert each.settle_left("gp-p-", 5) == 0
    mine.close(intent)
    assert mine.youngest_open("gp-p-") is None is other.youngest_open("gp-p-")


def test_an_answer_is_remembered_for_a_moment(tmp_path: Path, clock: VirtualClock) -> None:
    mine, other = log(tmp_path, clock), log(tmp_path, clock)
    mine.close(mine.open(MARKER, "runpod"), "pod1")
    mine.close(mine.open(MARKER, "runpod"))
    for each in (mine, other):
        assert [(a.cloud, a.instance_id) for a in each.answered("gp-p-")] == [("runpod", "pod1")]
        assert each.answered("gp-o-") == []
    clock.sleep(31)
    assert mine.answered("gp-p-") == [] == other.answered("gp-p-")


def test_a_life_sign_of_its_process_makes_an_intent_younger(tmp_path: Path, clock: VirtualClock) -> None:
    """Launches wait in line before they are sent: the last of many is sent long after its intent."""
    killed = log(tmp_path, clock)
    first = killed.open(MARKER, "runpod")
    killed.open(MARKER.replace("n0", "n1"), "runpod")
    clock.sleep(100)
    killed.close(first, "pod1")
    clock.sleep(10)
    assert log(tmp_path, clock).youngest_open("gp-p-") == 10


def test_a_clock_that_went_back_asks_for_one_settle_time_at_most(tmp_path: Path) -> None:
    log(tmp_path, VirtualClock(9_000_000)).open(MARKER, "runpod")
    assert log(tmp_path, VirtualClock(1_000_000)).settle_left("gp-p-", 60) == 60


def test_a_torn_line_is_no_intent(tmp_path: Path, clock: VirtualClock) -> None:
    mine = log(tmp_path, clock)
    mine.open(MARKER, "runpod")
    path = next(mine.folder.glob("*.jsonl"))
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        expected = None if cut < len(whole) - 1 else 0
        assert log(tmp_path, clock).youngest_open("gp-p-") == expected


def test_a_machine_is_known_after_the_first_run(tmp_path: Path, clock: VirtualClock) -> None:
    first = log(tmp_path / "deep" / "down", clock)
    assert not first.known_machine
    first.remember_machine()
    assert not first.known_machine
    assert log(tmp_path / "deep" / "down", clock).known_machine
    assert not IntentLog("zzzzzzzz", tmp_path / "deep" / "down", clock).known_machine


def test_only_files_of_ended_processes_are_removed(tmp_path: Path, clock: VirtualClock) -> None:
    code = (
        "import sys, pathlib\n"
        "from gpu_clouds.clock import SystemClock\n"
        "from gpu_clouds.intents import IntentLog\n"
        "for node, close in (('n0', False), ('n1', True)):\n"
        f"    log = IntentLog('{STACK}', pathlib.Path(sys.argv[1]), SystemClock())\n"
        f"    intent = log.open('gp-p-{STACK}-' + node + '-00000000', 'runpod')\n"
        "    if close: log.close(intent)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    alive = log(tmp_path, clock)
    alive.close(alive.open(MARKER, "runpod"))
    folder = alive.folder
    assert len(list(folder.glob("*.jsonl"))) == 3

    def remaining_after(days: float) -> int:
        for path in folder.glob("*.jsonl"):
            os.utime(path, (time.time() - days * 86400,) * 2)
        starting = log(tmp_path, clock)
        starting.close(starting.open(MARKER, "runpod"))
        return len(list(folder.glob("*.jsonl"))) - 1

    assert remaining_after(0.01) == 3
    assert remaining_after(0.1) == 3, "the closed one of the ended process went; two of this one live"
    assert remaining_after(8) == 3, "the open one of the ended process went; three of this one live"


def test_a_folder_that_can_not_be_written_forbids_the_launch(tmp_path: Path, clock: VirtualClock) -> None:
    (tmp_path / "file").write_text("")
    broken = log(tmp_path / "file", clock)
    for _ in range(2):
        with pytest.raises(ValidationError, match=r"cannot write launch intents in .*GPUPLANE_STATE_DIR"):
            broken.open(MARKER, "runpod")
    with pytest.raises(ValidationError, match="cannot write launch intents"):
        broken.remember_machine()


def test_many_at_once_share_their_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    real = os.fsync

    def slow_sync(fd: int) -> None:
        syncs.append(fd)
        time.sleep(0.002)
        real(fd)

    monkeypatch.setattr("gpu_clouds.intents.os.fsync", slow_sync)
    mine = IntentLog(STACK, tmp_path, SystemClock())
    together = threading.Barrier(100)

    def launch(number: int) -> None:
        together.wait()
        mine.open(f"gp-p-{STACK}-n{number}-00000000", "runpod")

    threads = [threading.Thread(target=launch, args=(i,)) for i in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(syncs) <= 40
    text = next(mine.folder.glob("*.jsonl")).read_text()
    assert {line.count('"op": "open"') for line in text.splitlines()} == {1}
    assert len(text.splitlines()) == 100


def test_the_folder_is_the_users_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: VirtualClock
) -> None:
    monkeypatch.setenv("GPUPLANE_STATE_DIR", str(tmp_path / "named"))
    assert state_root() == tmp_path / "named"
    monkeypatch.delenv("GPUPLANE_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_root() == tmp_path / "gpuplane"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_root() == tmp_path / ".local" / "state" / "gpuplane"
    mine = IntentLog(STACK, None, clock)
    mine.open(MARKER, "runpod")
    assert mine.folder.stat().st_mode & 0o077 == 0
    assert next(mine.folder.glob("*.jsonl")).stat().st_mode & 0o077 == 0
