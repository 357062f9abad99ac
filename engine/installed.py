"""Chooses an engine: one on PATH, else the official download, else a build from the Go module."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine import build, official, on_path, versions
from engine.cache import cache_root, digest, make_once
from engine.errors import EngineError
from engine.machine import Machine, this_machine


@dataclass(frozen=True)
class Engine:
    """An engine that is ready to run."""

    folder: Path
    version: str
    origin: str
    why: str
    tested: bool

    @property
    def line(self) -> str:
        """One line that says what was chosen and why."""
        note = "" if self.tested else "; this kind of machine is untested"
        return f"engine: Pulumi {self.version}, {self.origin} ({self.why}{note}): {self.folder}"


@dataclass(frozen=True)
class Ways:
    """The three ways to an engine, so that a test can put its own in their place."""

    find: Callable[[], on_path.Found]
    download: Callable[[Machine, Path], None]
    build: Callable[[Path], None]
    announce: Callable[[str], None]


def usual_ways() -> Ways:
    """The real ones: PATH, the network, Go."""
    return Ways(
        find=lambda: on_path.find(os.environ.get("PATH", ""), ignore=cache_root()),
        download=official.install,
        build=build.build_cli,
        announce=lambda text: print(text, file=sys.stderr, flush=True),
    )


def locate(
    ways: Ways | None = None, root: Path | None = None, machine: Machine | None = None
) -> Engine | None:
    """Returns the engine that is there already, in the order of `ensure`; None when it has to be made first.

    Args:
        ways: how to look; the real ones by default.
        root: the cache's folder.
        machine: the machine to look for.

    Raises:
        EngineError: the machine is not supported.
    """
    machine = machine or this_machine()
    ways, root = ways or usual_ways(), root or cache_root()
    found = ways.find()
    if found.folder is not None:
        return Engine(found.folder, found.version, "found on PATH", versions.accepted_range(), machine.tested)
    downloaded = root / _official_name(machine)
    if downloaded.is_dir():
        return _official(downloaded, found.reason, machine)
    built = root / _built_name(machine)
    return _built(built, found.reason, machine) if built.is_dir() else None


def require(ways: Ways | None = None, root: Path | None = None, machine: Machine | None = None) -> Engine:
    """As `locate`, for callers that can do nothing without an engine.

    Raises:
        EngineError: there is none yet; the message names the command that gets one.
    """
    engine = locate(ways, root, machine)
    if engine is None:
        raise EngineError("there is no Pulumi engine on this machine yet: run `make engine`")
    return engine


def ensure(ways: Ways | None = None, root: Path | None = None, machine: Machine | None = None) -> Engine:
    """Returns a working engine; downloads or builds one when there is none.

    Args:
        ways: how to get one; the real ones by default.
        root: the cache's folder.
        machine: the machine to get it for.

    Raises:
        EngineError: nothing works; the message is one line and names what each way lacked.
    """
    machine = machine or this_machine()
    ways, root = ways or usual_ways(), root or cache_root()
    ready = locate(ways, root, machine)
    if ready is not None:
        return ready
    reasons = [ways.find().reason]
    try:
        folder = make_once(root, _official_name(machine), lambda work: ways.download(machine, work))
        return _official(folder, reasons[0], machine)
    except EngineError as error:
        reasons.append(str(error))

    def build_cli(work: Path) -> None:
        ways.announce(
            f"engine: {'; '.join(reasons)}: building Pulumi {versions.BUILT} from its Go module (minutes)"
        )
        ways.build(work)

    try:
        cli = make_once(root, _cli_name(machine), build_cli)
        folder = make_once(root, _built_name(machine), lambda work: build.assemble(cli / "pulumi", work))
    except EngineError as error:
        tried = "; ".join([*reasons, str(error)])
        raise EngineError(
            f"no Pulumi engine: {tried}. Install Pulumi {versions.accepted_range()} or Go."
        ) from error
    return _built(folder, "; ".join(reasons), machine)


def _official_name(machine: Machine) -> str:
    return f"official-{versions.BUILT}-{machine.name}"


def _cli_name(machine: Machine) -> str:
    return f"cli-{machine.name}-{digest([versions.BUILT], build.module_files())}"


def _built_name(machine: Machine) -> str:
    # A change of the stand-ins makes a new folder but uses the built program again.
    return f"built-{machine.name}-{digest([_cli_name(machine)], build.stand_in_files())}"


def _official(folder: Path, why: str, machine: Machine) -> Engine:
    return Engine(folder / "bin", versions.BUILT, "the official release", why, machine.tested)


def _built(folder: Path, why: str, machine: Machine) -> Engine:
    origin = "built from its Go module, with gpuplane's stand-in for the Python language host"
    return Engine(folder / "bin", versions.BUILT, origin, why, machine.tested)
