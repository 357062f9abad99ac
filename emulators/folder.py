"""The emulators' folder: address file, remembered port, log and state."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulators.processes import is_running

EMULATOR_DIR = "GPUPLANE_EMULATOR_DIR"


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths below the folder, and what is in them."""

    path: Path

    @classmethod
    def chosen(cls, given: str | None) -> Folder:
        """The folder given, or `GPUPLANE_EMULATOR_DIR`, or `.gpuplane/emulators` in the current folder."""
        text = given or os.environ.get(EMULATOR_DIR) or str(Path(".gpuplane") / "emulators")
        return cls(Path(text).absolute())

    @property
    def endpoints_file(self) -> Path:
        """Where clients find the addresses."""
        return self.path / "endpoints.json"

    @property
    def log_file(self) -> Path:
        """What the running emulators say."""
        return self.path / "emulators.log"

    @property
    def lock_file(self) -> Path:
        """Held by the running emulators."""
        return self.path / "lock"

    def endpoints(self) -> dict[str, Any] | None:
        """The addresses of the running emulators; None if none run."""
        try:
            endpoints = json.loads(self.endpoints_file.read_text())
            running = is_running(int(endpoints["pid"]), str(endpoints["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return endpoints if running else None

    def write_endpoints(self, endpoints: dict[str, Any]) -> None:
        """Writes the addresses, all or nothing."""
        _write(self.endpoints_file, json.dumps(endpoints, indent=1) + "\n")

    def remove_endpoints(self, pid: int) -> None:
        """Removes the addresses that process `pid` wrote."""
        with contextlib.suppress(OSError, ValueError):
            if json.loads(self.endpoints_file.read_text()).get("pid") == pid:
                self.endpoints_file.unlink()

    def port(self) -> int:
        """The port of the last run; 0 if there was none."""
        try:
            return int((self.path / "port").read_text())
        except (OSError, ValueError):
            return 0

    def remember_port(self, port: int) -> None:
        """Keeps the port for the next run."""
        _write(self.path / "port", f"{port}\n")


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
