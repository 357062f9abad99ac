"""When a node that its cloud calls reachable is usable: nothing more, an HTTP answer, or an open TCP port."""

from __future__ import annotations

import functools
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import urlsplit

import httpx

from gpu_clouds.connection import is_loopback
from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Instance

ReadinessKind = Literal["none", "http", "tcp"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """What to ask a node before it counts as ready.

    Attributes:
        kind: `none`: the cloud's word is enough; `http`: any 2xx answer; `tcp`: the port accepts a
            connection.
        port: Port inside the node; its way in is looked up in the node's endpoints.
        path: Path of the HTTP request.
        headers: Headers of the HTTP request. They may hold a key, so they are in no repr and no message.
        timeout_s: How long one probe may take, seconds.

    Raises:
        ValidationError: A probe without a port, or a path without its slash.
    """

    kind: ReadinessKind = "none"
    port: int = 0
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if self.kind not in ("none", "http", "tcp"):
            raise ValidationError(f"readiness kind is none, http or tcp, not {self.kind!r}")
        if self.kind != "none" and not 0 < self.port < 65536:
            raise ValidationError(f"readiness {self.kind} needs a port from 1 to 65535, not {self.port}")
        if self.kind == "http" and not self.path.startswith("/"):
            raise ValidationError(f"readiness path {self.path!r} has to start with /")


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """True where the node is usable.

    Attributes:
        ok: The answer.
        detail: Why not, for the user.
    """

    ok: bool
    detail: str = ""

    def __bool__(self) -> bool:
        return self.ok


class Probe(Protocol):
    """Something that asks a node once; tests put their own in."""

    def __call__(self, instance: Instance, readiness: Readiness) -> ProbeResult:
        """Asks once. Never raises for a node that does not answer."""


def probe(instance: Instance, readiness: Readiness) -> ProbeResult:
    """Asks the node once.

    Args:
        instance: The node with the endpoints known so far.
        readiness: What to ask.

    Returns:
        True, or false with the reason. A node that does not answer is never an exception.
    """
    if readiness.kind == "none":
        return ProbeResult(True)
    url = next(
        (e.url for e in instance.endpoints if e.port == readiness.port and e.protocol == readiness.kind), ""
    )
    if not url:
        return ProbeResult(False, f"no {readiness.kind} address for port {readiness.port} yet")
    if readiness.kind == "http":
        return _probe_http(url.rstrip("/") + readiness.path, readiness)
    return _probe_tcp(url, readiness)


@functools.cache
def _made_tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


_one_makes_it = threading.Lock()


def _tls() -> ssl.SSLContext:
    """Reading the certificates takes 30 ms: too much for every probe of a large fleet."""
    with _one_makes_it:  # all nodes get ready at once, and `cache` alone lets everybody make one then
        return _made_tls()


def _probe_http(url: str, readiness: Readiness) -> ProbeResult:
    where = f"port {readiness.port} {readiness.path}"
    try:
        # A connection of its own for each probe: a node that restarts must not be judged by a stale one.
        # A proxy of the environment is for the network, not for this machine.
        client = httpx.Client(verify=_tls(), timeout=readiness.timeout_s, trust_env=not is_loopback(url))
        with client, client.stream("GET", url, headers=dict(readiness.headers)) as answer:
            if answer.is_success:
                return ProbeResult(True)
            hint = ": the readiness headers are not accepted" if answer.status_code in (401, 403) else ""
            return ProbeResult(False, f"{where} answers HTTP {answer.status_code}{hint}")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return ProbeResult(False, f"{where} does not answer ({type(error).__name__})")


def _probe_tcp(url: str, readiness: Readiness) -> ProbeResult:
    where = f"port {readiness.port}"
    try:
        address = urlsplit(url)
        with socket.create_connection(
            (address.hostname or "", address.port or 0), timeout=readiness.timeout_s
        ):
            return ProbeResult(True)
    except (OSError, ValueError) as error:
        return ProbeResult(False, f"{where} does not accept a connection ({type(error).__name__})")
