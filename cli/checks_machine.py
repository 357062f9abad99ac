"""What the doctor looks at on this machine: Python, packages, engine, plugins, limits, a folder."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from cli.checks import FAIL, OK, WARN, Check, Level

_HOST = "pulumi-resource-pulumi-python"
_LANGUAGE = "pulumi-language-python"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?P<marker>\s*;)?")
FILES = (256, 1024)
"""Open files: below the first nothing works well, below the second not many nodes at once."""
PROCESSES = (64, 1024)
"""The same for processes and threads: the provider has one thread for each node that is being made."""


def machine_checks(root: Path) -> Iterator[Check]:
    """All of them, in the order in which they matter.

    Args:
        root: The project's folder.
    """
    yield python_check(root)
    yield packages_check(root / "requirements" / "dev.txt", _installed())
    yield from engine_checks(root)
    yield from limit_checks()


def python_check(root: Path) -> Check:
    """The Python that runs this, and the one that the engine will run."""
    version = ".".join(map(str, sys.version_info[:3]))
    if not (root / ".venv" / "bin" / "python").exists():
        return Check(
            "python", FAIL, "there is no .venv, which the engine runs the program with", "run `make venv`"
        )
    if Path(sys.prefix).resolve() != (root / ".venv").resolve():
        return Check("python", WARN, f"{version} of {sys.prefix}, not of .venv", "call .venv/bin/gpuplane")
    return Check("python", OK, f"{version} in .venv")


def packages_check(pins: Path, installed: Mapping[str, str]) -> Check:
    """Whether what is installed is what is pinned.

    Args:
        pins: The file with the pins.
        installed: Normalised name -> version.
    """
    try:
        text = pins.read_text(encoding="utf-8")
    except OSError:
        return Check("packages", WARN, f"{pins.name} can not be read", "check out the project again")
    wrong = []
    count = 0
    for pin in filter(None, map(_PIN.match, text.splitlines())):
        count += 1
        have = installed.get(_normal(pin["name"]))
        if have is None and not pin["marker"]:  # one with a marker may be for another kind of machine
            wrong.append(f"{pin['name']} is missing")
        elif have is not None and have != pin["version"]:
            wrong.append(f"{pin['name']} is {have}, pinned is {pin['version']}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return Check("packages", WARN, f"{', '.join(wrong[:3])}{more}", "run `make venv`")
    return Check("packages", OK, f"{count} packages as pinned")


def engine_checks(root: Path) -> Iterator[Check]:
    """The engine, whether it runs, and the two plugins that it needs."""
    from engine.errors import EngineError
    from engine.installed import locate

    try:
        engine = locate()
    except EngineError as error:
        yield Check("engine", FAIL, str(error))
        return
    if engine is None:
        yield Check("engine", FAIL, "there is no Pulumi engine on this machine", "run `make engine`")
        return
    said = _output([str(engine.folder / "pulumi"), "version"])
    if said is None:
        yield Check(
            "engine", FAIL, f"{engine.folder / 'pulumi'} does not run", "remove it and run `make engine`"
        )
    else:
        level: Level = OK if engine.tested else WARN
        kind = "" if engine.tested else "; this kind of machine is untested"
        yield Check("engine", level, f"Pulumi {said.removeprefix('v')}, {engine.origin}{kind}")
    path = os.pathsep.join([str(engine.folder), os.environ.get("PATH", os.defpath)])
    language = shutil.which(_LANGUAGE, path=path)
    if language is None:
        yield Check(
            "plugin: language", FAIL, f"{_LANGUAGE} is missing beside the engine", "run `make engine`"
        )
    else:
        yield Check("plugin: language", OK, language)
    yield host_check(root)


def host_check(root: Path) -> Check:
    """Our host for dynamic providers: there, executable, and named in Pulumi.yaml."""
    import yaml

    file = root / "dynamic_providers" / "host" / _HOST
    try:
        document = yaml.safe_load((root / "Pulumi.yaml").read_text(encoding="utf-8"))
        named = [
            (root / plugin["path"]).resolve()
            for plugin in document["plugins"]["providers"]
            if plugin["name"] == "pulumi-python"
        ]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        named = []
    if file.parent.resolve() not in named:
        return Check(
            "plugin: provider host",
            WARN,
            "Pulumi.yaml does not name our host, so the SDK's slower one runs",
            "see docs/host.md",
        )
    if not os.access(file, os.X_OK):
        return Check(
            "plugin: provider host", FAIL, f"{_HOST} is missing or not executable", f"chmod +x {file}"
        )
    return Check("plugin: provider host", OK, "ours, named in Pulumi.yaml")


def limit_checks() -> Iterator[Check]:
    """Open files and processes."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = "" if most != resource.RLIM_INFINITY and most <= files else f"ulimit -n {_count(most, 65536)}"
    yield limit_check("limit: open files", _finite(files), FILES, more or "ask for a higher hard limit")
    own, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    limits = [limit for limit in (_finite(own), _group_room()) if limit is not None]
    step = "ulimit -u 4096, or a higher pids limit for the container"
    yield limit_check("limit: processes", min(limits, default=None), PROCESSES, step)


def limit_check(name: str, limit: int | None, bounds: tuple[int, int], step: str) -> Check:
    """One limit.

    Args:
        name: Its name.
        limit: What it is now; None for none.
        bounds: Below the first it fails, below the second it is a warning.
        step: What to do.
    """
    if limit is None:
        return Check(name, OK, "none")
    level = FAIL if limit < bounds[0] else WARN if limit < bounds[1] else OK
    text = f"{limit}" if level == OK else f"{limit}, below {bounds[1]}, too few for many nodes at once"
    return Check(name, level, text, "" if level == OK else step)


def intents_check(folder: Path) -> Check:
    """The folder in which each launch is written down before it is sent."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Check(
            "intents",
            FAIL,
            f"{folder} can not be written: {error.strerror}",
            "set GPUPLANE_STATE_DIR to a folder",
        )
    return Check("intents", OK, f"{folder} is writable")


def _installed() -> dict[str, str]:
    return {_normal(each.name): each.version for each in metadata.distributions() if each.name}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _finite(limit: int) -> int | None:
    return None if limit in (resource.RLIM_INFINITY, -1) else limit


def _count(limit: int, most: int) -> int:
    finite = _finite(limit)
    return most if finite is None else min(most, finite)


def _group_room() -> int | None:
    """How many more processes this container may have; None where nothing limits it."""
    try:
        most = Path("/sys/fs/cgroup/pids.max").read_text(encoding="ascii").strip()
        now = Path("/sys/fs/cgroup/pids.current").read_text(encoding="ascii").strip()
        return None if most == "max" else int(most) - int(now)
    except (OSError, ValueError):
        return None
