"""Runs a Pulumi program: in this process, or in another Python when the project wants another."""

import os
import runpy
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pulumi
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2

from .fence import raise_fence
from .streams import START

# Before an answer on the pipe. A response that says "all went well" is no bytes at all, and so is that of a
# Python that died; and the engine deletes what a program that went well did not declare.
_COMPLETE = b"complete:"


def run_here(request: Any, context: Any) -> Any:
    """Runs the program of a RunRequest in this process and returns its RunResponse.

    The engine starts a language host for each run, so nothing of an earlier program is in the way.
    """
    folder = request.info.program_directory or request.pwd
    program = os.path.normpath(Path(folder, request.info.entry_point or "."))
    os.chdir(request.pwd or folder)
    sys.path.insert(0, program if Path(program).is_dir() else str(Path(program).parent))

    def start() -> None:
        # The SDK's server is made for inline programs, which have no root folder.
        pulumi.runtime.settings.SETTINGS.root_directory = request.info.root_directory
        execute(program)

    server: Any = LanguageServer(start)  # the SDK gives its methods no types
    response = server.Run(request, context)
    if response.error:
        # The SDK's server has told the engine already. Bailing out says: failed, nothing more to print.
        return language_pb2.RunResponse(bail=True)
    return response


def execute(program: str) -> None:
    """Runs a program file or folder as `__main__`.

    Args:
        program: its path.

    Raises:
        pulumi.RunError: the program failed. Its message is what the user sees: that of the program's own
            RunError or `sys.exit`, else the traceback without the frames that are not the program's.
    """
    try:
        runpy.run_path(program, run_name="__main__")
    except pulumi.RunError:
        raise
    except SystemExit as error:
        if error.code is None or error.code == 0:
            return
        status = f"The program exited with status {error.code}"
        raise pulumi.RunError(error.code if isinstance(error.code, str) else status) from None
    except BaseException as error:
        raise pulumi.RunError(
            f"Program failed with an unhandled exception:\n{_own_traceback(error)}"
        ) from None


def _own_traceback(error: BaseException) -> str:
    frames = error.__traceback__
    ours = (__file__, runpy.__file__, "<frozen runpy>")
    while frames and frames.tb_frame.f_code.co_filename in ours:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()


def run_elsewhere(python: str, request: Any) -> Any:
    """Runs the program in another Python: the request goes in on its input, the response out on a pipe."""
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
    if not data.startswith(_COMPLETE):
        return language_pb2.RunResponse(error=f"The program's Python ended early (status {child.returncode})")
    return language_pb2.RunResponse.FromString(data.removeprefix(_COMPLETE))


def main(arguments: list[str]) -> None:
    """The other Python's side of `run_elsewhere`.

    Args:
        arguments: the number of the pipe to answer on.
    """
    raise_fence()
    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    response = run_here(request, None)
    with os.fdopen(int(arguments[0]), "wb") as answer:
        answer.write(_COMPLETE + response.SerializeToString())
