"""One log that is read over as many connections as it takes: what to ask, what to deliver, when to ask again.

No reading here: `streams.py` does that, once for threads and once for asyncio.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from gpu_clouds.answers import Answer
from gpu_clouds.errors import CancelledError
from gpu_clouds.metrics import METRICS
from gpu_clouds.retry import RetryRules
from gpu_clouds.skypilot.answers import error_of, failed_request
from gpu_clouds.skypilot.calls import REQUEST_ID_HEADER
from gpu_clouds.skypilot.errors import ApiError
from gpu_clouds.skypilot.http import CONNECT_S, SkyPilotHttp, counted, lost_error
from gpu_clouds.skypilot.log_lines import LineSplitter, Progress
from gpu_clouds.skypilot.waiting import PATIENCE_S

SILENCE_S = 120.0
"""Longest silence of a stream, real seconds: the server sends a heartbeat every 30 s."""


@dataclass(slots=True)
class LogStream:
    """One log that is being read, over all of its connections.

    Attributes:
        operation: Its name in messages and metrics.
        method: HTTP method.
        path: Path at the server.
        params: Query.
        body: JSON body.
        progress: What the caller has.
        rules: When to connect again.
        request_id: The request of the last connection.
        about_request: The request whose log it is; empty for other logs.
    """

    operation: str
    method: str
    path: str
    http: SkyPilotHttp
    cancel: threading.Event | None
    params: dict[str, str | int | bool] = field(default_factory=dict)
    body: dict[str, object] | None = None
    progress: Progress = field(default_factory=Progress)
    request_id: str = ""
    about_request: str = ""
    _splitter: LineSplitter = field(default_factory=LineSplitter)
    _failures: int = 0
    _failing_since: float = 0.0
    _delivered_then: int = 0
    _tried_anew: bool = False
    _authorisation: str = ""
    _started: float = 0.0
    rules: RetryRules = field(
        default_factory=lambda: RetryRules(retries=20, first_s=1.0, longest_s=15.0, total_s=PATIENCE_S)
    )

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request of the next connection."""
        if self.cancel is not None and self.cancel.is_set():
            raise CancelledError(f"{self.http.title}: {self.operation} was cancelled")
        self.progress.reconnected()
        self._splitter = LineSplitter()
        self._authorisation = self.http.credentials.header()
        self._started = time.perf_counter()
        return client.build_request(
            self.method,
            self.path,
            params=self.params or None,
            json=self.body,
            headers={"Authorization": self._authorisation} if self._authorisation else None,
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S, pool=None),
        )

    def opened(self, response: httpx.Response) -> None:
        """Takes note of an answer's head."""
        self.request_id = response.headers.get(REQUEST_ID_HEADER, "")
        self._note(str(response.status_code))

    def feed(self, data: bytes) -> Iterator[str]:
        """New lines of these bytes."""
        for line in self.progress.accept(self._splitter.feed(data)):
            if self.cancel is not None and self.cancel.is_set():
                raise CancelledError(f"{self.http.title}: {self.operation} was cancelled")
            yield line

    def ended(self) -> Iterator[str]:
        """New lines of what was left when the stream had ended."""
        return self.progress.accept(self._splitter.end())

    def refused(self, status: int, headers: httpx.Headers, content: bytes) -> float:
        """What to do about an answer that is an error: seconds to wait before the next connection.

        Raises:
            ApiError: There is to be no other.
        """
        answer = Answer.of(status, headers, content)
        error = error_of(answer, self.operation, self.http.title, secrets=self.progress.secrets)
        if self.about_request and error.status_code == 404:
            lost = failed_request(answer, self.about_request, self.operation, self.http.title)
            raise counted(lost or error)
        if error.is_unauthorized and not self._tried_anew:
            self._tried_anew = True
            if self.http.credentials.renewed(self._authorisation) is not None:
                return 0.0
        if error.is_rate_limited or error.status_code >= 500:
            return self._wait(error)
        raise counted(error) from None

    def lost(self, error: httpx.RequestError) -> float:
        """The same for a connection that was lost or not made."""
        lost = lost_error(self.http.title, self.operation, error, False, SILENCE_S)
        if not self.request_id:
            self._note("timeout" if lost.timed_out else "no_answer")
        return self._wait(lost)

    def _wait(self, error: ApiError) -> float:
        now = self.http.clock.monotonic()
        if not self._failures or self.progress.delivered > self._delivered_then:
            self._failures, self._failing_since = 0, now
        self._failures += 1
        self._delivered_then = self.progress.delivered
        wait = self.rules.wait_before(self._failures, now - self._failing_since, error.retry_after_s)
        if wait is None:
            raise counted(error) from None
        self._tried_anew = False
        METRICS.count("skypilot_api_retries_total", operation=self.operation)
        return wait

    def _note(self, status: str) -> None:
        METRICS.count("skypilot_api_requests_total", operation=self.operation, status=status)
        METRICS.observe(
            "skypilot_api_request_duration_seconds",
            time.perf_counter() - self._started,
            operation=self.operation,
        )
