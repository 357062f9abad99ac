"""What every call of one connection shares, and which endpoints are acceptable."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gpu_clouds.clock import Clock
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.errors import ValidationError


@dataclass(frozen=True, slots=True)
class Connection:
    """What a cloud's folder gets to connect with.

    Args:
        credentials: The account.
        endpoint: Base URL of the API.
        clock: Time.
        cancel: Set when the user or the engine asked to stop.
        may_send: Called before each writing call; raises when it may not be sent any more.
        state_dir: Folder that processes of this machine share.
    """

    credentials: CredentialSet
    endpoint: str
    clock: Clock
    cancel: threading.Event
    may_send: Callable[[], None]
    state_dir: Path


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_endpoint(url: str, what: str) -> str:
    """The URL without a trailing slash, when it is safe to send a key to.

    Args:
        url: Base URL of an API.
        what: What the URL belongs to, for the message.

    Raises:
        ValidationError: Not http(s), plain http to another machine, or with a user name, query or fragment
        in it.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise ValidationError(f"{what}: the endpoint is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValidationError(f"{what}: the endpoint must be an https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValidationError(f"{what}: the endpoint may have no user name, query or fragment in it")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValidationError(
            f"{what}: plain http is for this machine only, because anybody on the way could read the key; "
            f"use https:// for {host}"
        )
    return url.rstrip("/")
