"""When a node that its cloud calls reachable is usable.

Nothing more, an HTTP answer, an open TCP port, or a command on the node; besides, its GPUs may be tried. This
file has what is asked and the probes from outside; those that log in are in probing.py.
"""

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

ReadinessKind = Literal["none", "http", "tcp", "command"]
_KINDS = ("none", "http", "tcp", "command")
_FROM_OUTSIDE_S = 5.0
_LOGGED_IN_S = 60.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """What to ask a node before it counts as ready.

    Attributes:
        kind: `none`: the cloud's word is enough; `http`: any 2xx answer; `tcp`: the port accepts a
            connection; `command`: a command on the node ends with status 0.
        port: Port inside the node, for `http` and `tcp`; its way in is looked up in the node's endpoints.
        path: Path of the HTTP request.
        headers: Headers of the HTTP request. They may hold a key, so they are in no repr and no message.
        timeout_s: How long one probe may take, seconds; 0 for 5 from outside, 60 over SSH.
        command: For `command`: what the node's `sh` runs, as the user that logs in. May hold a secret.
        tries: For `command`: after so many refusals in a row the node is given up; 0: only the deadline does.
        gpu: First `nvidia-smi` has to list every GPU, and each has to take and give back memory (over SSH).
        gpus: How many GPUs that are.
        ssh_key: Private key for SSH, its text; empty for `ssh_key_file`.
        ssh_key_file: Path of a private key on this machine; see `NodeSsh.run` for what is used without one.
        certificate: For `http`: the certificate (PEM) of a node that speaks TLS itself; it is asked over
            https then, and no other certificate will do.

    Raises:
        ValidationError: What is asked can't be asked.
    """

    kind: ReadinessKind = "none"
    port: int = 0
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 0.0
    command: str = field(default="", repr=False)
    tries: int = 0
    gpu: bool = False
    gpus: int = 1
    ssh_key: str = field(default="", repr=False)
    ssh_key_file: str = ""
    certificate: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValidationError(f"readiness kind is none, http, tcp or command, not {self.kind!r}")
        if self.kind in ("http", "tcp") and not 0 < self.port < 65536:
            raise ValidationError(f"readiness {self.kind} needs a port from 1 to 65535, not {self.port}")
        if self.kind == "http" and not self.path.startswith("/"):
            raise ValidationError(f"readiness path {self.path!r} has to start with /")
        if (self.kind == "command") != bool(self.command.strip()):
            raise ValidationError("readiness kind command needs a command, and the other kinds take none")
        if self.ssh_key and self.ssh_key_file:
            raise ValidationError("readiness takes sshKey or sshKeyFile, not both")

    @property
    def logs_in(self) -> bool:
        """Whether it needs SSH."""
        return self.gpu or self.kind == "command"

    @property
    def what(self) -> str:
        """What is asked, in a few words: `http port 8000`."""
        if self.kind in ("http", "tcp"):
            return f"{self.kind} port {self.port}"
        return self.kind

    def limit_s(self, *, logged_in: bool) -> float:
        """How long one probe may take, seconds."""
        return self.timeout_s or (_LOGGED_IN_S if logged_in else _FROM_OUTSIDE_S)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """True where the node is usable.

    Attributes:
        ok: The answer.
        detail: Why not, for the user.
        refused_by: The node has been asked and its answer is no: `command` or `gpu`. Empty where it is only
            not there yet.
    """

    ok: bool
    detail: str = ""
    refused_by: Literal["", "command", "gpu"] = ""

    def __bool__(self) -> bool:
        return self.ok


class Probe(Protocol):
    """Something that asks a node once; tests put their own in."""

    def __call__(self, instance: Instance, readiness: Readiness) -> ProbeResult:
        """Asks once. Never raises for a node that does not answer."""


def probe(instance: Instance, readiness: Readiness) -> ProbeResult:
    """Asks the node once from outside: `http` or `tcp`.

    Args:
        instance: The node with the endpoints known so far.
        readiness: What to ask.

    Returns:
        True, or false with the reason. A node that does not answer is never an exception.
    """
    if readiness.kind not in ("http", "tcp"):
        return ProbeResult(True)
    url = next(
        (e.url for e in instance.endpoints if e.port == readiness.port and e.protocol == readiness.kind), ""
    )
    if not url:
        return ProbeResult(False, f"no {readiness.kind} address for port {readiness.port} yet")
    if readiness.kind == "http":
        if readiness.certificate:
            url = with_https(url)
        return _probe_http(url.rstrip("/") + readiness.path, readiness)
    return _probe_tcp(url, readiness)


def with_https(url: str) -> str:
    """The address of a port that turned out to speak TLS."""
    scheme, _, rest = url.partition("://")
    return f"https://{rest}" if scheme == "http" else url


@functools.cache
def _made_tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


_one_makes_it = threading.Lock()


def _tls(certificate: str) -> ssl.SSLContext:
    """Reading the certificates takes 30 ms: too much for every probe of a large fleet."""
    if certificate:
        return only(certificate)
    with _one_makes_it:  # all nodes get ready at once, and `cache` alone lets everybody make one then
        return _made_tls()


def only(certificate: str) -> ssl.SSLContext:
    """Trusts this certificate and no other, whatever name it has.

    Args:
        certificate: As PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=certificate)
    return context


def _probe_http(url: str, readiness: Readiness) -> ProbeResult:
    where, limit = f"port {readiness.port} {readiness.path}", readiness.limit_s(logged_in=False)
    try:
        # A connection of its own for each probe: a node that restarts must not be judged by a stale one.
        # A proxy of the environment is for the network, not for this machine.
        context = _tls(readiness.certificate)
        client = httpx.Client(verify=context, timeout=limit, trust_env=not is_loopback(url))
        with client, client.stream("GET", url, headers=dict(readiness.headers)) as answer:
            if answer.is_success:
                return ProbeResult(True)
            hint = ": the readiness headers are not accepted" if answer.status_code in (401, 403) else ""
            return ProbeResult(False, f"{where} answers HTTP {answer.status_code}{hint}")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        other = readiness.certificate and "CERTIFICATE_VERIFY_FAILED" in str(error)
        hint = "shows another certificate than it was given" if other else "does not answer"
        return ProbeResult(False, f"{where} {hint} ({type(error).__name__})")


def _probe_tcp(url: str, readiness: Readiness) -> ProbeResult:
    where = f"port {readiness.port}"
    try:
        address = urlsplit(url)
        with socket.create_connection(
            (address.hostname or "", address.port or 0), timeout=readiness.limit_s(logged_in=False)
        ):
            return ProbeResult(True)
    except (OSError, ValueError) as error:
        return ProbeResult(False, f"{where} does not accept a connection ({type(error).__name__})")
