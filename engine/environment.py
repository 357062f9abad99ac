"""The environment variables under which this project runs `pulumi`."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from engine.installed import require
from engine.standins import placing

#: Of the dev stack, whose only secrets are those of emulators on this machine. Committed on purpose.
DEV_PASSPHRASE = "dev"

#: Off by default, whatever the tools' own defaults are; docs/engine.md explains each.
QUIET = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_SUPPRESS_NEO_LINK": "true",
    "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}

#: Imports are slow without cached bytecode, and the engine starts several Pythons in a run.
_DROPPED = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME")


def environment(
    project_dir: Path,
    state_dir: Path | None = None,
    *,
    engine_bin: Path | None = None,
    passphrase: str = DEV_PASSPHRASE,
    base: Mapping[str, str] = os.environ,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Builds the environment for a run of `pulumi` that touches nothing outside the project's folders.

    Args:
        project_dir: the folder with Pulumi.yaml.
        state_dir: holds the backend's state, the engine's home, the intents and the emulators' files; by
            default `.gpuplane` of the project. Folders that the engine needs are made.
        engine_bin: the folder with `pulumi`; looked for when None.
        passphrase: of the stack's secrets.
        base: the environment to start from. Its PULUMI_ variables are left out, so that a login, a backend
            or a switch of the person who runs this can't change what the project does.
        extra: laid over the result.

    Raises:
        EngineError: there is no engine yet (`make engine` gets one).
    """
    project_dir = project_dir.resolve()
    state_dir = (state_dir or project_dir / ".gpuplane").resolve()
    engine_bin = engine_bin or require().folder
    result = {
        key: value for key, value in base.items() if not key.startswith("PULUMI_") and key not in _DROPPED
    }
    python_bin = _python_bin(project_dir)
    home = _made(state_dir / "pulumi-home")
    path = os.pathsep.join([str(engine_bin), str(python_bin), base.get("PATH", os.defpath)])
    placing.fill(home, path, plugin_homes(base))
    result.update(QUIET)
    result.update(
        {
            "PATH": path,
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": _made(state_dir / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": passphrase,
            "GPUPLANE_STATE_DIR": str(state_dir / "intents"),
            "GPUPLANE_EMULATOR_DIR": str(state_dir / "emulators"),
        }
    )
    result.update(extra or {})
    return result


def plugin_homes(variables: Mapping[str, str] = os.environ) -> list[Path]:
    """Where `pulumi` keeps the plugins that it has installed, under the caller's own settings.

    Args:
        variables: the environment.
    """
    home = variables.get("PULUMI_HOME") or Path(variables.get("HOME") or Path.home()) / ".pulumi"
    return [Path(home)]


def _python_bin(project_dir: Path) -> Path:
    own = project_dir / ".venv" / "bin"
    return own if (own / "python").exists() else Path(sys.executable).parent


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
