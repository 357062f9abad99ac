"""How a cloud is called: one HTTP client for all threads; time-outs, pacing, retries and breaker around it.

Retries are made here and nowhere else, and only of reads and deletes. A launch is sent once: whether it may
be sent again is for `provisioning.py` to find out, by looking for the node first.
"""

from __future__ import annotations

import json as jsonlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata

import httpx

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind, error_for
from gpu_clouds.breaker import Breaker, Outcome
from gpu_clouds.client_pool import ClientPool
from gpu_clouds.clock import SystemClock
from gpu_clouds.connection import Connection, checked_endpoint, is_loopback
from gpu_clouds.logs import structured
from gpu_clouds.metrics import METRICS
from gpu_clouds.pacing import Pacer
from gpu_clouds.redaction import redact
from gpu_clouds.retry import RetryRules

_log = logging.getLogger("gpuplane.clouds")

CONNECT_S = 10.0
READ_S = 60.0
STATUS_S = 30.0
CREATE_S = 120.0
"""Time-outs in seconds; PROVISIONING names them."""

_SHORTEST_REAL_TIMEOUT_S = 5.0
"""Scaled time shortens time-outs, but not below this: a busy machine still needs real time to answer."""

_AT_ONCE = 256
"""Requests in flight at once; more wait before the pool, where waiting costs nothing."""

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

Params = Mapping[str, str | int]
Classify = Callable[[Answer, Kind, str], errors.GpuCloudError | None]
"""Gives the error of an answer where the cloud has its own rule for it: (answer, kind, message so far)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call.

    Args:
        kind: What it does to the account.
        operation: Its name in metrics and logs: `create_pod`.
        method: HTTP method.
        path: Path below the endpoint, identifiers already quoted.
        params: Query.
        json: Body.
        read_timeout_s: Longest silence while waiting for the answer, seconds.
        secrets: Values that no error of this call may carry, such as a node's environment.
    """

    kind: Kind
    operation: str
    method: str
    path: str
    params: Params | None = None
    json: object = None
    read_timeout_s: float = READ_S
    secrets: Iterable[str] = ()


@dataclass(frozen=True, slots=True)
class _Failure:
    error: errors.GpuCloudError
    retry_after_s: float | None = None


@lru_cache(maxsize=1)
def user_agent() -> str:
    """`gpuplane/<version>`. RunPod's front refuses the default agent of Python's own client."""
    try:
        return f"gpuplane/{metadata.version('gpuplane')}"
    except metadata.PackageNotFoundError:
        return "gpuplane/0"


class CloudHttp:
    """Calls one cloud with one key; see `make_client`."""

    def __init__(
        self,
        connection: Connection,
        title: str,
        new_client: Callable[[], httpx.Client],
        pacer: Pacer,
        classify: Classify,
        rules: RetryRules,
    ) -> None:
        self.cloud = connection.credentials.cloud
        self.credentials = connection.credentials.name
        self._what = f"{title}, credential set {self.credentials!r}"
        self._clock = connection.clock
        self._cancel = connection.cancel
        self._may_send = connection.may_send
        self._new_client = new_client
        self._clients = ClientPool(new_client, _AT_ONCE)
        self._pacer = pacer
        self._classify = classify
        self._rules = rules
        self._breaker = Breaker(self._what, self._clock, cloud=self.cloud)
        self._scale = connection.clock.scale if isinstance(connection.clock, SystemClock) else 1.0
        self._timeouts: dict[float, httpx.Timeout] = {}

    def call(self, request: Request) -> Answer:
        """Sends a call, and sends it again where that does no harm.

        Returns:
            The answer, whose status is 2xx.

        Raises:
            GpuCloudError: The error that the last answer, or its absence, stands for.
            CancelledError: Cancelled before a launch or a change was sent, or while waiting. A read or
            delete that
                begins after the cancel is clean-up: it is sent, and waits as long as it must.
        """
        cancel = None if request.kind.repeatable and self._cancel.is_set() else self._cancel
        waited, retry = 0.0, 0
        while True:
            result = self._attempt(request, cancel)
            if isinstance(result, Answer):
                return result
            retry += 1
            wait = self._wait_before(request.kind, result, retry, waited)
            if wait is None:
                raise result.error
            METRICS.record_retry(self.cloud, request.operation)
            _log.debug("%s: again in %.1f s", result.error, wait)
            self._clock.sleep(wait, cancel)
            waited += wait

    @contextmanager
    def stream(
        self, request: Request, headers: Mapping[str, str], *, idle_s: float = READ_S
    ) -> Iterator[Iterator[str]]:
        """Opens a reading call whose answer comes line by line; not retried here.

        Args:
            request: The call.
            headers: Further headers.
            idle_s: Longest silence on the stream, seconds.

        Yields:
            The lines. Iterating raises TransientError when the connection is lost or silent for too long.
        """
        probe = self._breaker.before(request.kind, self._cancel)
        try:
            self._pacer.wait(request.kind, self._cancel)
        except errors.GpuCloudError:
            if probe:
                self._breaker.abandon_probe()
            raise
        timeout = httpx.Timeout(self._real(idle_s), connect=self._real(CONNECT_S), pool=None)
        # A client of its own: a stream may stay open for hours and is not to take a place from other calls.
        with self._new_client() as client:
            http = client.build_request(
                request.method, request.path, params=request.params, headers=dict(headers), timeout=timeout
            )
            started = time.perf_counter()
            try:
                response = client.send(http, stream=True)
            except httpx.TransportError as error:
                self._breaker.after(Outcome.FAILED)
                lost = self._lost(request, error)
                self._note(request, lost, time.perf_counter() - started)
                raise lost from None
            with closing(response):
                body = b"" if response.is_success else _body(response)
                answer = Answer.of(response.status_code, response.headers, body)
                self._breaker.after(Outcome.FAILED if answer.status >= 500 else Outcome.FINE)
                self._note(request, answer, time.perf_counter() - started)
                self._pacer.observe(answer)
                if not answer.ok:
                    raise self._error(request, answer)
                yield self._lines(request, response)

    def close(self) -> None:
        """Gives connections back and writes the counters."""
        self._clients.close()
        METRICS.flush()

    def _attempt(self, request: Request, cancel: threading.Event | None) -> Answer | _Failure:
        """One attempt: its answer where it succeeded, else what it stands for."""
        probe = self._breaker.before(request.kind, cancel)
        try:
            self._pacer.wait(request.kind, cancel)
            with self._clients.client() as client:
                if cancel is not None and not request.kind.repeatable and cancel.is_set():
                    raise errors.CancelledError(
                        f"{self._what}: cancelled before {request.operation} was sent"
                    )
                http = self._build(client, request)
                if request.kind.writes:
                    self._may_send()
                started = time.perf_counter()
                result = self._send(client, request, http)
        except BaseException:
            if probe:
                self._breaker.abandon_probe()
            raise
        failed = isinstance(result, errors.GpuCloudError) or result.status >= 500
        self._breaker.after(Outcome.FAILED if failed else Outcome.FINE)
        self._note(request, result, time.perf_counter() - started)
        if isinstance(result, errors.GpuCloudError):
            return _Failure(result)
        self._pacer.observe(result)
        return result if result.ok else _Failure(self._error(request, result), result.retry_after_s())

    def _build(self, client: httpx.Client, request: Request) -> httpx.Request:
        seconds = request.read_timeout_s
        timeout = self._timeouts.get(seconds)
        if timeout is None:
            timeout = httpx.Timeout(self._real(seconds), connect=self._real(CONNECT_S), pool=None)
            self._timeouts[seconds] = timeout
        content, headers = None, None
        if request.json is not None:
            content = jsonlib.dumps(request.json, separators=(",", ":"), ensure_ascii=False).encode()
            headers = {"Content-Type": "application/json"}
        return client.build_request(
            request.method,
            request.path,
            params=request.params,
            content=content,
            headers=headers,
            timeout=timeout,
        )

    def _send(
        self, client: httpx.Client, request: Request, http: httpx.Request
    ) -> Answer | errors.GpuCloudError:
        try:
            response = client.send(http)
        except httpx.DecodingError as error:
            # Headers came, the body is unreadable: the call was made, so for a write nobody knows more than
            # that.
            return self._lost(request, error)
        except httpx.TransportError as error:
            return self._lost(request, error)
        return Answer.of(response.status_code, response.headers, response.content)

    def _lost(self, request: Request, error: httpx.RequestError) -> errors.GpuCloudError:
        where = f"{self._what}: {request.operation}"
        if isinstance(error, _NOT_SENT):
            why = "no connection in time" if isinstance(error, httpx.TimeoutException) else "no connection"
            return errors.TransientError(
                f"{where}: {why}: {redact(str(error))}".rstrip(": "), cloud=self.cloud
            )
        why = (
            f"no answer within {request.read_timeout_s:g} s"
            if isinstance(error, httpx.TimeoutException)
            else f"connection lost ({type(error).__name__})"
        )
        kind = errors.AmbiguousError if request.kind.writes else errors.TransientError
        return kind(f"{where}: {why}", cloud=self.cloud)

    def _error(self, request: Request, answer: Answer) -> errors.GpuCloudError:
        what = f"{self._what}: {request.operation}"
        own = self._classify(answer, request.kind, f"{what}: {answer.told(request.secrets)}")
        return own or error_for(answer, request.kind, self.cloud, what, request.secrets)

    def _wait_before(self, kind: Kind, failure: _Failure, retry: int, waited: float) -> float | None:
        again = errors.TransientError | errors.AmbiguousError | errors.RateLimitedError
        if kind.repeatable and isinstance(failure.error, again):
            return self._rules.wait_before(retry, waited, failure.retry_after_s)
        return None

    def _note(self, request: Request, result: Answer | errors.GpuCloudError, seconds: float) -> None:
        status = str(result.status) if isinstance(result, Answer) else f"no_answer_{result.kind}"
        METRICS.record(self.cloud, request.operation, status, seconds)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                structured(
                    "cloud_call",
                    operation=request.operation,
                    cloud=self.cloud,
                    credentials=self.credentials,
                    duration_ms=round(seconds * 1000, 1),
                    status=status,
                    request_id=result.request_id,
                )
            )

    def _lines(self, request: Request, response: httpx.Response) -> Iterator[str]:
        try:
            yield from response.iter_lines()
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise self._lost(request, error) from None

    def _real(self, seconds: float) -> float:
        """Real seconds for a time-out in emulated ones."""
        return max(min(seconds, _SHORTEST_REAL_TIMEOUT_S), seconds / self._scale)


def make_client(
    connection: Connection,
    title: str,
    *,
    pacer: Pacer,
    classify: Classify,
    rules: RetryRules | None = None,
    transport: httpx.BaseTransport | None = None,
) -> CloudHttp:
    """Opens the HTTP client of a cloud; sends nothing.

    Args:
        connection: Account, endpoint, clock, cancel.
        title: The cloud's name as people write it.
        pacer: Its request limits.
        classify: Its own rules for errors.
        rules: When to repeat a call.
        transport: Takes the network's place in tests.

    Raises:
        ValidationError: The endpoint or the key is not acceptable.
    """
    what = f"credential set {connection.credentials.name!r}"
    endpoint = checked_endpoint(connection.endpoint, what)
    key = connection.credentials.api_key.strip()
    if not key.isascii() or not key.isprintable() or any(letter.isspace() for letter in key):
        raise errors.ValidationError(
            f"{what}: the API key has a character that no key has (space, line end, …)"
        )
    local = is_loopback(endpoint)
    tls = _tls(endpoint.startswith("https://"))
    limits = httpx.Limits(
        max_connections=1,
        # Below the keep-alive of common servers: a connection that is just being closed loses a request.
        keepalive_expiry=4.0 if local else 30.0,
    )

    def new_client() -> httpx.Client:
        return httpx.Client(
            base_url=endpoint,
            headers={
                "Authorization": f"Bearer {key}",
                "User-Agent": user_agent(),
                "Accept": "application/json",
            },
            verify=tls,
            follow_redirects=False,
            trust_env=not local,  # a proxy of the environment is for the network, not for this machine
            limits=limits,
            transport=transport,
        )

    return CloudHttp(connection, title, new_client, pacer, classify, rules or RetryRules())


_one_makes_it = threading.Lock()


def _tls(encrypted: bool) -> ssl.SSLContext:
    """Verified, TLS 1.2 or newer; made once, because reading the roots takes a tenth of a second."""
    with _one_makes_it:  # the cache alone lets every thread that comes at once make its own
        return _made_tls(encrypted)


@lru_cache(maxsize=2)
def _made_tls(encrypted: bool) -> ssl.SSLContext:
    if not encrypted:
        return ssl.SSLContext(
            ssl.PROTOCOL_TLS_CLIENT
        )  # never used; trusts nobody, and costs no loading of roots
    context: ssl.SSLContext = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _body(response: httpx.Response) -> bytes:
    try:
        return response.read()
    except httpx.HTTPError:
        return b""
