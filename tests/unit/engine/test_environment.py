"""The environment that `pulumi` runs in."""

import os
from pathlib import Path

from engine.environment import QUIET, environment

BASE = {
    "PATH": "/usr/bin",
    "HOME": "/home/someone",
    "PULUMI_ACCESS_TOKEN": "pul-secret",
    "PULUMI_BACKEND_URL": "s3://somebody",
    "PULUMI_EXPERIMENTAL": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def made(tmp_path: Path, **more):
    return environment(tmp_path, engine_bin=Path("/engine/bin"), base=BASE, **more)


def test_nothing_of_the_caller_decides_what_the_engine_does(tmp_path):
    result = made(tmp_path)
    assert "PULUMI_ACCESS_TOKEN" not in result
    assert "PULUMI_EXPERIMENTAL" not in result
    assert "PYTHONDONTWRITEBYTECODE" not in result
    assert result["HOME"] == "/home/someone"


def test_everything_stays_in_the_state_folder(tmp_path):
    result = made(tmp_path)
    folder = tmp_path / ".gpuplane"
    assert result["PULUMI_HOME"] == str(folder / "pulumi-home")
    assert result["PULUMI_BACKEND_URL"] == f"file://{folder}/state"
    assert result["GPUPLANE_STATE_DIR"] == str(folder / "intents")
    assert result["GPUPLANE_EMULATOR_DIR"] == str(folder / "emulators")
    assert (folder / "state").is_dir(), "the file backend needs its folder"
    assert not (folder / "intents").exists(), "that it is new tells a first run from a later one"


def test_the_state_folder_can_be_elsewhere(tmp_path):
    result = made(tmp_path, state_dir=tmp_path / "other folder")
    assert result["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/other%20folder/state"
    assert not (tmp_path / ".gpuplane").exists()


def test_the_engine_comes_first_on_path_then_the_projects_python(tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert made(tmp_path)["PATH"].split(os.pathsep) == ["/engine/bin", str(python.parent), "/usr/bin"]


def test_telemetry_and_update_checks_are_off(tmp_path):
    result = made(tmp_path)
    assert QUIET.items() <= result.items()
    assert result["PULUMI_SKIP_UPDATE_CHECK"] == "true"


def test_extra_variables_win(tmp_path):
    result = made(tmp_path, passphrase="p", extra={"PULUMI_EXPERIMENTAL": "true", "PATH": "/only"})
    assert (result["PULUMI_CONFIG_PASSPHRASE"], result["PULUMI_EXPERIMENTAL"], result["PATH"]) == (
        "p",
        "true",
        "/only",
    )
