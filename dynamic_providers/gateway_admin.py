"""The admin endpoint of a gateway, as far as the stack uses it: its table of nodes. HTTP only.

No call is sent twice by itself but while nothing accepts the connection: all of them may be repeated by their
callers, since a PUT replaces and a DELETE of what is not there succeeds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from gpu_clouds.clock import Clock, SystemClock
from gpu_clouds.connection import checked_endpoint
from gpu_clouds.errors import AuthError, GpuCloudError, TransientError, ValidationError

ANSWER_S = 30.0
"""How long an answer may take, seconds; a DELETE also waits until the node has drained."""
CONNECT_S = 5.0
_WAITS_S = (0.2, 0.5, 1.0, 2.0)
"""Between tries while nothing accepts the connection, seconds: a gateway that starts anew is back by then."""
_LONGEST_DETAIL = 300


class GatewayAwayError(TransientError):
    """Nothing listens at the gateway's address."""


class GatewayAdmin:
    """The table of nodes of one gateway.

    Args:
        url: Its base URL, without `/admin`; https, or http on this machine.
        token: Its admin token.
        cancel: Ends a wait between tries.
        may_write: Called right before each call that changes something; raises when it may not be sent.
        clock: Real time: the gateway is a real process, whatever the clouds' clock is.
        transport: Takes the network's place in tests.

    Raises:
        ValidationError: The URL is not acceptable.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        cancel: threading.Event,
        may_write: Callable[[], None],
        clock: Clock | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = checked_endpoint(url, "gateway")
        self._cancel = cancel
        self._may_write = may_write
        self._clock = clock or SystemClock()
        self._client = httpx.Client(
            base_url=f"{self._url}/admin/v1/nodes/",
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=False,
            transport=transport,
        )

    def __enter__(self) -> GatewayAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def put(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Registers a node, or changes the one of that name.

        Args:
            name: Its name.
            body: The node without its name, in the gateway's form.

        Returns:
            The node as the gateway has it, without its key, with `state` and `inFlight`.

        Raises:
            GpuCloudError: The gateway does not answer, or does not take it.
        """
        return _node(self._call("PUT", name, json=dict(body)))

    def get(self, name: str) -> dict[str, Any] | None:
        """A node as the gateway has it; None where it has none of that name.

        Raises:
            GpuCloudError: The gateway does not answer.
        """
        answer = self._call("GET", name)
        return None if answer.status_code == 404 else _node(answer)

    def delete(self, name: str, drain_s: float) -> None:
        """Gives a node no new requests, waits for its answers, and removes it. Absent is success.

        Args:
            name: Its name.
            drain_s: How long its answers may take, seconds; then they go on at other nodes.

        Raises:
            GpuCloudError: The gateway does not answer, or refuses.
        """
        self._call("DELETE", name, params={"drain_s": f"{drain_s:g}"}, read_s=ANSWER_S + drain_s)

    def _call(
        self,
        method: str,
        name: str,
        *,
        json: dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
        read_s: float = ANSWER_S,
    ) -> httpx.Response:
        # A delete is clean-up: it goes on after a cancel.
        cancel = None if method == "DELETE" else self._cancel
        for wait in (*_WAITS_S, None):
            if method != "GET":
                self._may_write()
            try:
                answer = self._client.request(
                    method,
                    quote(name, safe=""),
                    json=json,
                    params=params,
                    timeout=httpx.Timeout(read_s, connect=CONNECT_S),
                )
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if wait is None:
                    raise GatewayAwayError(f"the gateway at {self._url} does not answer") from None
                self._clock.sleep(wait, cancel)
            except httpx.TransportError as error:
                raise TransientError(
                    f"the gateway at {self._url} gave no answer ({type(error).__name__})"
                ) from None
            else:
                return self._checked(answer, method)
        raise AssertionError("unreachable")

    def _checked(self, answer: httpx.Response, method: str) -> httpx.Response:
        status = answer.status_code
        if answer.is_success or (status == 404 and method != "PUT" and _says_json(answer)):
            return answer
        where = f"the gateway at {self._url}"
        if status in (401, 403):
            raise AuthError(f"{where} does not accept the admin token", status=status)
        if status == 404:
            raise ValidationError(
                f"{where} has no admin endpoint: it was started without GATEWAY_ADMIN_TOKEN", status=status
            )
        said = f": {_detail(answer)}" if _detail(answer) else ""
        kind = TransientError if status >= 500 or status == 429 else ValidationError
        raise kind(f"{where} answers {status}{said}", status=status)


def _node(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise GpuCloudError("what answers at the gateway's address is no gateway")
    return found


def _says_json(answer: httpx.Response) -> bool:
    return "json" in answer.headers.get("content-type", "")


def _detail(answer: httpx.Response) -> str:
    """What the gateway says is wrong, in OpenAI's form."""
    try:
        error = answer.json()["error"]
        text = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        return ""
    return str(text)[:_LONGEST_DETAIL]
