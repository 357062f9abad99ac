"""Gets official plugins from the network, and notes where none can be had."""

import functools
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from engine.cache import cache_root, make_once
from engine.errors import EngineError
from engine.machine import Machine, this_machine
from engine.standins import placing, records

#: For each of the two addresses: a closed network must answer in seconds.
_SECONDS = 4.0
# Sources: the engine's own order, sdk/go/common/workspace/plugins.go of Pulumi 3.250.0.
_ARCHIVES = (
    "https://github.com/pulumi/pulumi-{package}/releases/download/v{version}/{file}",
    "https://get.pulumi.com/releases/plugins/{file}",
)

#: For one whole download; the archives have up to 150 MB.
_DOWNLOAD_SECONDS = 1800.0

#: Asks for the head of a URL; raises OSError when it cannot be had.
Reach = Callable[[str], None]
#: Installs an official plugin: (package, version, engine's home to put it in). Raises EngineError.
Install = Callable[[str, str, Path], None]


def look(
    path: str,
    homes: Iterable[Path],
    install: Install,
    *,
    sdks: Mapping[str, str] | None = None,
    root: Path | None = None,
    machine: Machine | None = None,
    reach: Reach | None = None,
    now: float | None = None,
) -> list[placing.Choice]:
    """As `choose`, after getting from the network every official plugin that is not here and can be had.

    Args:
        path: the PATH that `pulumi` gets.
        homes: folders that `pulumi` keeps its plugins in.
        install: installs an official plugin (`installer`).
        sdks: package -> version; those of this Python by default.
        root: the cache's folder.
        machine: the machine to ask for.
        reach: asks for the head of a URL.
        now: seconds since 1970.
    """
    homes, root = list(homes), root or cache_root()
    sdks = placing.installed_sdks() if sdks is None else sdks
    now = time.time() if now is None else now
    for package, version in sdks.items():
        kept = records.kept(root, package, version)
        if placing.official(package, version, path, [*homes, kept]) or records.refused_lately(
            root, package, version, now
        ):
            continue
        reason = _refusal(package, version, machine or this_machine(), reach or _head)
        if not reason:
            try:
                make_once(root, kept.name, functools.partial(install, package, version))
            except EngineError as error:
                reason = str(error)
        records.write(root, package, version, reason, now)
    return placing.choose(path, homes, sdks=sdks, root=root)


def installer(pulumi: Path, variables: Mapping[str, str] = os.environ) -> Install:
    """Installs plugins with `pulumi plugin install`.

    Args:
        pulumi: the command line.
        variables: the environment; its PULUMI_ variables are left out.
    """

    def install(package: str, version: str, home: Path) -> None:
        kept = {key: value for key, value in variables.items() if not key.startswith("PULUMI_")}
        try:
            done = subprocess.run(
                [str(pulumi), "plugin", "install", "resource", package, version],
                env={**kept, "PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
                cwd=home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_DOWNLOAD_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EngineError(f"did not end within {_DOWNLOAD_SECONDS:.0f} s") from None
        except OSError as error:
            raise EngineError(f"{pulumi} does not run ({error.strerror})") from error
        if done.returncode != 0:
            lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise EngineError(lines[-1] if lines else "pulumi plugin install failed without a word")

    return install


def _refusal(package: str, version: str, machine: Machine, reach: Reach) -> str:
    """Why the official plugin cannot be downloaded; empty when it can."""
    processor = {"x64": "amd64"}.get(machine.processor, machine.processor)
    file = f"pulumi-resource-{package}-v{version}-{machine.system}-{processor}.tar.gz"
    reason = ""
    for template in _ARCHIVES:
        try:
            reach(template.format(package=package, version=version, file=file))
            return ""
        except OSError as error:
            words = error.reason if isinstance(error, urllib.error.URLError) else error
            reason = reason or f"cannot be reached ({words})"
    return reason


def _head(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SECONDS):
        return
