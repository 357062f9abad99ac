"""Runs a Pulumi program: in this process, or in another Python when the project wants another."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2

from .fence import raise_fence
from .streams import START


def run_here(request: Any, context: Any) -> Any:
    """Runs the program of a RunRequest in this process and returns its RunResponse.

    The engine starts a language host for each run, so nothing of an earlier program is in the way.
    """
    folder = request.info.program_directory or request.pwd
    program = os.path.normpath(Path(folder, request.info.entry_point or "."))
    os.chdir(request.pwd or folder)
    sys.path.insert(0, program if Path(program).is_dir() else str(Path(program).parent))
    return LanguageServer(lambda: _execute(program)).Run(request, context)


def run_elsewhere(python: str, request: Any) -> Any:
    """Runs the program in another Python: the request goes in on its input, the response comes out on a pipe."""
    read_end, write_end = os.pipe()
    child = subprocess.Popen(
        [python, "-u", START, "program", str(write_end)],
        stdin=subprocess.PIPE,
        pass_fds=[write_end],
        cwd=request.pwd or None,
    )
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        child.communicate(request.SerializeToString())
        data = answer.read()
    if child.returncode != 0:
        return language_pb2.RunResponse(error=f"{python} ended with status {child.returncode}")
    return language_pb2.RunResponse.FromString(data)


def main(arguments: list[str]) -> None:
    """The other Python's side of `run_elsewhere`.

    Args:
        arguments: the number of the pipe to answer on.
    """
    raise_fence()
    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    response = run_here(request, None)
    with os.fdopen(int(arguments[0]), "wb") as answer:
        answer.write(response.SerializeToString())


def _execute(program: str) -> None:
    runpy.run_path(program, run_name="__main__")
