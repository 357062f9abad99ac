"""Which Python a program or a policy pack wants."""

import os
import sys
from pathlib import Path
from typing import Any


class NoSuchEnvironment(Exception):
    """The virtual environment that the project file names isn't there. One line, meant for a person."""


def wanted_folder(info: Any) -> Path | None:
    """Returns the virtual environment that the project file names, whether it is there or not.

    Args:
        info: the engine's ProgramInfo. `options.virtualenv` is relative to the folder of the project file.
    """
    options = dict(info.options) if info.HasField("options") else {}
    name = options.get("virtualenv") or os.environ.get("PULUMI_RUNTIME_VIRTUALENV") or ""
    if not name and options.get("toolchain") == "uv":
        name = ".venv"
    return Path(info.root_directory or info.program_directory or ".") / str(name) if name else None


def wanted_python(info: Any) -> str:
    """Returns the interpreter to use: that of the named virtual environment, else this one.

    Raises:
        NoSuchEnvironment: Pulumi.yaml names a virtual environment that isn't there.
    """
    folder = wanted_folder(info)
    if folder is None or is_own(folder):
        return sys.executable
    python = folder / "bin" / "python"
    if not python.exists():
        raise NoSuchEnvironment(
            f"There is no virtual environment at {folder} (runtime.options.virtualenv of the project file): "
            "make it and install the requirements into it."
        )
    return str(python)


def is_own(folder: Path) -> bool:
    """Whether this process runs in that virtual environment."""
    return folder.resolve() == Path(sys.prefix).resolve()
