"""Builds the stand-in of a vLLM node and the load generator, once, into the cache outside the checkout."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from engine.build import run_go
from engine.cache import cache_root, digest, make_once
from engine.errors import EngineError

MODULE = Path(__file__).resolve().parent / "standin"
_SECONDS = 600.0


def standin() -> Path:
    """The program `standin`; built first where this source has not been yet (seconds, needs Go).

    Raises:
        EngineError: There is no Go, or the build failed; one line with its last words.
    """
    sources = [
        MODULE / "go.mod",
        *(file for file in MODULE.glob("*.go") if not file.name.endswith("_test.go")),
    ]

    def fill(work: Path) -> None:
        # Standard library only: the Go that is here will do, none is fetched.
        try:
            done = run_go(
                "build",
                "-trimpath",
                "-buildvcs=false",
                "-o",
                str(work / "standin"),
                ".",
                seconds=_SECONDS,
                module=MODULE,
                variables={"GOTOOLCHAIN": "local", "CGO_ENABLED": "0"},
            )
        except FileNotFoundError:
            raise EngineError(
                "the gateway's tests and benchmarks need Go, and there is no go on PATH"
            ) from None
        if done.returncode != 0:
            words = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EngineError(f"the Go build of the stand-in failed: {words}")

    name = f"standin-{digest([sys.platform, platform.machine()], sources)}"
    return make_once(cache_root().parent / "gateway", name, fill) / "standin"


if __name__ == "__main__":
    try:
        print(standin())
    except EngineError as error:
        raise SystemExit(str(error)) from None
