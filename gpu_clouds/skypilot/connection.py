"""How one SkyPilot API server is reached, and as whom."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gpu_clouds import redaction
from gpu_clouds.clock import Clock, SystemClock
from gpu_clouds.connection import checked_endpoint, is_loopback
from gpu_clouds.errors import ValidationError
from gpu_clouds.skypilot.settings import SkyPilotSettings

USER_NAME = "gpuplane"
_USER_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A service-account token that may be rotated while the process runs.

    Args:
        read: Gives the token of now. It is asked once at the first call, and once more for each 401.
    """

    read: Callable[[], str] = field(repr=False)

    @classmethod
    def fixed(cls, token: str) -> BearerToken:
        """A token that never changes."""
        return cls(lambda: token)

    @classmethod
    def from_file(cls, path: str | Path) -> BearerToken:
        """A token in a file that somebody else writes, such as a mounted Kubernetes secret."""

        def read() -> str:
            try:
                return Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ValidationError(
                    f"the token file {path} can not be read: {type(error).__name__}"
                ) from None

        return cls(read)

    @classmethod
    def from_environment(cls, name: str = "SKYPILOT_SERVICE_ACCOUNT_TOKEN") -> BearerToken:
        """A token in an environment variable of this process."""
        return cls(lambda: os.environ.get(name, ""))

    def token(self) -> str:
        """The token of now; it is removed from all logs and errors from now on.

        Raises:
            ValidationError: There is none, or it can not be sent in a header.
        """
        token = self.read().strip()
        redaction.remember(token)
        if not token:
            raise ValidationError("the SkyPilot service-account token is empty")
        if not token.isascii() or not token.isprintable() or any(letter.isspace() for letter in token):
            raise ValidationError("the SkyPilot service-account token has a character that no token has")
        return token


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """User name and password, for a server behind basic authentication."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        redaction.remember(self.password)
        redaction.remember(self.header().removeprefix("Basic "))
        if not self.user or ":" in self.user:
            raise ValidationError("basic authentication: the user name is empty or has a colon in it")

    def header(self) -> str:
        """Value of the Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


Auth = BearerToken | BasicAuth | None


def user_id_of(name: str) -> str:
    """The 8 hexadecimal digits that stand for a stable name.

    A server without authentication takes them as the user's identity, and ends the names of machines on
    clouds with them.
    """
    return hashlib.sha256(name.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class SkyPilotConnection:
    """What `SkyPilotClient` gets to connect with.

    Args:
        endpoint: Base URL of the server. https:// unless it is this machine; no user name in it.
        auth: Token, user and password, or None for a server without authentication.
        ca_file: File with the certificates to trust instead of the system's; empty for the system's.
        allow_insecure: Accept plain http:// to another machine: keys and tasks can then be read on the way.
        user_name: Who asks, as the server's own lists show it.
        user_id: 8 hexadecimal digits; empty to derive them from `user_name`.
        workspace: The server's workspace that calls are for unless they name one; empty for its default.
        settings: Time-outs and retries.
        clock: Time.
        cancel: Set when the user or the engine asked to stop.
        may_send: Called before each writing call; raises when it may not be sent any more.
        name: What messages call this server; empty for its endpoint.

    Raises:
        ValidationError: Endpoint, user id or CA file is not acceptable.
    """

    endpoint: str
    auth: Auth = None
    ca_file: str = ""
    allow_insecure: bool = False
    user_name: str = USER_NAME
    user_id: str = ""
    workspace: str = ""
    settings: SkyPilotSettings = field(default_factory=SkyPilotSettings)
    clock: Clock = field(default_factory=SystemClock, repr=False)
    cancel: threading.Event = field(default_factory=threading.Event, repr=False)
    may_send: Callable[[], None] = field(default=lambda: None, repr=False)
    name: str = ""

    def __post_init__(self) -> None:
        put = object.__setattr__
        what = f"SkyPilot server {self.name!r}" if self.name else "SkyPilot server"
        put(self, "endpoint", _checked(self.endpoint.strip(), what, self.allow_insecure))
        put(self, "user_id", self.user_id or user_id_of(self.user_name))
        if not _USER_ID.fullmatch(self.user_id):
            raise ValidationError(f"{what}: the user id must be 8 hexadecimal digits in lower case")
        if self.ca_file and not Path(self.ca_file).is_file():
            raise ValidationError(f"{what}: the CA file {self.ca_file} is not there")

    @classmethod
    def from_settings(
        cls,
        settings: SkyPilotSettings,
        *,
        clock: Clock | None = None,
        cancel: threading.Event | None = None,
        user_name: str = USER_NAME,
    ) -> SkyPilotConnection:
        """The server that the environment names.

        Raises:
            ValidationError: No address, or one that is not acceptable.
        """
        if not settings.api_server_url:
            raise ValidationError(
                "SKYPILOT_API_SERVER_URL is not set: it is the address of the SkyPilot server"
            )
        token = settings.service_account_token
        return cls(
            endpoint=settings.api_server_url,
            auth=BearerToken.fixed(token) if token else None,
            settings=settings,
            clock=clock or SystemClock(),
            cancel=cancel or threading.Event(),
            user_name=user_name,
        )

    @property
    def title(self) -> str:
        """What messages call this server."""
        return f"SkyPilot server {self.name or self.endpoint}"

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(self.endpoint)


def _checked(endpoint: str, what: str, allow_insecure: bool) -> str:
    if allow_insecure and endpoint.startswith("http://"):
        # The same rules but for the one that was switched off.
        return "http://" + checked_endpoint("https://" + endpoint.removeprefix("http://"), what).removeprefix(
            "https://"
        )
    try:
        return checked_endpoint(endpoint, what)
    except ValidationError as error:
        if endpoint.startswith("http://") and "plain http" in error.message:
            raise ValidationError(f"{error.message}, or set allowInsecure") from None
        raise
