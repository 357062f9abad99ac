"""What the peers are made of, without starting any: scrubbing, processes, permissions, files."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract_client.skypilot_recordings import FOLDER
from tests.peers import machine, slurm_files
from tests.peers.processes import (
    Process,
    Record,
    is_free,
    kill,
    session_members,
    start,
    start_time,
    stop,
    until,
)
from tests.peers.scrub import PICKLE, Scrubber

TOKEN = "sky_eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log in /secret/place/x", "log in /srv/x"),
        (json.dumps({"handle": "gASVAg==", "n": 1}), json.dumps({"handle": PICKLE, "n": 1})),
        (json.dumps({"handle": None}), json.dumps({"handle": None})),
        (
            json.dumps({"return_value": json.dumps([{"handle": "gASVAg==", "path": "/secret/place"}])}),
            json.dumps({"return_value": json.dumps([{"handle": PICKLE, "path": "/srv"}])}),
        ),
        (json.dumps({"resources": "1x[H100:1]"}), json.dumps({"resources": "1x[H100:1]"})),
        (json.dumps({"user_name": "somebody"}), json.dumps({"user_name": "pulumi"})),
        (
            json.dumps({"name": "somebody", "user_type": "system"}),
            '{"name": "server", "user_type": "system"}',
        ),
        (f"Bearer {TOKEN}.", "Bearer sky_eyJ-token-1"),
        ('{"password": "$apr1$ab.$cd/ef"}', '{"password": "$apr1$hash"}'),
        ("{not json", "{not json"),
    ],
)
def test_what_is_scrubbed(text, expected):
    assert Scrubber({"/secret/place": "/srv"}).text(text) == expected


def test_ids_are_numbered_and_stay_the_same():
    first, second = "0f5e2b9c-2f4e-4d6b-9a3c-1d2e3f4a5b6c", "1f5e2b9c-2f4e-4d6b-9a3c-1d2e3f4a5b6c"
    scrubbed = Scrubber({}).text(f"{first} {second} {first}").split()
    assert scrubbed[0] == scrubbed[2] != scrubbed[1]
    assert scrubbed[0] == "00000000-0000-4000-8000-000000000001"


def test_only_headers_that_mean_something_are_kept():
    kept = Scrubber({}).headers({"X-SkyPilot-Request-ID": "r", "Date": "today", "Content-Type": "text/plain"})
    assert kept == {"x-skypilot-request-id": "r", "content-type": "text/plain"}


def test_no_recording_has_a_secret_or_a_pickle():
    files = sorted(FOLDER.glob("*.json"))
    assert files
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert "gASV" not in text, f"{file.name}: a pickle"
        assert "sky_eyJh" not in text, f"{file.name}: a token"
        assert "PRIVATE KEY" not in text, f"{file.name}: a key"
        assert "$apr1$" not in text.replace("$apr1$hash", ""), f"{file.name}: the hash of a password"


@pytest.fixture
def sleeper(tmp_path: Path):
    process = start(
        [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"], tmp_path / "log"
    )
    yield process
    kill([process.pid] if process.alive else [])


def test_a_process_is_started_recorded_found_and_stopped(tmp_path, sleeper):
    record = Record(tmp_path / "processes.json")
    assert record.read() == {}
    record.add("sleeper", sleeper)
    assert Record(tmp_path / "processes.json").read() == {"sleeper": sleeper}
    assert sleeper.alive
    assert session_members(sleeper.pid) == [sleeper.pid]
    stop(sleeper)
    assert not sleeper.alive
    stop(sleeper)
    record.remove("sleeper")
    assert record.read() == {}


def test_a_pid_that_was_given_to_another_process_is_left_alone(sleeper):
    stop(Process(sleeper.pid, "12345"))
    assert sleeper.alive


def test_a_process_that_does_not_listen_is_killed(tmp_path):
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
        " time.sleep(600)"
    )
    process = start([sys.executable, "-c", deaf], tmp_path / "log")
    assert until(lambda: (tmp_path / "log").read_text() == "up\n", 30.0)
    stop(process, wait_s=0.1)
    assert not process.alive


def test_an_ended_child_does_not_count_as_running():
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        assert until(lambda: start_time(child.pid) == "", 30.0)
        os.kill(child.pid, 0)  # a zombie: its number is still taken
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def test_a_port_in_use_is_not_free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not is_free(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("yes", "ci", "allowed"),
    [(False, "", False), (False, "false", False), (True, "", True), (False, "true", True)],
)
def test_this_machine_is_changed_with_yes_or_on_ci_only(monkeypatch, yes, ci, allowed):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(machine, "changes_needed", lambda: ["a user skyslurm"])
    monkeypatch.setattr(machine, "missing_packages", list)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    reason = machine.why_not(yes)
    assert (reason is None) == allowed
    if reason is not None:
        assert "a user skyslurm" in reason
        assert "python -m tests.peers up --yes" in reason
        assert "\n" not in reason


def test_without_root_it_says_so(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "need root" in str(machine.why_not(True))


def test_names_in_the_hosts_file_are_found_and_taken_back(monkeypatch, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n192.0.2.1 gpu-h100\n")
    monkeypatch.setattr(machine, "HOSTS", hosts)
    monkeypatch.setattr(machine, "ROOT", tmp_path / "root")
    monkeypatch.setattr(machine, "user_exists", lambda: True)
    monkeypatch.setattr(machine, "missing_packages", list)
    assert any("host names" in change for change in machine.changes_needed())
    with hosts.open("a") as file:
        file.write(f"{machine.HOSTS_LINE}\n")
    assert not any("host names" in change for change in machine.changes_needed())
    monkeypatch.setattr(machine, "user_exists", lambda: False)
    machine.restore()
    assert hosts.read_text() == "127.0.0.1 localhost\n192.0.2.1 gpu-h100\n"


def test_the_cluster_listens_on_this_machine_alone(tmp_path):
    ports = slurm_files.Ports(controller=1, nodes=(2, 3), ssh=4)
    assert "SlurmctldHost=localhost(127.0.0.1)" in slurm_files.slurm_conf(tmp_path, ports)
    sshd = slurm_files.sshd_config(tmp_path, 4)
    assert "ListenAddress 127.0.0.1\n" in sshd
    assert "PasswordAuthentication no\n" in sshd


def test_the_nodes_installer_answers_with_the_uv_of_this_machine(tmp_path):
    curl, home = tmp_path / "curl", tmp_path / "home"
    curl.write_text(slurm_files.curl_stand_in(tmp_path))
    (tmp_path / "home" / "bin").mkdir(parents=True)
    (tmp_path / "home" / "bin" / "uv").write_text("#!/bin/sh\n")
    address = "https://astral.sh/uv/install.sh"
    script = subprocess.run(
        ["bash", curl, "-LsSf", address], capture_output=True, text=True, check=True
    ).stdout
    env = {"PATH": os.environ["PATH"], "UV_INSTALL_DIR": str(tmp_path / "to"), "HOME": str(home)}
    subprocess.run(["sh", "-c", script], env=env, check=True)
    assert (tmp_path / "to" / "uv").resolve() == tmp_path / "home" / "bin" / "uv"


def test_the_nodes_uv_takes_the_python_of_this_machine(tmp_path):
    (tmp_path / "uv").write_text('#!/bin/sh\nprintf "%s|" "$@" "$UV_PYTHON_DOWNLOADS"\n')
    (tmp_path / "uv").chmod(0o755)
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(slurm_files.uv_stand_in(tmp_path, "/usr/bin/python3"))
    done = subprocess.run(
        ["bash", wrapper, "venv", "a b", "--python", "3.10"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "venv|a b|--python|/usr/bin/python3|never|"
