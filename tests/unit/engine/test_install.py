"""`requirements/install.sh`: what it says on a bare machine, and that it does nothing twice."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("sh", "cat", "cksum", "dirname", "sed", "sort", "rm", "env")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the script reads, and a `tools` folder with nothing but what every Unix has."""
    (tmp_path / "requirements").mkdir()
    for name in ("requirements/install.sh", "requirements/dev.txt", "requirements/aws.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "tools").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / "tools" / tool).symlink_to(found)
    return tmp_path


def script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def install(checkout: Path, extras: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "requirements" / "install.sh")],
        env={"PATH": str(checkout / "tools"), "EXTRAS": extras},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def pip_calls(checkout: Path, extras: str = "") -> list[str]:
    """Installs, and returns the calls of pip that this took."""
    # Stands for the environment's Python and, by the calls that it writes down, for pip.
    script(checkout / ".venv" / "bin" / "python", 'echo "$*" >>"${0%/*}/calls"')
    calls = checkout / ".venv" / "bin" / "calls"
    done = install(checkout, extras)
    assert done.returncode == 0, done.stderr
    found = [line for line in calls.read_text().splitlines() if line.startswith("-m pip install")]
    calls.unlink()
    return found


@pytest.mark.parametrize("old_one", [False, True])
def test_without_a_new_enough_python_one_line_says_so(checkout, old_one):
    if old_one:
        script(checkout / "tools" / "python3", "exit 1")
    done = install(checkout)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr and done.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()


def test_a_python_that_cannot_make_environments_is_said_so(checkout):
    python = checkout / "tools" / "python3"
    answers = [
        f"*sys.executable*) echo {python};;",
        "*--version*) echo Python 3.11.2;;",
        "*version_info*) ;;",
        "*) exit 1;;",
    ]
    script(python, f'case "$*" in {" ".join(answers)} esac')
    done = install(checkout)
    assert done.returncode == 1
    assert "python3-venv" in done.stderr
    assert not (checkout / ".venv").exists() and not (checkout / ".venv-error").exists()


def test_nothing_is_done_twice_and_a_changed_pin_is_noticed(checkout):
    assert len(pip_calls(checkout)) == 2
    assert pip_calls(checkout) == []
    with (checkout / "requirements" / "dev.txt").open("a") as pins:
        pins.write("# changed\n")
    assert len(pip_calls(checkout)) == 2


def test_an_extra_is_added_once_and_stays(checkout):
    assert len(pip_calls(checkout)) == 2
    assert "-r requirements/dev.txt -r requirements/aws.txt" in pip_calls(checkout, "aws")[0]
    assert pip_calls(checkout) == [], "a target without extras leaves them where they are"
    assert pip_calls(checkout, "aws") == []
    with (checkout / "requirements" / "aws.txt").open("a") as pins:
        pins.write("# changed\n")
    assert "-r requirements/aws.txt" in pip_calls(checkout)[0]


@pytest.mark.parametrize("name", ["dev", "skypilot", "../x"])
def test_an_extra_that_there_is_not_is_one_line(checkout, name):
    done = install(checkout, f"aws {name}")
    assert done.returncode == 1
    assert f"no extra {name}" in done.stderr and done.stderr.count("\n") == 1
