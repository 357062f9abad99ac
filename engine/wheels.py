"""Puts a package that is pinned by hash into a folder, for the files in it."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from engine.errors import EngineError


def fetch_wheels(pin: Path, folder: Path, what: str, seconds: float) -> None:
    """Installs what a hashed requirements file names, without what that needs.

    Args:
        pin: The requirements file.
        folder: Gets the files.
        what: What is fetched, for errors.
        seconds: How long it may take.

    Raises:
        EngineError: There is no installer, or the package could not be had.
    """
    options = ["--quiet", "--target", str(folder), "--no-deps", "--require-hashes", "-r", str(pin)]
    done = subprocess.run(
        [*_installer(what), *options], capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(f"{what} could not be fetched: {words}")


def _installer(what: str) -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    if shutil.which("uv") is not None:
        return ["uv", "pip", "install", "--python", sys.executable]
    raise EngineError(f"fetching {what} needs pip or uv, and neither is there")
