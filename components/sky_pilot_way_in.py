"""How a SkyPilot API server is reached, wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import pulumi


@dataclass(frozen=True)
class WayIn:
    """The way in.

    Attributes:
        endpoint: Base URL.
        user: Name of the administrator; empty where there is none with a password.
        password: Password of the administrator; empty without one.
    """

    endpoint: pulumi.Output[str]
    user: str
    password: pulumi.Output[str] | str = field(repr=False)
