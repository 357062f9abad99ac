"""`requirements/install.sh`: what it says on a bare machine, and that it does nothing twice."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("sh", "cat", "cksum", "dirname", "sed", "rm", "env")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the script reads, and a `tools` folder with nothing but what every Unix has."""
    (tmp_path / "requirements").mkdir()
    for name in ("requirements/install.sh", "requirements/dev.txt", "pyproject.toml"):
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


def install(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "requirements" / "install.sh")],
        env={"PATH": str(checkout / "tools")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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
    # Stands for the environment's Python and, by the calls that it writes down, for pip.
    script(checkout / ".venv" / "bin" / "python", 'echo "$*" >>"${0%/*}/calls"')
    calls = checkout / ".venv" / "bin" / "calls"

    def pip_calls() -> int:
        assert install(checkout).returncode == 0
        count: int = calls.read_text().count("-m pip install")
        calls.unlink()
        return count

    assert pip_calls() == 2
    assert pip_calls() == 0
    with (checkout / "requirements" / "dev.txt").open("a") as pins:
        pins.write("# changed\n")
    assert pip_calls() == 2
