"""Runs a child process and passes on what it prints while it prints it."""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

#: ("stdout" | "stderr", bytes)
Piece = tuple[str, bytes]

START = str(Path(__file__).resolve().with_name("start.py"))


def stream(
    command: Sequence[str],
    folder: str,
    variables: Mapping[str, str] | None,
    on_end: Callable[[Callable[[], None]], object],
) -> Iterator[Piece | int]:
    """Yields pieces of output, and last the exit status.

    Args:
        command: program and arguments.
        folder: its working directory.
        variables: its environment; this process's when None.
        on_end: registers a callback for when nobody wants the output any more; the child is then ended.
    """
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # ^C in the terminal is the engine's to pass on
    )
    on_end(lambda: _end(child))
    pieces: queue.Queue[Piece | None] = queue.Queue()
    for name, source in (("stdout", child.stdout), ("stderr", child.stderr)):
        threading.Thread(target=_pump, args=(name, source, pieces), daemon=True).start()
    open_streams = 2
    while open_streams:
        piece = pieces.get()
        if piece is None:
            open_streams -= 1
        else:
            yield piece
    yield child.wait()


def python_module(python: str, module: str, *arguments: str) -> list[str]:
    """The command that runs a Python module behind the fence."""
    return [python, "-u", START, "module", module, *arguments]


def _pump(name: str, source: IO[bytes], pieces: "queue.Queue[Piece | None]") -> None:
    with source:
        while data := os.read(source.fileno(), 65536):
            pieces.put((name, data))
    pieces.put(None)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        try:
            os.killpg(child.pid, signal.SIGTERM)
        except ProcessLookupError:
            return
