"""What the environment says about a SkyPilot API server, under SkyPilot's own names where it has them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu_clouds import redaction
from gpu_clouds.errors import ValidationError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_LONGEST_S = 7 * 24 * 3600.0
_MOST_RETRIES = 20


@dataclass(frozen=True, slots=True)
class SkyPilotSettings:
    """Address, token and time-outs of one server; a server time-out is how long to wait for a request.

    Attributes:
        api_server_url: `SKYPILOT_API_SERVER_URL`; empty where there is none.
        service_account_token: `SKYPILOT_SERVICE_ACCOUNT_TOKEN`; empty where there is none.
        request_timeout_s: `SKYPILOT_REQUEST_TIMEOUT`, seconds: every request that has no time-out of its own.
        launch_timeout_s: `SKYPILOT_LAUNCH_TIMEOUT`, seconds: launch, exec and start.
        terminate_timeout_s: `SKYPILOT_TERMINATE_TIMEOUT`, seconds: stop and down.
        status_timeout_s: `SKYPILOT_STATUS_TIMEOUT`, seconds: status.
        max_retries: `SKYPILOT_MAX_RETRIES`: further attempts of an HTTP call.
        retry_backoff_s: `SKYPILOT_RETRY_BACKOFF`, seconds: wait before the first of them; it doubles.
    """

    api_server_url: str = ""
    service_account_token: str = field(default="", repr=False)
    request_timeout_s: float = 300.0
    launch_timeout_s: float = 600.0
    terminate_timeout_s: float = 300.0
    status_timeout_s: float = 30.0
    max_retries: int = 3
    retry_backoff_s: float = 1.0

    def __post_init__(self) -> None:
        redaction.remember(self.service_account_token)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> SkyPilotSettings:
        """Reads the variables; a missing or empty one leaves the default.

        Args:
            environment: Where to read; None for the process's own.

        Raises:
            ValidationError: A variable has a value that means nothing; it is named.
        """
        env = os.environ if environment is None else environment
        defaults = cls()

        def duration(name: str, default: float) -> float:
            text = env.get(name, "").strip()
            return parse_duration(text, name) if text else default

        return cls(
            api_server_url=env.get("SKYPILOT_API_SERVER_URL", "").strip(),
            service_account_token=env.get("SKYPILOT_SERVICE_ACCOUNT_TOKEN", "").strip(),
            request_timeout_s=duration("SKYPILOT_REQUEST_TIMEOUT", defaults.request_timeout_s),
            launch_timeout_s=duration("SKYPILOT_LAUNCH_TIMEOUT", defaults.launch_timeout_s),
            terminate_timeout_s=duration("SKYPILOT_TERMINATE_TIMEOUT", defaults.terminate_timeout_s),
            status_timeout_s=duration("SKYPILOT_STATUS_TIMEOUT", defaults.status_timeout_s),
            max_retries=_retries(env.get("SKYPILOT_MAX_RETRIES", "").strip(), defaults.max_retries),
            retry_backoff_s=duration("SKYPILOT_RETRY_BACKOFF", defaults.retry_backoff_s),
        )


def parse_duration(text: str, what: str) -> float:
    """Seconds of a duration such as `30s`, `1.5s`, `250ms`, `5m`, `1h30m`.

    Args:
        text: The duration.
        what: Where it stands, for the message: `SKYPILOT_REQUEST_TIMEOUT`.

    Raises:
        ValidationError: Not a duration above 0 and of at most 7 days.
    """
    hint = f"{what}: {text[:40]!r} is not a duration; write it like 30s, 1.5s, 5m or 1h30m"
    if not text.isascii() or not _DURATION.fullmatch(text):
        raise ValidationError(hint)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if not 0 < seconds <= _LONGEST_S:
        raise ValidationError(f"{what}: {text[:40]!r} is not above 0 and at most 7 days")
    return seconds


def _retries(text: str, default: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text[:6]) > _MOST_RETRIES:
        raise ValidationError(
            f"SKYPILOT_MAX_RETRIES: {text[:40]!r} is not a whole number from 0 to {_MOST_RETRIES}"
        )
    return int(text)
