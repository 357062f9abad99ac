"""Whether a server can be used, as a value: a preview warns with it, calls that need the server fail."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_clouds.skypilot.models import ServerHealth

HEALTH_TIMEOUT_S = 10.0
"""Longest time for the whole check, seconds."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The result of `SkyPilotClient.check_health`.

    Attributes:
        ok: The server answers and accepts us.
        reason: Why not, in one line; empty where it is ok.
        needs_auth: It answers, but asks for a token or a password, or does not accept ours.
        server: What it says about itself; None where it did not answer.
    """

    ok: bool
    reason: str = ""
    needs_auth: bool = False
    server: ServerHealth | None = None

    def __bool__(self) -> bool:
        """`ok`."""
        return self.ok
