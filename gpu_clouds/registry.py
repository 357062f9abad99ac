"""Which clouds there are, and how to connect to one."""

from __future__ import annotations

import difflib
import importlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import cast

from gpu_clouds import lambda_cloud, logs, paperspace, runpod, skypilot, vast
from gpu_clouds.clock import Clock, SystemClock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.cloud_info import CloudInfo
from gpu_clouds.connection import Connection, is_loopback
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.errors import ValidationError

CLOUDS: Mapping[str, CloudInfo] = MappingProxyType(
    {info.name: info for info in (runpod.INFO, lambda_cloud.INFO, paperspace.INFO, vast.INFO, skypilot.INFO)}
)
"""Every cloud by the name that stack files use."""


def connect(
    credential_set: CredentialSet,
    *,
    clock: Clock | None = None,
    cancel: threading.Event | None = None,
    may_send: Callable[[], None] | None = None,
    state_dir: Path | None = None,
) -> GpuCloud:
    """Opens a cloud with one credential set. Sends nothing yet.

    One connection serves any number of threads and should live as long as the process: connections, pacing,
    the circuit breaker and the catalogue are shared through it.

    Args:
        credential_set: The account.
        clock: What all waits and deadlines are measured with; by default the machine's, at
            `GPUPLANE_TIME_SCALE`.
        cancel: Once set, waits of calls in progress end and nothing new is launched. Reads and deletes that
            begin after that are still sent, because cleaning up needs them.
        may_send: Called before each writing call; raises when it may not be sent any more.
        state_dir: Folder for pacing that processes of this machine share; by default `GPUPLANE_STATE_DIR`.

    Raises:
        ValidationError: The cloud is unknown, the key is missing, the endpoint is not acceptable, or time is
        scaled for
            an endpoint that is not on this machine.
    """
    info = cloud_info(credential_set.cloud)
    where = f"credential set {credential_set.name!r}"
    if info.needs_key and not credential_set.api_key.strip():
        raise ValidationError(f"{where}: the API key of {info.title} is empty", cloud=info.name)
    clock = clock or clock_from_environment()
    endpoint = credential_set.endpoint or info.endpoint
    if not endpoint:
        raise ValidationError(
            f"{where}: has no endpoint: {info.title} has an address for each server", cloud=info.name
        )
    if isinstance(clock, SystemClock) and clock.scale != 1 and not is_loopback(endpoint):
        raise ValidationError(
            f"{where}: time is scaled by {clock.scale:g} (GPUPLANE_TIME_SCALE), which is for emulators on "
            f"this machine only, but the endpoint is {endpoint}",
            cloud=info.name,
        )
    logs.configure_from_environment()
    module, _, function = info.factory.partition(":")
    factory = cast(
        "Callable[[Connection], GpuCloud]",
        getattr(importlib.import_module(module), function),
    )
    return factory(
        Connection(
            credentials=credential_set,
            endpoint=endpoint,
            clock=clock,
            cancel=cancel or threading.Event(),
            may_send=may_send or _always,
            state_dir=state_dir or default_state_dir(),
        )
    )


def cloud_info(name: str) -> CloudInfo:
    """The cloud of this name.

    Raises:
        ValidationError: There is none; the message has the nearest name.
    """
    if name in CLOUDS:
        return CLOUDS[name]
    near = difflib.get_close_matches(name.lower(), CLOUDS, n=1, cutoff=0.0)
    raise ValidationError(
        f"cloud {name!r} is unknown; nearest: {near[0]}; known: {', '.join(sorted(CLOUDS))}"
    )


def clock_from_environment() -> SystemClock:
    """The machine's clock at the scale of `GPUPLANE_TIME_SCALE`, by default 1.

    Raises:
        ValidationError: The variable is not a number above 0.
    """
    text = os.environ.get("GPUPLANE_TIME_SCALE", "1")
    try:
        return SystemClock(float(text))
    except ValueError:
        raise ValidationError(f"GPUPLANE_TIME_SCALE is {text!r}, which is not a number above 0") from None


def default_state_dir() -> Path:
    """`GPUPLANE_STATE_DIR`, else `gpuplane` in the user's state folder."""
    if given := os.environ.get("GPUPLANE_STATE_DIR"):
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "gpuplane"


def _always() -> None:
    """The engine is taken for alive."""
