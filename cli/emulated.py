"""What the emulated clouds of this checkout say of themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli.errors import CliError

_SECONDS = 10.0
_ENDED = frozenset({"terminated", "deleted"})


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


def living_nodes(cloud: str, api: str) -> list[str]:
    """Names of the machines that an emulated cloud still rents out.

    Args:
        cloud: Name of the cloud.
        api: Its API base URL.
    """
    parts = urlsplit(api)
    state = _get(f"{parts.scheme}://{parts.netloc}/_emu/{cloud}/state")
    return [
        str(machine["name"])
        for kind, machines in state.items()
        if kind != "ended" and isinstance(machines, list)
        for machine in machines
        if str(machine["phase"]).lower() not in _ENDED
    ]


def _get(url: str) -> dict[str, Any]:
    import httpx

    try:
        answer = httpx.get(url, timeout=_SECONDS, trust_env=False)
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise CliError(f"the emulated cloud at {url} does not answer ({type(error).__name__})") from None
    return content
