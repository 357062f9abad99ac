"""What a machine does at its first boot: the script is run here, with a docker that only takes notes."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds import errors
from gpu_clouds.lambda_cloud.user_data import FOLDER, user_data
from gpu_clouds.models import InstanceTemplate

DOCKER = """#!/bin/bash
notes=NOTES fail=FAIL
if [[ $1 == pull && -e $fail ]]; then rm "$fail"; exit 1; fi
[[ $3 == run ]] || exit 0
printf '%s\\0' "$@" >"$notes"
while (($#)); do
  if [[ $1 == --env ]]; then printf '%s\\0' "$2=${!2}" >>"$notes.env"; fi
  shift
done
"""


def config_of(template: InstanceTemplate, *keys: str) -> Any:
    text = user_data(template, keys)
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def content(file: dict[str, str]) -> str:
    return base64.b64decode(file["content"]).decode() if "encoding" in file else file["content"]


def boot(template: InstanceTemplate, folder: Path, *, pull_fails_once: bool = False) -> dict[str, Any]:
    """Writes the files and runs the commands in a folder; what docker was told, and the log."""
    config = config_of(template)
    etc = folder / "etc"
    etc.mkdir()
    for file in config["write_files"]:
        text = content(file).replace(FOLDER, str(etc)).replace("/var/log/gpuplane.log", str(folder / "log"))
        path = etc / Path(file["path"]).name
        path.write_text(text.replace("sleep 10", "sleep 0"), encoding="utf-8")
        path.chmod(int(file["permissions"], 8))
    programs = folder / "bin"
    programs.mkdir()
    docker = programs / "docker"
    docker.write_text(DOCKER.replace("NOTES", str(folder / "notes")).replace("FAIL", str(folder / "fail")))
    docker.chmod(0o755)
    if pull_fails_once:
        (folder / "fail").touch()
    (command,) = config["runcmd"]
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    words = [word.replace(FOLDER, str(etc)) for word in command]
    done = subprocess.run(words, env=environment, check=True, capture_output=True, timeout=60, text=True)
    assert done.stdout + done.stderr == ""
    told: dict[str, Any] = {
        "log": (folder / "log").read_text(),
        "mode": (folder / "log").stat().st_mode & 0o777,
    }
    if (folder / "notes").exists():
        told["words"] = _texts(folder / "notes")
        told["env"] = dict(text.split("=", 1) for text in _texts(folder / "notes.env"))
    return told


def _texts(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\0")[:-1] if path.exists() else []


FULL = InstanceTemplate(
    image="vllm/vllm-openai:v0.11.0",
    volume_gb=100,
    ports=("22/tcp", "8000/http", "9000/tcp"),
    env={
        "TOKEN": "it's $HOME `x`",
        "LINES": "one\ntwo",
        "PATH": "/opt/venv/bin:/usr/bin",
        "DOCKER_HOST": "tcp://x",
    },
    args="--model 'org/a model' --port 8000",
)


def test_a_container_is_started_with_its_ports_and_its_environment(tmp_path: Path) -> None:
    told = boot(FULL, tmp_path)
    assert told["env"] == dict(FULL.env)
    words = told["words"]
    assert words[:3] == ["--host", "unix:///var/run/docker.sock", "run"]
    at = words.index("vllm/vllm-openai:v0.11.0")
    assert words[at + 1 :] == ["--model", "org/a model", "--port", "8000"]
    flags = " ".join(words[:at])
    assert "--gpus all" in flags
    assert "--restart unless-stopped" in flags
    assert "--publish 8000:8000 --publish 9000:9000" in flags
    assert "--publish 22" not in flags  # the machine's own SSH server has it
    assert "--volume /var/lib/gpuplane/volume:/workspace" in flags


def test_no_value_of_the_environment_is_in_a_command_line_or_a_log(tmp_path: Path) -> None:
    told = boot(FULL, tmp_path)
    said = " ".join(told["words"]) + told["log"]
    assert not [value for value in FULL.env.values() if value in said]
    assert told["mode"] == 0o600
    files = {Path(file["path"]).name: file for file in config_of(FULL)["write_files"]}
    assert {name: file["permissions"] for name, file in files.items()} == {"env.sh": "0600", "run.sh": "0700"}
    assert "$HOME" not in content(files["run.sh"])


def test_a_startup_script_runs_first_and_has_the_environment(tmp_path: Path) -> None:
    template = InstanceTemplate(
        image="i", startup="echo started with ${#TOKEN} letters", env={"TOKEN": "12345"}
    )
    told = boot(template, tmp_path)
    assert told["log"].splitlines() == [
        "started with 5 letters",
        "gpuplane: startup script done",
        "gpuplane: container started",
    ]


def test_a_machine_without_a_container(tmp_path: Path) -> None:
    told = boot(InstanceTemplate(template_id="lambda-stack-24-04", startup="echo done"), tmp_path)
    assert "words" not in told
    assert "done" in told["log"]


def test_a_failed_pull_is_tried_again(tmp_path: Path) -> None:
    told = boot(InstanceTemplate(image="i"), tmp_path, pull_fails_once=True)
    assert "pull failed, attempt 1" in told["log"]
    assert told["words"][-1] == "i"


@given(
    env=st.dictionaries(
        st.from_regex(r"\A[A-Z][A-Z0-9_]{0,8}\Z").map(lambda name: f"X{name}"),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
        max_size=3,
    ),
    args=st.lists(st.text("ab '\"$\\;", max_size=8), max_size=3),
)
@settings(deadline=None, max_examples=12)
def test_every_environment_and_argument_arrives_as_it_was_given(env: dict[str, str], args: list[str]) -> None:
    template = InstanceTemplate(image="i", env=env, args=shlex.join(args))
    with tempfile.TemporaryDirectory() as folder:
        told = boot(template, Path(folder))
    assert told["env"] == env
    assert told["words"][told["words"].index("i") + 1 :] == args


def test_further_keys_are_added_and_nothing_to_do_is_no_user_data() -> None:
    keys = config_of(InstanceTemplate(template_id="x"), "ssh-ed25519 AAAA me")
    assert keys == {"ssh_authorized_keys": ["ssh-ed25519 AAAA me"]}
    assert user_data(InstanceTemplate(template_id="x")) == ""


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (InstanceTemplate(image="i", env={"A-B": "x"}), "'A-B' can not be set by a shell"),
        (InstanceTemplate(image="i", env={"UID": "1"}), "UID belongs to the shell"),
        (InstanceTemplate(image="i", env={"A": "\0"}), "zero byte"),
        (InstanceTemplate(image="i", args="--model 'x"), "args can not be split"),
        (InstanceTemplate(image="i", ports=("x/http",)), "must look like 8000/http"),
        (InstanceTemplate(image="i", startup="x" * 1_000_001), "1 MB is the most"),
    ],
)
def test_what_can_not_be_passed_on_is_refused(template: InstanceTemplate, says: str) -> None:
    with pytest.raises(errors.ValidationError, match=says):
        user_data(template)
