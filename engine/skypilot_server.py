"""Puts the real SkyPilot API server, with every package pinned, into an environment of its own.

The server needs 150 packages, some of them in versions that this project doesn't use, so it never shares an
environment with it. The environment is kept outside the checkout, under a key that changes with
`requirements/skypilot.txt`, and is made once for all checkouts.

    python -m engine skypilot          makes it ready and prints its Python
"""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engine.cache import cache_root, digest, make_once
from engine.errors import EngineError

#: The release that the client, its recordings and the pinned packages are for.
VERSION = "0.14.1"

PINS = Path(__file__).resolve().parents[1] / "requirements" / "skypilot.txt"

Run = Callable[[Sequence[str]], None]


def skypilot_root(variables: Mapping[str, str] = os.environ) -> Path:
    """The folder of all such environments, by default `~/.cache/gpuplane/skypilot`."""
    return cache_root(variables).parent / "skypilot"


def environment_name(pins: Path = PINS) -> str:
    """The name of the environment below `skypilot_root()`: another one for other pins or another Python.

    Args:
        pins: the requirements file.

    Raises:
        EngineError: the file is not there.
    """
    if not pins.is_file():
        raise EngineError(f"{pins} is missing: the SkyPilot server is installed from a checkout of gpuplane")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{VERSION}-{digest([python, sys.platform, platform.machine(), sys.base_prefix], [pins])}"


def installed_python(pins: Path = PINS, root: Path | None = None) -> Path | None:
    """The server's Python when it is installed already, else None. Installs nothing."""
    python = (root or skypilot_root()) / environment_name(pins) / "bin" / "python"
    return python if python.exists() else None


def server_python(pins: Path = PINS, root: Path | None = None, run: Run | None = None) -> Path:
    """Returns the Python that has the server, installed first when it is not there (416 MB, 10 s to 2 min).

    Two processes that ask at the same time install it once.

    Args:
        pins: the requirements file, every package with its hashes.
        root: the folder of all such environments.
        run: runs a command line; the real one by default.

    Returns:
        The path of `bin/python`; `python -m sky.server.server` starts the server.

    Raises:
        EngineError: it can't be installed; one line with the installer's last words.
    """
    root = root or skypilot_root()
    name = environment_name(pins)
    run = run or _run

    def fill(work: Path) -> None:
        print(f"engine: installing the SkyPilot server {VERSION} (about 420 MB)", file=sys.stderr, flush=True)
        for command in _commands(work, pins, _has_uv()):
            run(command)
        _move_scripts(work, root / name)

    return make_once(root, name, fill) / "bin" / "python"


def _commands(work: Path, pins: Path, uv: bool) -> list[list[str]]:
    python = work / "bin" / "python"
    # The Python below a virtual environment: one that is made from another one ends with it.
    base = getattr(sys, "_base_executable", "") or sys.executable
    if uv:
        return [
            ["uv", "venv", "--quiet", "--allow-existing", "--python", base, str(work)],
            ["uv", "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(pins)],
        ]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [[base, "-m", "venv", str(work)], [*pip, "--require-hashes", "-r", str(pins)]]


def _has_uv() -> bool:
    try:
        return subprocess.run(["uv", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        words = " ".join((done.stderr or done.stdout).split())
        raise EngineError(f"the SkyPilot server can't be installed: {command[0]}: {words[-600:]}")


def _move_scripts(work: Path, target: Path) -> None:
    """Scripts name their Python by its full path: writes the one that they will have after the renaming."""
    for script in (work / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if content.startswith(b"#!") or script.name.startswith(("activate", "Activate")):
            script.write_bytes(content.replace(str(work).encode(), str(target).encode()))
