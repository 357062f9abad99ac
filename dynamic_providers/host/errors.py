"""From an exception of a provider to the lines that a user sees.

Errors of our own tree are written for users and shown as they are. Anything else is a bug or a surprise: its
type and message in one line, and the traceback only with `LOG_LEVEL=debug`.
"""

from __future__ import annotations

import os
import traceback

from dynamic_providers.host.registry import RegistryError
from dynamic_providers.host.results import PartialState
from gpu_clouds.errors import GpuCloudError

MAX_LINE = 600
_FOR_USERS = (GpuCloudError, PartialState, RegistryError)


def describe(error: BaseException) -> str:
    """What the user reads; not yet redacted."""
    if isinstance(error, _FOR_USERS):
        return str(error)
    message = " ".join(str(error).split())
    if len(message) > MAX_LINE:
        message = message[:MAX_LINE] + " …"
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def debug_trace(error: BaseException) -> str:
    """The traceback when it is asked for and the error is not one written for users, else empty."""
    if isinstance(error, _FOR_USERS) or os.environ.get("LOG_LEVEL", "").lower() != "debug":
        return ""
    return "".join(traceback.format_exception(error))
