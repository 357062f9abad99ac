"""Calls of GitHub's and GitLab's REST APIs: pages, rate limits, errors in one line, no token anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from cli.errors import CliError
from gpu_clouds.clock import Clock

_SECONDS = 30.0
_ATTEMPTS = 4
_LONGEST_WAIT_S = 90.0
_PAGES = 50
_AGAIN = frozenset({500, 502, 503, 504})


class ApiError(CliError):
    """The API refused or did not answer.

    Attributes:
        status: HTTP status; 0 where nobody can know whether the call was carried out.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def may_not(self) -> bool:
        """Whether the token lacks the right, as those of pull requests from forks do."""
        return self.status in (401, 403, 404)


class Api:
    """One REST API.

    Args:
        base: Its URL; calls go nowhere else.
        headers: Of every call, the token among them.
        clock: Waits for rate limits.
        transport: Answers in place of the network, for tests.
    """

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str],
        clock: Clock,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._base = httpx.URL(base)
        self._clock = clock
        # Redirects stay off: the token must not follow one to another host.
        self._client = httpx.Client(headers=dict(headers), timeout=_SECONDS, transport=transport)

    def __repr__(self) -> str:
        return f"Api({self._base})"

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """One call; returns the answer's JSON, None where there is none.

        Args:
            method: HTTP method.
            path: Below the base URL.
            body: Sent as JSON.

        Raises:
            ApiError: Refused, or no answer.
        """
        return _json(self._send(method, f"{self._base}{path}", body))

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """All entries of a list, page by page.

        Args:
            path: Below the base URL, with its query.
        """
        url: str | None = f"{self._base}{path}"
        for _ in range(_PAGES):
            if url is None:
                return
            answer = self._send("GET", url, None)
            yield from (entry for entry in _json(answer) or () if isinstance(entry, dict))
            url = answer.links.get("next", {}).get("url")
            if url is not None and not self._ours(url):
                raise ApiError("the next page is said to be on another host; not followed", 0)

    def _ours(self, url: str) -> bool:
        there = httpx.URL(url)
        return (there.scheme, there.host, there.port) == (self._base.scheme, self._base.host, self._base.port)

    def _send(self, method: str, url: str, body: Mapping[str, object] | None) -> httpx.Response:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._client.request(method, url, json=body)
            except httpx.HTTPError as error:
                # A call that creates may have been carried out: whoever made it looks before it tries again.
                if method == "POST" or attempt == _ATTEMPTS:
                    raise ApiError(
                        f"{self._what(method, url)}: no answer ({type(error).__name__})", 0
                    ) from None
                self._clock.sleep(float(attempt))
                continue
            if answer.is_success:
                return answer
            wait = self._wait(answer, attempt, creates=method == "POST")
            if wait is None or attempt == _ATTEMPTS:
                status = 0 if answer.status_code in _AGAIN else answer.status_code
                raise ApiError(f"{self._what(method, url)}: {answer.status_code} {_reason(answer)}", status)
            self._clock.sleep(wait)
        raise AssertionError("unreachable")

    def _wait(self, answer: httpx.Response, attempt: int, *, creates: bool) -> float | None:
        """Seconds until the call may be made again; None where it may not."""
        limited = answer.status_code == 429 or (
            answer.status_code == 403
            and ("retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0")
        )
        if limited:
            wait = self._until_allowed(answer, attempt)
            return wait if wait <= _LONGEST_WAIT_S else None
        return float(attempt) if answer.status_code in _AGAIN and not creates else None

    def _until_allowed(self, answer: httpx.Response, attempt: int) -> float:
        after = answer.headers.get("retry-after", "")
        if after.isdecimal():
            return float(after)
        reset = answer.headers.get("x-ratelimit-reset") or answer.headers.get("ratelimit-reset") or ""
        return max(1.0, float(reset) - self._clock.time()) if reset.isdecimal() else 2.0**attempt

    def _what(self, method: str, url: str) -> str:
        return f"{self._base.host}: {method} {httpx.URL(url).path}"


def _json(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        raise ApiError(f"{answer.url.host}: the answer is no JSON", 0) from None


def _reason(answer: httpx.Response) -> str:
    """The API's own words, shortened: they are about the call, not about what was sent."""
    try:
        content = answer.json()
    except ValueError:
        return answer.reason_phrase
    said = (content.get("message") or content.get("error")) if isinstance(content, dict) else None
    return " ".join(said.split())[:200] if isinstance(said, str) else answer.reason_phrase
