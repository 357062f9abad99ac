"""Writes down what a cloud answered, without anything that is secret or somebody else's."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from gpu_clouds.redaction import MASK, redact

_HEADERS = re.compile(r"(?i)(x-)?rate-?limit.*|retry-after|content-type|date|location|server|allow")
_PRIVATE = frozenset(
    {"env", "user_data", "script", "public_key", "private_key", "ssh", "keys", "command", "host"}
)
_PRIVATE |= {"jupyter_token", "jupyter_url", "defaultPassword", "email", "firstName", "lastName", "username"}
_PRIVATE |= {"handle", "userId", "teamId", "ip", "private_ip", "publicIp", "privateIp", "created_by", "user"}
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b|[\w.+-]+@[\w-]+\.[\w.]+")
_OF_THE_ACCOUNT = re.compile(
    r".*/(pods|instances|machines|machine-events|ssh-keys|startup-scripts|file-?systems|firewall-rulesets|"
    r"network-volumes|snapshots|public-ips|private-networks|custom-templates)/?"
)


@dataclass(frozen=True)
class Call:
    """One call and its answer.

    Attributes:
        at_s: Seconds since the recording began, emulated ones where time is scaled.
        asked: `POST /v2/pods`.
        sent: Body of the request, redacted.
        status: HTTP status; 0 for no answer.
        headers: Those of the answer that tell something.
        body: The answer, redacted; text where it is no JSON.
    """

    at_s: float
    asked: str
    sent: Any
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Recorder(httpx.BaseTransport):
    """A transport that keeps what it has carried.

    Args:
        mine: What the names of our own objects begin with; those of others are only counted.
        inner: What really carries.
        now: Tells the time.
    """

    mine: str
    inner: httpx.BaseTransport
    now: Callable[[], float] = time.monotonic
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.now()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        at = round(self.now() - self._began, 1)
        asked = f"{request.method} {request.url.path}"
        listed = _OF_THE_ACCOUNT.fullmatch(request.url.path) is not None
        sent = self._clean(_parsed(request.content), listed=False)
        try:
            response = self.inner.handle_request(request)
            response.read()
        except httpx.HTTPError as error:
            self.calls.append(Call(at, asked, sent, 0, {}, type(error).__name__))
            raise
        headers = {name: redact(text) for name, text in response.headers.items() if _HEADERS.fullmatch(name)}
        body = self._clean(_parsed(response.content), listed=listed)
        self.calls.append(Call(at, asked, sent, response.status_code, headers, body))
        return response

    def close(self) -> None:
        """One transport serves many short-lived clients; whoever made `inner` closes it."""

    def _clean(self, value: Any, *, listed: bool) -> Any:
        if isinstance(value, dict):
            return {
                key: MASK if key in _PRIVATE and inner else self._clean(inner, listed=listed)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            if not listed:
                return [self._clean(inner, listed=False) for inner in value]
            own = [one for one in value if not isinstance(one, dict) or self._is_mine(one)]
            others = len(value) - len(own)
            cleaned = [self._clean(inner, listed=False) for inner in own]
            return [*cleaned, *([f"{others} of others"] if others else [])]
        return _ADDRESS.sub(MASK, redact(value)) if isinstance(value, str) else value

    def _is_mine(self, entry: Mapping[str, Any]) -> bool:
        return "name" not in entry or str(entry["name"]).startswith(self.mine)


def carrier(endpoint: str) -> httpx.BaseTransport:
    """The network, through the proxy that the environment names for it."""
    local = endpoint.startswith("http://")
    return httpx.HTTPTransport(proxy=None if local else urllib.request.getproxies().get("https"))


def objects(body: Any) -> Iterator[dict[str, Any]]:
    """Every object in an answer, outer ones first."""
    if isinstance(body, dict):
        yield body
    for inner in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        yield from objects(inner)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content[:300].decode("utf-8", "replace")
