"""Load from the generator, which checks every answer token by token; while it runs, tests break things."""

from __future__ import annotations

import json
import subprocess
from types import TracebackType
from typing import Any, Self

from benchmarks.gateway_parts.build import standin
from tests.gateway.world import MODEL


class Load:
    """A load generator that runs.

    Args:
        url: What it asks, without `/v1`.
        key: The client's key.
        flags: Of `standin load`.
    """

    def __init__(self, url: str, key: str, *flags: str) -> None:
        command = [str(standin()), "load", "-url", url, "-key", key, "-model", MODEL, *flags]
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    @property
    def running(self) -> bool:
        """Whether it still asks."""
        return self._child.poll() is None

    def result(self, seconds: float = 300.0) -> dict[str, Any]:
        """What came of it, once it has ended."""
        output, _ = self._child.communicate(timeout=seconds)
        assert self._child.returncode == 0
        found: dict[str, Any] = json.loads(output)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            self._child.kill()
        self._child.communicate()


def load(url: str, key: str, *flags: str, seconds: float = 300.0) -> dict[str, Any]:
    """Runs it to its end; what came of it."""
    with Load(url, key, *flags) as running:
        return running.result(seconds)
