"""Starting and stopping, with small programs in the servers' place."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.kubernetes_api import cluster, commands, nodes, processes
from engine.kubernetes_api.layout import SERVERS, Layout
from engine.kubernetes_api.programs import Programs


def script(file: Path, text: str) -> Path:
    file.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
    file.chmod(0o755)
    return file


SLEEPER = """
import signal, sys, time
def leave(*_):
    with open({log!r}, "a") as log:
        log.write({name!r} + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
open({log!r} + ".ready", "w").close()
print("ready", flush=True)
while True:
    time.sleep(60)
"""
# Ends only once the sleeper handles signals.
BROKEN = """
import os, sys, time
while not os.path.exists({log!r} + ".ready"):
    time.sleep(0.05)
sys.exit("Error: no such flag")
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True:
    time.sleep(60)
"""


def run(tmp_path: Path, name: str, text: str) -> processes.Process:
    """Starts a small program and waits until it handles signals."""
    log = tmp_path / f"{name}.out"
    started = processes.start(name, [str(script(tmp_path / f"{name}.py", text))], log)
    assert processes.wait_until(lambda: log.read_text() == "ready\n", 30)
    return started


def test_the_api_server_ends_before_etcd_and_after_its_clients(tmp_path):
    layout = Layout(tmp_path / "cluster")
    layout.folder.mkdir()
    ended = tmp_path / "ended"
    started = [run(tmp_path, name, SLEEPER.format(log=str(ended), name=name)) for name in SERVERS]
    processes.write_record(layout.record, 1234, started)
    assert processes.read_record(layout.record) == (1234, started)
    assert cluster.stop(layout.folder) == []
    names = ended.read_text().split()
    assert sorted(names) == sorted(SERVERS)
    assert names[-2:] == ["kube-apiserver", "etcd"]
    assert not layout.folder.exists() and not any(each.alive for each in started)
    assert cluster.stop(layout.folder) == []


def test_a_server_that_does_not_end_is_killed(tmp_path):
    stubborn = run(tmp_path, "stubborn", STUBBORN)
    assert processes.end([stubborn], 0.2) == ["stubborn"]
    assert not stubborn.alive


class Late:
    """A child whose first thread has ended: no process any more, but not yet to be collected."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended = False

    def wait(self, timeout: float) -> None:
        self.ended = True

    def poll(self) -> int | None:
        return 0 if self.ended else None


def test_a_child_that_is_slow_to_leave_is_collected(monkeypatch):
    late, other = Late(4_000_001), Late(4_000_002)
    monkeypatch.setattr(processes, "_CHILDREN", [late, other])
    assert processes.end([processes.Process("etcd", late.pid, "started")], 0.1) == []
    assert len(processes._CHILDREN) == 1, "what was not to end is not waited for"


def test_a_pid_that_belongs_to_another_process_by_now_is_left_alone(tmp_path):
    mine = processes.Process("etcd", os.getpid(), "another start")
    assert not mine.alive
    mine.send(signal.SIGKILL)
    assert processes.end([mine], 0.1) == []


@pytest.mark.parametrize("text", ["", "{", '{"port": 1}', '{"port": 1, "processes": [{"pid": 1}]}'])
def test_a_record_that_is_not_whole_is_none(tmp_path, text):
    (tmp_path / "cluster.json").write_text(text)
    assert processes.read_record(tmp_path / "cluster.json") == (0, [])
    assert cluster.find(tmp_path) is None


def test_a_server_that_ends_at_once_is_one_line_with_its_last_words(tmp_path):
    sleeper = script(tmp_path / "sleeper.py", SLEEPER.format(log=str(tmp_path / "ended"), name="etcd"))
    broken = script(tmp_path / "broken.py", BROKEN.format(log=str(tmp_path / "ended")))
    found = Programs(dict.fromkeys(SERVERS, broken) | {"etcd": sleeper}, tmp_path / "stages")
    with pytest.raises(EngineError, match="kube-apiserver ended: Error: no such flag") as raised:
        cluster.start(tmp_path / "cluster", found, 60)
    assert "\n" not in str(raised.value)
    assert (tmp_path / "ended").read_text() == "etcd\n", "what had started was ended"
    assert (tmp_path / "cluster" / "kube-apiserver.log").exists()
    assert cluster.find(tmp_path / "cluster") is None


def test_a_cluster_that_does_not_get_ready_is_given_up(tmp_path):
    sleeper = script(tmp_path / "sleeper.py", SLEEPER.format(log=str(tmp_path / "ended"), name="server"))
    found = Programs(dict.fromkeys(SERVERS, sleeper), tmp_path / "stages")
    with pytest.raises(EngineError, match="certificate took longer than 1 s"):
        cluster.start(tmp_path / "cluster", found, 1)
    for name in ("tokens.csv", "token", "service-accounts.key"):
        assert (tmp_path / "cluster" / name).stat().st_mode & 0o077 == 0, name


def test_ports_are_different():
    found = processes.free_ports(6)
    assert len(set(found)) == 6 and all(port > 1024 for port in found)


def test_a_node_has_what_the_scheduler_and_the_device_plugin_would_say():
    gpu = nodes.node(
        "a", 4, product="NVIDIA-L4", labels={"pool": "x"}, taints=[{"key": "k", "effect": "NoSchedule"}]
    )
    assert gpu["status"]["allocatable"] == gpu["status"]["capacity"]
    assert gpu["status"]["allocatable"]["nvidia.com/gpu"] == "4"
    assert gpu["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-L4"
    assert gpu["metadata"]["labels"]["pool"] == "x" and gpu["spec"]["taints"][0]["key"] == "k"
    plain = nodes.node("b", 0)
    assert "nvidia.com/gpu" not in str(plain)


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["fly"], 2), (["up", "--gpu-nodes", "x"], 2), (["--help"], 0)]
)
def test_unknown_commands(arguments, status, capsys):
    assert commands.main(arguments) == status
    assert "usage: python -m engine kubernetes" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [("status", 1, "nothing runs"), ("kubeconfig", 1, "nothing runs"), ("down", 0, "nothing runs")],
)
def test_without_a_cluster(command, status, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands, "default_folder", lambda: tmp_path / "none")
    assert commands.main([command]) == status
    assert words in "".join(capsys.readouterr())
