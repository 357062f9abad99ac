"""Which resource plugin the engine finds: the official one wherever there is one, else a stand-in of ours.

With an SDK installed, the engine wants its plugin in every run, of whatever program. It takes one from PATH
before one in its home, and downloads it otherwise. So:

- `fetching.look()` (by `python -m engine ensure`) tries the network for every plugin that is not here. What can
  be had is downloaded once, into the cache; a refusal is kept for a day, as a closed network takes seconds to
  say no.
- `lend()` puts what was downloaded into the home of a run.
- `extended()` adds stand-ins to the end of PATH, only for plugins that are neither on PATH nor in a home nor
  in the cache and whose download was refused. No stand-in is ever written into a home, where it would outlive
  the run.
- `in_front()` is for tests: the stand-in, whatever else there is.

`GPUPLANE_STAND_INS` may say `always` (stand-ins before official plugins) or `never`.

To add a stand-in: a package `engine/standins/<name>` with `__main__.main(arguments)`, and an executable
`launchers/<package>/pulumi-resource-<package>` that runs `launchers/start <name>`. Its SDK is
`pulumi-<package>`.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from engine.cache import cache_root
from engine.errors import EngineError
from engine.standins import records

LAUNCHERS = Path(__file__).resolve().parent / "launchers"
VARIABLE = "GPUPLANE_STAND_INS"
MODES = ("", "always", "never")
_INSTALLED = re.compile(r"resource-(?P<package>.+)-v(?P<version>\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class Choice:
    """What the engine is given for one package."""

    package: str
    version: str
    stand_in: bool
    why: str
    #: What goes on PATH, or is lent to a home; None when the engine finds or downloads the plugin by itself.
    folder: Path | None = None

    @property
    def line(self) -> str:
        """One line that says which plugin and why."""
        what = "gpuplane's stand-in" if self.stand_in else "the official plugin"
        return f"plugin: {self.package} {self.version}, {what} ({self.why})"


def packages() -> list[str]:
    """The packages that have a stand-in."""
    return sorted(folder.name for folder in LAUNCHERS.iterdir() if folder.is_dir())


def launcher_folder(package: str) -> Path:
    """The folder with `pulumi-resource-<package>`, to put on PATH.

    Raises:
        EngineError: the package has no stand-in.
    """
    folder = LAUNCHERS / package
    if not folder.is_dir():
        raise EngineError(f"there is no stand-in for {package!r}, only for {', '.join(packages())}")
    return folder


def installed_sdks() -> dict[str, str]:
    """Package -> version of its SDK, for the packages whose SDK this Python has."""
    found = {}
    for package in packages():
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(f"pulumi-{package}")
    return found


def choose(
    path: str,
    homes: Iterable[Path],
    *,
    sdks: Mapping[str, str] | None = None,
    root: Path | None = None,
    mode: str | None = None,
) -> list[Choice]:
    """What the engine should use for each package whose SDK is here. Looks at files only.

    Args:
        path: the PATH that `pulumi` gets.
        homes: folders that `pulumi` keeps its plugins in, that of the run (PULUMI_HOME) first.
        sdks: package -> version; those of this Python by default.
        root: the cache's folder.
        mode: `always`, `never` or empty; GPUPLANE_STAND_INS by default.

    Raises:
        EngineError: the mode is none of them.
    """
    mode, root = _mode(mode), root or cache_root()
    homes = list(homes)
    choices = []
    for package, version in (installed_sdks() if sdks is None else sdks).items():
        found = official(package, version, path, [*homes, records.kept(root, package, version)])
        reason = records.refusal(root, package, version)[0]
        launcher = launcher_folder(package)
        if mode == "always":
            choice = Choice(package, version, True, f"{VARIABLE}=always", launcher)
        elif found is not None:
            found_by_itself = found.on_path or found.folder.parent.parent == homes[0]
            choice = Choice(
                package, version, False, f"{found.folder}", None if found_by_itself else found.folder
            )
        elif mode == "never":
            choice = Choice(package, version, False, f"{VARIABLE}=never")
        elif reason:
            choice = Choice(package, version, True, f"official download: {reason}", launcher)
        else:
            choice = Choice(package, version, False, "the engine downloads it")
        choices.append(choice)
    return choices


def extended(path: str, homes: Iterable[Path], mode: str | None = None, root: Path | None = None) -> str:
    """PATH with the stand-ins that `choose` takes, behind everything else (before it with `always`)."""
    folders = [
        choice.folder
        for choice in choose(path, homes, root=root, mode=mode)
        if choice.stand_in and choice.folder
    ]
    return _joined([*folders, path] if _mode(mode) == "always" else [path, *folders])


def lend(path: str, homes: Sequence[Path], root: Path | None = None) -> None:
    """Puts the official plugins of the cache and of the other homes into the first home, as links.

    Args:
        path: the PATH that `pulumi` gets.
        homes: the home of the run, and others to take plugins from.
        root: the cache's folder.
    """
    for choice in choose(path, homes, root=root):
        if choice.stand_in or choice.folder is None:
            continue
        # The engine overlooks a linked folder, but takes a folder of links.
        target = homes[0] / "plugins" / choice.folder.name
        target.mkdir(parents=True, exist_ok=True)
        for file in choice.folder.iterdir():
            with contextlib.suppress(FileExistsError):  # another process was quicker
                (target / file.name).symlink_to(file)


def in_front(names: Iterable[str], path: str) -> str:
    """PATH on which the stand-ins of these packages come first, whatever official plugins there are."""
    return _joined([*(launcher_folder(name) for name in names), path])


def _mode(mode: str | None) -> str:
    mode = os.environ.get(VARIABLE, "") if mode is None else mode
    if mode not in MODES:
        raise EngineError(f"{VARIABLE} is {mode!r}: it may be always, never or not set")
    return mode


def _joined(parts: Iterable[Path | str]) -> str:
    return os.pathsep.join(str(part) for part in parts if str(part))


@dataclass(frozen=True)
class Official:
    """Where an official plugin is."""

    folder: Path
    on_path: bool


def official(package: str, version: str, path: str, homes: Iterable[Path]) -> Official | None:
    """Looks for the official plugin of a package: on PATH, then in the homes.

    Args:
        package: the package.
        version: the SDK's; an installed plugin has to fit it.
        path: a PATH; our own launchers on it do not count.
        homes: folders that `pulumi` keeps its plugins in.
    """
    kept = _joined(
        part for part in path.split(os.pathsep) if part and not Path(part).is_relative_to(LAUNCHERS)
    )
    program = shutil.which(f"pulumi-resource-{package}", path=kept) if kept else None
    if program:
        return Official(Path(program).parent, True)
    for home in homes:
        for name, other in _installed(home / "plugins"):
            if name == package and _fits(other, version):
                return Official(home / "plugins" / f"resource-{package}-v{other}", False)
    return None


def _installed(folder: Path) -> Iterator[tuple[str, str]]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        found = _INSTALLED.fullmatch(entry.name)
        if found and entry.is_dir() and not entry.with_name(f"{entry.name}.partial").exists():
            yield found["package"], found["version"]


def _fits(installed: str, wanted: str) -> bool:
    """The engine takes an installed plugin of the same major version that is not older than the SDK."""
    have, want = (tuple(map(int, re.findall(r"\d+", text)[:3])) for text in (installed, wanted))
    return have[0] == want[0] and have >= want
