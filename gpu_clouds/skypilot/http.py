"""HTTP calls of one SkyPilot server: who asks, retries, a token that is rotated, counters."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import httpx

from gpu_clouds.answers import Answer, Kind
from gpu_clouds.errors import CancelledError, ValidationError
from gpu_clouds.logs import structured
from gpu_clouds.metrics import METRICS
from gpu_clouds.retry import RetryRules
from gpu_clouds.skypilot.answers import (
    API_VERSION,
    API_VERSION_HEADER,
    VERSION,
    VERSION_HEADER,
    error_of,
    plain,
)
from gpu_clouds.skypilot.connection import BasicAuth, BearerToken, SkyPilotConnection
from gpu_clouds.skypilot.errors import ApiError, ConnectionFailedError
from gpu_clouds.transport import user_agent

_log = logging.getLogger("gpuplane.clouds")

CONNECT_S = 10.0
READ_S = 60.0
"""Time-outs in real seconds. Acceptance of a request takes 10 ms to a few seconds on a busy server."""

_KEPT = 100
_KEPT_FOR_S = 90.0
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

Params = Mapping[str, str | int | bool | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call.

    Attributes:
        operation: Its name in messages and metrics: `launch`.
        kind: What it does.
        method: HTTP method.
        path: Path at the server.
        params: Query.
        body: JSON body; it may hold secrets.
        read_timeout_s: Longest silence while waiting for the answer, real seconds.
        connect_timeout_s: The same for the connection.
        once: Twice would be wrong: sent again only where nothing was sent.
        no_retry: Never sent again.
        blocking: The server holds the answer back on purpose, so it gets a connection of its own.
        final_500: A 500 is the answer itself (`/api/get`).
        secrets: Values that no message may carry.
    """

    operation: str
    kind: Kind
    method: str
    path: str
    params: Params | None = None
    body: Mapping[str, object] | None = None
    read_timeout_s: float = READ_S
    connect_timeout_s: float = CONNECT_S
    once: bool = False
    no_retry: bool = False
    blocking: bool = False
    final_500: bool = False
    secrets: frozenset[str] = frozenset()


class SkyPilotHttp:
    """Calls one server; any number of threads at once.

    Args:
        connection: The server.
        transport: Takes the network's place in tests.
        rules: When to repeat a call; None for what the settings say.
    """

    def __init__(
        self,
        connection: SkyPilotConnection,
        *,
        transport: httpx.BaseTransport | None = None,
        rules: RetryRules | None = None,
    ) -> None:
        settings = connection.settings
        self.connection = connection
        self.title = connection.title
        self.clock = connection.clock
        self.rules = rules or RetryRules(retries=settings.max_retries, first_s=settings.retry_backoff_s)
        self.credentials = Credentials(connection)
        self._transport = transport
        self._making = threading.Lock()
        self._clients: dict[str, httpx.Client] = {}

    def cancel_for(self, kind: Kind) -> threading.Event | None:
        """The event that may interrupt an operation of this kind that begins now.

        A read or an end that begins after the user has asked to stop is clean-up: nothing interrupts it.

        Raises:
            CancelledError: The user has asked to stop, and this would make or change something.
        """
        cancel = self.connection.cancel
        if not cancel.is_set():
            return cancel
        if kind.repeatable:
            return None
        raise CancelledError(f"{self.title}: cancelled before anything was sent")

    def call(self, call: Call, cancel: threading.Event | None = None) -> Answer:
        """Sends a call, and sends it again where that does no harm.

        Args:
            call: The call.
            cancel: Interrupts it, see `cancel_for`; None for nothing.

        Returns:
            The answer: 2xx, or the 500 of a call whose 500 is final.

        Raises:
            ApiError: The error of the last attempt.
            CancelledError: Cancelled before it was sent, or while waiting.
        """
        began: float | None = None
        retry = 0
        while True:
            result = self._authorised(call, cancel)
            if isinstance(result, Answer):
                return result
            if began is None:
                began = self.clock.monotonic()
            retry += 1
            wait = None
            if self._may_repeat(call, result):
                wait = self.rules.wait_before(retry, self.clock.monotonic() - began, result.retry_after_s)
            if wait is None:
                raise counted(result)
            METRICS.count("skypilot_api_retries_total", operation=call.operation)
            _log.debug("%s: again in %.1f s", result, wait)
            self.clock.sleep(wait, cancel)

    def client(self, *, blocking: bool = False) -> httpx.Client:
        """The pool of connections for calls that are answered at once, or for those that block.

        HTTP/2 carries all calls over one connection, and one read time-out ends them all (httpcore): calls
        that may time out on purpose have their own pool, without it.
        """
        name = "blocking" if blocking else "quick"
        with self._making:
            if name not in self._clients:
                self._clients[name] = httpx.Client(
                    **client_options(self.connection, http2=not blocking), transport=self._transport
                )
            return self._clients[name]

    def close(self) -> None:
        """Gives connections back and writes the counters."""
        with self._making:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()
        METRICS.flush()

    def _authorised(self, call: Call, cancel: threading.Event | None) -> Answer | ApiError:
        """One attempt, and where the token was rotated meanwhile a second one with the new token."""
        token = self.credentials.header()
        result = self._attempt(call, cancel, token)
        if isinstance(result, ApiError) and result.is_unauthorized:
            renewed = self.credentials.renewed(token)
            if renewed is not None:
                result = self._attempt(call, cancel, renewed)
        return result

    def _attempt(self, call: Call, cancel: threading.Event | None, authorisation: str) -> Answer | ApiError:
        if cancel is not None and cancel.is_set():
            raise CancelledError(f"{self.title}: cancelled before {call.operation} was sent")
        if call.kind.writes:
            self.connection.may_send()
        started = time.perf_counter()
        try:
            response = self._send(call, authorisation)
        except httpx.RequestError as error:
            lost = lost_error(
                self.title, call.operation, error, call.kind.writes, call.read_timeout_s, call.secrets
            )
            self._note(call, "timeout" if lost.timed_out else "no_answer", started)
            return lost
        answer = Answer.of(response.status_code, response.headers, response.content)
        self._note(call, str(answer.status), started, answer.headers.get("x-skypilot-request-id"))
        if answer.ok or (call.final_500 and answer.status in (404, 500)):
            return answer
        return error_of(answer, call.operation, self.title, writes=call.kind.writes, secrets=call.secrets)

    def _send(self, call: Call, authorisation: str) -> httpx.Response:
        content, headers = None, {"Authorization": authorisation} if authorisation else {}
        if call.body is not None:
            content = json.dumps(call.body, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/json"
        timeout = httpx.Timeout(call.read_timeout_s, connect=call.connect_timeout_s, pool=None)
        if call.once:
            # A connection that was kept may just be closed by the server, and nobody could then say whether
            # the call was taken. A new one costs little next to what the call does.
            with httpx.Client(
                **client_options(self.connection, http2=False), transport=self._transport
            ) as client:
                return client.request(
                    call.method,
                    call.path,
                    params=call.params,
                    content=content,
                    headers=headers,
                    timeout=timeout,
                )
        return self.client(blocking=call.blocking).request(
            call.method, call.path, params=call.params, content=content, headers=headers, timeout=timeout
        )

    def _may_repeat(self, call: Call, error: ApiError) -> bool:
        if call.no_retry or error.refused:
            return False
        if isinstance(error, ConnectionFailedError):
            return not error.sent or not (call.once or (call.blocking and error.timed_out))
        if call.once or (call.blocking and error.status_code == 504):
            return False
        return error.is_rate_limited or error.status_code >= 500

    def _note(self, call: Call, status: str, started: float, request_id: str | None = None) -> None:
        seconds = time.perf_counter() - started
        METRICS.count("skypilot_api_requests_total", operation=call.operation, status=status)
        METRICS.observe("skypilot_api_request_duration_seconds", seconds, operation=call.operation)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                structured(
                    "cloud_call",
                    operation=call.operation,
                    cloud="skypilot",
                    server=self.connection.name or self.connection.endpoint,
                    duration_ms=round(seconds * 1000, 1),
                    status=status,
                    request_id=request_id,
                )
            )


class Credentials:
    """The Authorization header of now, for all threads."""

    def __init__(self, connection: SkyPilotConnection) -> None:
        self._auth = connection.auth
        self._lock = threading.Lock()
        self._header: str | None = None

    def header(self) -> str:
        """The header's value; empty for a server without authentication."""
        with self._lock:
            if self._header is None:
                self._header = self._read()
            return self._header

    def renewed(self, refused: str) -> str | None:
        """Reads the token once more after a 401.

        Args:
            refused: The header that the server did not accept.

        Returns:
            The new header, or None where it is the same, or where there is nothing to read.
        """
        if not isinstance(self._auth, BearerToken):
            return None
        try:
            fresh = self._read()
        except ValidationError as error:
            _log.debug("the token could not be read again: %s", error)
            return None
        with self._lock:
            self._header = fresh
        return None if fresh == refused else fresh

    def _read(self) -> str:
        match self._auth:
            case BearerToken() as bearer:
                return f"Bearer {bearer.token()}"
            case BasicAuth() as basic:
                return basic.header()
            case _:
                return ""


def client_options(connection: SkyPilotConnection, *, http2: bool) -> dict[str, Any]:
    """Arguments of an httpx client, sync or async, for this server.

    Args:
        connection: The server.
        http2: Use HTTP/2 where the server offers it; that is only ever agreed on over TLS.
    """
    encrypted = connection.endpoint.startswith("https://")
    return {
        "base_url": connection.endpoint,
        "headers": {
            "User-Agent": user_agent(),
            "Accept": "application/json",
            API_VERSION_HEADER: API_VERSION,
            VERSION_HEADER: VERSION,
            **_forwarded(connection),
        },
        "verify": _tls(encrypted, connection.ca_file),
        "http2": http2 and encrypted and find_spec("h2") is not None,
        "follow_redirects": False,
        # A proxy of the environment is for the network, not for this machine.
        "trust_env": not connection.local,
        "limits": httpx.Limits(
            max_connections=None, max_keepalive_connections=_KEPT, keepalive_expiry=_KEPT_FOR_S
        ),
    }


def _forwarded(connection: SkyPilotConnection) -> dict[str, str]:
    """A server looks at no credentials of a request from its own machine, unless it was forwarded (0.14.1).

    Without it a local server takes every tenant for nobody, and makes no accounts.
    """
    return {"X-Forwarded-For": "127.0.0.1"} if connection.local and connection.auth is not None else {}


def lost_error(
    title: str,
    operation: str,
    error: httpx.RequestError,
    writes: bool,
    waited_s: float,
    secrets: Iterable[str] = (),
) -> ConnectionFailedError:
    """The error of a call that got no answer."""
    sent = not isinstance(error, _NOT_SENT)
    timed_out = isinstance(error, httpx.TimeoutException)
    if not sent:
        why = "no connection in time" if timed_out else "no connection"
        said = plain(str(error), secrets)
        message = f"{title}: {operation}: {why}" + (f": {said}" if said else "")
    elif timed_out:
        message = f"{title}: {operation}: no answer within {waited_s:g} s"
    else:
        message = f"{title}: {operation}: connection lost ({type(error).__name__})"
    return ConnectionFailedError(message, operation=operation, sent=sent, writes=writes, timed_out=timed_out)


def counted(error: ApiError) -> ApiError:
    """The error, once it is counted."""
    METRICS.count("skypilot_api_errors_total", operation=error.operation, error_type=kind_of(error))
    return error


def kind_of(error: ApiError) -> str:
    """Word for an error in metrics: SkyPilot's own, or the status, or the class."""
    if isinstance(error, ConnectionFailedError):
        return "timeout" if error.timed_out else "connection"
    if error.error_code.replace("_", "").isalnum():
        return error.error_code
    return f"http_{error.status_code}" if error.status_code else type(error).__name__


_one_makes_it = threading.Lock()


def _tls(encrypted: bool, ca_file: str) -> ssl.SSLContext:
    with _one_makes_it:
        return _made_tls(encrypted, ca_file)


@lru_cache(maxsize=8)
def _made_tls(encrypted: bool, ca_file: str) -> ssl.SSLContext:
    """Verified, TLS 1.2 or newer; made once, because reading the roots takes a tenth of a second."""
    if not encrypted:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and costs no loading of roots
    try:
        context = ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise ValidationError(
            f"SkyPilot server: the CA file {ca_file} holds no certificates that can be read: "
            f"{type(error).__name__}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
