"""Calls the real server with nothing but httpx, and keeps what was asked and answered."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.peers.processes import PeerError
from tests.peers.scrub import Scrubber

VERSION_HEADERS = {"X-SkyPilot-API-Version": "62", "X-SkyPilot-Version": "0.14.1"}
#: The user of all recorded calls.
IDENTITY = {"SKYPILOT_USER_ID": "abcd1234", "SKYPILOT_USER": "pulumi"}
_OVER = ("SUCCEEDED", "FAILED", "CANCELLED")


class Recorder:
    """One server, and the recordings of calls to it.

    Args:
        url: the server's address.
        scrubber: what takes secrets out.
        folder: where recordings are written, a file for each group.
        headers: sent with every call besides the versions.
    """

    def __init__(
        self, url: str, scrubber: Scrubber, folder: Path, headers: Mapping[str, str] | None = None
    ) -> None:
        self._scrubber = scrubber
        self._client = httpx.Client(
            base_url=url,
            headers={**VERSION_HEADERS, **(headers or {})},
            timeout=httpx.Timeout(60.0, read=600.0),
            trust_env=False,
        )
        self._folder = folder
        self._group = ""
        self._entries: list[dict[str, Any]] = []

    def begin(self, group: str) -> None:
        """Begins a group of calls, those of one file; the group before it is written. An empty name ends."""
        if self._group:
            self._folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self._entries, indent=1, ensure_ascii=False)
            (self._folder / f"{self._group}.json").write_text(text + "\n", encoding="utf-8")
        self._group, self._entries = group, []

    def close(self) -> None:
        """Closes the connections. A group that is not ended is not written: it may lack calls."""
        self._client.close()

    def call(
        self,
        call: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        keep: bool = True,
    ) -> httpx.Response:
        """Calls the server once and keeps the answer.

        Args:
            call: what the recording is found by.
            method: HTTP method.
            path: path at the server.
            params: query.
            body: JSON body.
            headers: further headers.
            auth: user and password.
            keep: whether it is recorded.
        """
        response = self._client.request(
            method,
            path,
            params=params,
            json=body,
            headers=headers,
            auth=httpx.BasicAuth(*auth) if auth else None,
        )
        if keep:
            self.keep(call, method, path, params, body, response, response.text)
        return response

    def keep(
        self,
        call: str,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        response: httpx.Response,
        text: str,
    ) -> None:
        """Records one call."""
        scrub = self._scrubber
        self._entries.append(
            {
                "call": call,
                "request": {
                    "method": method,
                    "path": path,
                    "params": scrub.value(dict(params or {})),
                    "body": scrub.value(dict(body)) if body is not None else None,
                },
                "response": {
                    "status": response.status_code,
                    "headers": scrub.headers(response.headers),
                    "text": scrub.text(text),
                },
            }
        )

    def submit(self, call: str, path: str, body: Mapping[str, Any], keep: bool = True) -> str:
        """Sends a call whose result comes later, with the user's identity.

        Returns:
            The request's id.
        """
        response = self.call(call, "POST", path, body={**body, "env_vars": IDENTITY}, keep=keep)
        request_id = str(response.headers.get("x-skypilot-request-id", ""))
        if not request_id:
            raise PeerError(
                f"{call}: HTTP {response.status_code} without a request id: {response.text[:200]}"
            )
        return request_id

    def wait(self, request_id: str, wait_s: float = 600.0) -> dict[str, Any]:
        """Waits until a request is over; its row of /api/status. Records nothing."""
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            rows = self._client.get("/api/status", params={"request_ids": request_id}).json()
            if rows and rows[0]["status"] in _OVER:
                return dict(rows[0])
            time.sleep(0.3)
        raise PeerError(f"the request {request_id} is not over after {wait_s:g} s")

    def result(self, call: str, request_id: str, keep: bool = True) -> Any:
        """Waits for a request, records `/api/get` of it, and returns its value; None when it failed."""
        self.wait(request_id)
        response = self.call(call, "GET", "/api/get", params={"request_id": request_id}, keep=keep)
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return json.loads(response.json()["return_value"])
        return None

    def run(self, call: str, path: str, body: Mapping[str, Any], keep: bool = True) -> Any:
        """Sends a call, waits for its result; both are recorded, the second as `<call>.get`."""
        begin = time.monotonic()
        value = self.result(f"{call}.get", self.submit(call, path, body, keep), keep)
        if keep:
            print(f"  {call}: {time.monotonic() - begin:.1f} s", flush=True)
        return value

    def stream(
        self,
        call: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> str:
        """Reads a streamed answer to its end and records it whole.

        Of `/logs` the result of its request is recorded too, as `<call>.get`: the stream says nothing of a
        failure. Other streams have the id of a request in their headers that the server doesn't know.
        """
        sent = {**body, "env_vars": IDENTITY} if body is not None else None
        with self._client.stream(method, path, params=params, json=sent) as response:
            text = response.read().decode(errors="replace")
            self.keep(call, method, path, params, sent, response, text)
            request_id = response.headers.get("x-skypilot-request-id")
        if request_id and path == "/logs":
            self.result(f"{call}.get", request_id)
        return text
