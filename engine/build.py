"""Builds the command line from its Go module and puts the stand-in language host beside it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from engine.errors import EngineError
from engine.versions import BUILT

HERE = Path(__file__).resolve().parent
MODULE = HERE / "go"
LAUNCHERS = HERE / "launchers"
LANGUAGE_HOST = HERE / "language_host"

_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_SECONDS = 3600


def module_files() -> list[Path]:
    """The files that decide what is built."""
    return [MODULE / "go.mod", MODULE / "go.sum", MODULE / "tools.go"]


def stand_in_files() -> list[Path]:
    """The files that are put beside the built program."""
    return [*sorted(LAUNCHERS.iterdir()), *sorted(LANGUAGE_HOST.glob("*.py"))]


def check_go(module: Path = MODULE) -> None:
    """Makes sure that a Go of the version that go.mod asks for is there, or is fetched by Go itself.

    Args:
        module: the folder with go.mod.

    Raises:
        EngineError: with one line that says what is missing.
    """
    needed = next(
        line.split()[1] for line in (module / "go.mod").read_text().splitlines() if line.startswith("go ")
    )
    if shutil.which("go") is None:
        raise EngineError(f"building needs Go {needed} or newer, and there is no go on PATH")
    # Run in the module's folder: a `go` that is too old either switches to a newer one or fails here.
    done = run_go("env", "GOVERSION", module=module, seconds=300)
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["go does not run"])[-1]
        raise EngineError(f"building needs Go {needed} or newer: {words}")


def build_cli(target: Path) -> None:
    """Builds `pulumi` into an existing empty folder. Minutes when nothing is cached.

    Raises:
        EngineError: Go is missing or the build failed; the last line of Go's own message is in it.
    """
    check_go()
    done = run_go(
        "build",
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        f"-s -w -X {_VERSION_VARIABLE}={BUILT}",
        "-o",
        str(target / "pulumi"),
        _PACKAGE,
        seconds=_SECONDS,
    )
    if done.returncode != 0:
        words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EngineError(f"the Go build of Pulumi {BUILT} failed: {words}")


def assemble(cli: Path, target: Path) -> None:
    """Makes `target/bin` (pulumi and the launchers) and `target/lib` (the stand-in language host).

    Args:
        cli: the built program. It is linked, or copied where the file system has no hard links.
        target: an existing empty folder.
    """
    programs = target / "bin"
    programs.mkdir()
    try:
        os.link(cli, programs / "pulumi")
    except OSError:
        shutil.copy2(cli, programs / "pulumi")
    for launcher in LAUNCHERS.iterdir():
        shutil.copyfile(launcher, programs / launcher.name)
        (programs / launcher.name).chmod(0o755)
    shutil.copytree(
        LANGUAGE_HOST, target / "lib" / "gpuplane_language_host", ignore=shutil.ignore_patterns("__pycache__")
    )


def run_go(
    *arguments: str, seconds: float, module: Path = MODULE, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `go` in a module's folder.

    Args:
        arguments: its command and what belongs to it.
        seconds: how long it may take.
        module: the folder with go.mod.
        variables: further environment variables.

    Raises:
        EngineError: it took longer.
    """
    try:
        return subprocess.run(
            ["go", *arguments],
            cwd=module,
            env={**os.environ, **(variables or {})},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"go {arguments[0]} did not end within {seconds:.0f} s") from error
