"""The environment of the SkyPilot server: one for each set of pins, whole or not there, scripts that run."""

import sys
from pathlib import Path

import pytest

from engine import skypilot_server
from engine.errors import EngineError
from engine.skypilot_server import VERSION, environment_name, installed_python, server_python, skypilot_root


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    file = tmp_path / "skypilot.txt"
    file.write_text("skypilot==0.14.1\n")
    return file


class Installer:
    """Stands in for the command lines: makes the folder that the first of them would make."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, command) -> None:
        self.commands.append(list(command))
        work = Path(command[-1])
        if "venv" in command:
            (work / "bin").mkdir()
            (work / "bin" / "python").symlink_to(sys.executable)
            (work / "bin" / "sky").write_text(f"#!{work}/bin/python\nimport sky\n")
            (work / "bin" / "data").write_bytes(b"\x7fELF" + str(work).encode())


def test_it_is_installed_once_and_its_scripts_name_their_final_place(tmp_path, pins, capsys):
    install = Installer()
    root = tmp_path / "cache"
    assert installed_python(pins, root) is None
    python = server_python(pins, root, install)
    assert python == root / environment_name(pins) / "bin" / "python"
    assert server_python(pins, root, install) == installed_python(pins, root) == python
    assert len(install.commands) == 2
    assert python.with_name("sky").read_text().splitlines()[0] == f"#!{python}"
    assert python.with_name("data").read_bytes().startswith(b"\x7fELF" + str(root).encode() + b"/."), (
        "not a script"
    )
    assert "installing the SkyPilot server" in capsys.readouterr().err


def test_every_package_is_installed_by_hash(tmp_path, pins):
    install = Installer()
    server_python(pins, tmp_path / "cache", install)
    assert install.commands[1][-3:] == ["--require-hashes", "-r", str(pins)]


def test_other_pins_are_another_environment(pins):
    before = environment_name(pins)
    pins.write_text("skypilot==0.14.2\n")
    assert environment_name(pins) != before


def test_an_installation_that_fails_leaves_nothing_and_says_why(tmp_path, pins, monkeypatch):
    (tmp_path / "bin").mkdir()
    uv = tmp_path / "bin" / "uv"
    uv.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "no route\n  to host" >&2\nexit 2\n')
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(EngineError, match=r"^the SkyPilot server can't be installed: uv: no route to host$"):
        server_python(pins, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]


def test_outside_a_checkout_it_says_so(tmp_path):
    with pytest.raises(EngineError, match="is installed from a checkout of gpuplane"):
        environment_name(tmp_path / "none.txt")


def test_the_cache_follows_the_usual_variable():
    assert skypilot_root({"XDG_CACHE_HOME": "/c"}) == Path("/c/gpuplane/skypilot")


def test_the_committed_pins_are_of_the_version_that_it_says():
    assert f"\nskypilot=={VERSION} \\\n" in skypilot_server.PINS.read_text()
