"""Where the project is, and under which environment its engine runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from cli.errors import CliError

PROJECT = "gpuplane"
DEV_STACK = "dev"
"""The embedded stack, whose clouds are emulators of this checkout."""
DEV_TIME_SCALE = "20"
"""Emulated seconds for each real one in the dev stack."""


def find_root(start: Path | None = None) -> Path:
    """The project's folder: the nearest one upwards whose Pulumi.yaml is ours.

    Args:
        start: Where to begin; by default the working folder.

    Raises:
        CliError: There is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        file = folder / "Pulumi.yaml"
        if file.is_file() and _name_in(file) == PROJECT:
            return folder
    raise CliError(f"no {PROJECT} project here: run this in a folder whose Pulumi.yaml has `name: {PROJECT}`")


def engine_environment(root: Path, stack: str, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for the engine.

    The dev stack has its own backend, passphrase and emulators inside the checkout, whatever the caller is
    logged in to. Any other stack keeps the caller's, but the password of a backend is taken out of its URL;
    PATH gets the engine.

    Args:
        root: The project's folder.
        stack: Name of the stack; empty for the one that is selected.
        base: The caller's environment.

    Raises:
        EngineError: There is no engine on this machine.
    """
    from cli.backends import without_password
    from cli.emulated import running_scale
    from engine.environment import QUIET, environment, plugin_homes
    from engine.installed import require
    from engine.standins import placing

    if is_dev(stack):
        # One dial for the emulators and for the clients that wait on them.
        running = running_scale(root / ".gpuplane" / "emulators")
        scale = base.get("GPUPLANE_TIME_SCALE") or running or DEV_TIME_SCALE
        return environment(root, base=base, extra={"GPUPLANE_TIME_SCALE": scale, "GPUPLANE_EMULATED": "1"})
    path = os.pathsep.join([str(require().folder), str(root / ".venv" / "bin"), base.get("PATH", os.defpath)])
    own = without_password(root, base)
    return {**QUIET, **own, "PATH": placing.extended(path, plugin_homes(base))}


def is_dev(stack: str) -> bool:
    """Whether this is the embedded stack; its name is taken."""
    return stack.rsplit("/", 1)[-1] == DEV_STACK


def _name_in(file: Path) -> object:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return None
    return document.get("name") if isinstance(document, dict) else None
