"""What the engine says about the operation that runs in this thread.

`pulumi.dynamic` passes a provider its properties and nothing else. The host puts the rest here:

    call = current_call()
    call.preview      # create and update are asked what would happen; nothing may be written
    call.timeout_s    # from the resource's `custom_timeouts`
    call.cancel       # set when the user pressed ^C: clean up and raise
    progress("waiting for an address")

Under the SDK's own host, and in a plain Python process, `current_call()` answers with a default that says
`hosted=False`. A thread that a provider starts itself does not inherit the call: hand it over.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    """One operation of the engine on one resource.

    Args:
        urn: The resource's URN; "" outside our host.
        preview: True when the engine only asks what a create or an update would give. The engine does not
            tell check, diff, read and delete; they see False.
        timeout_s: Seconds from the resource's `custom_timeouts`; None when it sets none for this operation.
        cancel: Set as soon as the user asks to stop. It stays set: nothing starts after that. The engine also
            asks to stop at the normal end of a run, when no operation is left.
        hosted: True inside our host.
        operation: `check`, `diff`, `create`, `read`, `update` or `delete`; "" outside our host.
    """

    urn: str = ""
    preview: bool = False
    timeout_s: float | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    hosted: bool = False
    operation: str = ""

    @property
    def name(self) -> str:
        """The resource's name in the program (the last part of its URN)."""
        return self.urn.rpartition("::")[2]

    @property
    def resource_type(self) -> str:
        """The resource's type token, such as `pulumi-python:dynamic/gpu:GpuNode`."""
        return type_token(self.urn)


def type_token(urn: str) -> str:
    """The type token in a URN: `urn:pulumi:stack::project::parent$type::name`."""
    parts = urn.split("::", 3)
    return parts[2].rpartition("$")[2] if len(parts) == 4 else ""


_DEFAULT = Call()
_current: ContextVar[Call] = ContextVar("gpuplane_call", default=_DEFAULT)
# Sends (call, message, keep) to the engine; the host sets it at its start.
_sink: Callable[[Call, str, bool], None] | None = None


def current_call() -> Call:
    """The operation that this thread works on; a default with `hosted=False` outside our host."""
    return _current.get()


@contextmanager
def as_current(call: Call) -> Iterator[Call]:
    """Make `call` the current one of this thread: in the host, in a provider's own threads and in tests."""
    token = _current.set(call)
    try:
        yield call
    finally:
        _current.reset(token)


def progress(message: str, *, keep: bool = False, call: Call | None = None) -> None:
    """Say how far an operation is. Never raises and never waits for the engine's answer.

    Args:
        message: One line, free of secrets.
        keep: Print it as a line that stays and is repeated under "Diagnostics" at the end. Otherwise it is
            the status of the resource's row.
        call: The operation it belongs to; default: the current one of this thread.
    """
    if _sink is not None:
        _sink(call or current_call(), message, keep)
        return
    # The SDK's host forwards what it finds on stderr; a dead engine must not turn a message into an error.
    try:
        sys.stderr.write(message + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def set_progress_sink(sink: Callable[[Call, str, bool], None] | None) -> None:
    """Where `progress` goes from now on; None: stderr. For the host and for tests."""
    global _sink
    _sink = sink
