"""What the emulated clouds of this checkout say of themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli.errors import CliError

_SECONDS = 10.0
_ENDED = frozenset({"", "terminated", "preempted", "deleted"})
"""Phases of machines that nobody pays for; empty: the cloud does not even list it any more."""
_MACHINES = ("pods", "instances", "machines")
_PHASES = ("phase", "status", "state")
_KEPT = ("ssh_keys", "firewall_rulesets", "file_systems")


def clouds_of(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """The emulated clouds that run: name and API base URL.

    Args:
        environment: Holds `GPUPLANE_EMULATOR_DIR`.
    """
    file = Path(environment["GPUPLANE_EMULATOR_DIR"]) / "endpoints.json"
    try:
        clouds = json.loads(file.read_text(encoding="utf-8"))["clouds"]
        return [(name, str(addresses["api"])) for name, addresses in sorted(clouds.items())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CliError(f"{file} can not be read: run `python -m emulators stop`") from None


def running_scale(folder: Path) -> str | None:
    """Time scale of the emulators that run, or ran last, in a folder; None where there are none."""
    try:
        scale = json.loads((folder / "endpoints.json").read_text(encoding="utf-8"))["time_scale"]
        return f"{float(scale):g}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def left_in(cloud: str, api: str) -> list[str]:
    """What an emulated cloud still has of anybody: machines that it rents out, and what outlives them.

    Args:
        cloud: Name of the cloud.
        api: Its API base URL.

    Returns:
        `runpod gp-p-devlocal-chat-0-00000000`, `lambda ssh_keys gp-p-devlocal-ssh-…`,
        `paperspace startup-scripts x1`.
    """
    parts = urlsplit(api)
    state = _get(f"{parts.scheme}://{parts.netloc}/_emu/{cloud}/state")
    return [f"{cloud} {what}" for what in (*_machines(state), *_objects(state))]


def now_of(api: str) -> datetime:
    """The time of the emulated clouds, which runs apart from the real one.

    Args:
        api: API base URL of one of them.
    """
    parts = urlsplit(api)
    return datetime.fromtimestamp(float(_get(f"{parts.scheme}://{parts.netloc}/_emu/health")["now"]), UTC)


def _machines(state: Mapping[str, Any]) -> Iterator[str]:
    for machine in (one for kind in _MACHINES for one in state.get(kind, [])):
        phase = next(str(machine[name]).lower() for name in _PHASES if name in machine)
        if phase not in _ENDED and machine.get("deleted_at") is None:
            yield str(machine["name"])


def _objects(state: Mapping[str, Any]) -> Iterator[str]:
    for volumes in state.get("volumes", {}).values():
        yield from (f"network-volumes {volume['name']}" for volume in volumes)
    for account in state["accounts"].values():
        yield from (f"{kind} {name}" for kind in _KEPT for name in account.get(kind, []))
        yield from (f"{kind} x{count}" for kind, count in account.get("objects", {}).items() if count)


def _get(url: str) -> dict[str, Any]:
    import httpx

    try:
        answer = httpx.get(url, timeout=_SECONDS, trust_env=False)
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise CliError(f"the emulated cloud at {url} does not answer ({type(error).__name__})") from None
    return content
