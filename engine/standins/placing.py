"""Which resource plugin the engine finds: the official one wherever there is one, else a stand-in of ours.

With an SDK installed, the engine wants its plugin in every run, of whatever program. It takes one from PATH
(with a warning) before one in its home, and downloads it otherwise. So:

- `fetching.look()` (by `python -m engine ensure`) tries the network for every plugin that is not here. What
  can be had is downloaded once, into the cache; a refusal is kept for a day.
- `fill()` puts into a home of this project what each plugin needs: the official one from the cache or another
  home, or, only where none is on PATH or in a home and its download was refused, a stand-in. It takes a
  stand-in away again as soon as there is an official plugin.
- `extended()` is for a home that isn't ours (`~/.pulumi`), into which nothing is written: PATH with the
  stand-ins at its end.
- `in_front()` is for tests: the stand-in, whatever else there is.

`GPUPLANE_STAND_INS` may say `always` (stand-ins before official plugins) or `never`.

To add a stand-in: a package `engine/standins/<name>` with `__main__.main(arguments)`, and an executable
`launchers/<package>/pulumi-resource-<package>` that runs `launchers/start <name>`. Its SDK is
`pulumi-<package>`.
"""

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from engine.cache import cache_root
from engine.errors import EngineError
from engine.standins import records

LAUNCHERS = Path(__file__).resolve().parent / "launchers"
VARIABLE = "GPUPLANE_STAND_INS"
MARK = "gpuplane-stand-in"
"""A file beside a stand-in in a home, so that it is never taken for the official plugin."""
MODES = ("", "always", "never")
_INSTALLED = re.compile(r"resource-(?P<package>.+)-v(?P<version>\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class Choice:
    """What the engine is given for one package."""

    package: str
    version: str
    stand_in: bool
    why: str
    #: What goes on PATH, or into a home; None when the engine finds or downloads the plugin by itself.
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


def fill(home: Path, path: str, others: Iterable[Path] = (), root: Path | None = None) -> None:
    """Puts the plugins that the installed SDKs need into a home of ours. Looks at files only.

    Args:
        home: the folder that `pulumi` gets as PULUMI_HOME.
        path: the PATH that it gets.
        others: further homes, whose official plugins may be used.
        root: the cache's folder.
    """
    for choice in choose(path, [home, *others], root=root):
        target = home / "plugins" / f"resource-{choice.package}-v{choice.version}"
        if choice.stand_in and choice.folder:
            _put_stand_in(target, choice.folder / f"pulumi-resource-{choice.package}")
            continue
        if (target / MARK).exists():
            shutil.rmtree(target, ignore_errors=True)
        if choice.folder:
            # The engine overlooks a linked folder, but takes a folder of links.
            official = home / "plugins" / choice.folder.name
            official.mkdir(parents=True, exist_ok=True)
            for file in choice.folder.iterdir():
                with contextlib.suppress(FileExistsError):  # another process was quicker
                    (official / file.name).symlink_to(file)


def _put_stand_in(target: Path, launcher: Path) -> None:
    program = target / launcher.name
    text = f'#!/bin/sh\n# A stand-in, not the official plugin.\nexec {shlex.quote(str(launcher))} "$@"\n'
    if (target / MARK).exists() and program.exists() and program.read_text(encoding="utf-8") == text:
        return
    target.mkdir(parents=True, exist_ok=True)
    (target / MARK).touch()
    half = target / f".{launcher.name}-{os.getpid()}"
    half.write_text(text, encoding="utf-8")
    half.chmod(0o755)
    half.replace(program)


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
        half = entry.with_name(f"{entry.name}.partial").exists()
        if found and entry.is_dir() and not half and not (entry / MARK).exists():
            yield found["package"], found["version"]


def _fits(installed: str, wanted: str) -> bool:
    """The engine takes an installed plugin of the same major version that is not older than the SDK."""
    have, want = (tuple(map(int, re.findall(r"\d+", text)[:3])) for text in (installed, wanted))
    return have[0] == want[0] and have >= want
