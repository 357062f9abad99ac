"""The write-ahead rule as one block of code: what is asked of a cloud is on disk while it may take effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gpu_clouds.errors import (
    AmbiguousError,
    GpuCloudError,
    TransientError,
    UnknownCloudError,
    ValidationError,
)
from gpu_clouds.intents import Intent, IntentLog

UNANSWERED = (AmbiguousError, TransientError, UnknownCloudError)
"""Errors after which a request may have taken effect all the same."""


@contextmanager
def noted(
    intents: IntentLog, marker: str, cloud: str, may_send: Callable[[], None], *, required: bool = True
) -> Iterator[None]:
    """Keeps an intent open while the block sends one request, and after it where its effect is not known.

    Args:
        intents: The stack's write-ahead intents.
        marker: What is noted.
        cloud: Name of the cloud.
        may_send: Called once the intent is on disk; raises when the engine has ended.
        required: Whether the request may only be sent if it could be noted; not so for the end of a thing.

    Raises:
        ValidationError: It is required, and the intent can't be written.
    """
    intent: Intent | None = None
    try:
        intent = intents.open(marker, cloud)
    except ValidationError:
        if required:
            raise
    try:
        may_send()
    except BaseException:
        _close(intents, intent)  # nothing was sent
        raise
    try:
        yield
    except UNANSWERED:
        raise
    except GpuCloudError:
        _close(intents, intent)
        raise
    _close(intents, intent)


def _close(intents: IntentLog, intent: Intent | None) -> None:
    if intent is not None:
        intents.close(intent)
