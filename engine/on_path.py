"""Looks for an engine that somebody else has installed."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from engine import versions

_SECONDS = 20


@dataclass(frozen=True)
class Found:
    """What is on PATH: a folder and a version, or the reason why nothing there will do."""

    folder: Path | None
    version: str
    reason: str


def find(path: str, ignore: Path) -> Found:
    """Looks for `pulumi` of an accepted version with its Python language host.

    Args:
        path: a PATH to search.
        ignore: the cache's folder. A PATH that already has our own engine in front is no find.
    """
    kept = os.pathsep.join(
        part for part in path.split(os.pathsep) if part and not _inside(Path(part), ignore)
    )
    program = shutil.which("pulumi", path=kept)
    if program is None:
        return Found(None, "", "no pulumi on PATH")
    text = _version(program)
    version = versions.parse(text)
    if version is None:
        return Found(None, "", f"{program} does not tell its version")
    if not versions.accepted(version):
        return Found(None, text, f"{program} is {text}, not {versions.accepted_range()}")
    folder = Path(program).resolve().parent
    if (
        not (folder / "pulumi-language-python").exists()
        and shutil.which("pulumi-language-python", path=kept) is None
    ):
        return Found(None, text, f"{program} {text} lacks its Python language host")
    return Found(Path(program).parent, text, "")


def _inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except OSError:
        return False


def _version(program: str) -> str:
    quiet = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run(
            [program, "version"], capture_output=True, text=True, timeout=_SECONDS, env=quiet, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
