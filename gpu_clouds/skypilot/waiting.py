"""Waiting for a request of the server, and what came of it.

A short request is fetched by a call that the server holds back until it has ended. A launch, and whatever
takes longer than that, is polled: at once, then every 5 s, in the end every 30 s.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gpu_clouds.answers import Answer, Kind
from gpu_clouds.skypilot.answers import error_of, failed_request
from gpu_clouds.skypilot.connection import SkyPilotConnection
from gpu_clouds.skypilot.errors import (
    ApiError,
    ConnectionFailedError,
    RequestLostError,
    RequestTimeoutError,
    UnreadableAnswerError,
)
from gpu_clouds.skypilot.http import Call, SkyPilotHttp, counted
from gpu_clouds.skypilot.models import RequestRecord

_log = logging.getLogger("gpuplane.clouds")

_T = TypeVar("_T")

FIRST_POLL_S = 5.0
LONGEST_POLL_S = 30.0
_GROWTH = 1.3
HELD_S = 30.0
"""Longest time that the server may hold an answer back, seconds. Proxies in front of servers cut at 60 s. It
is not repeated: the server does not notice that nobody waits any more, and keeps asking its database."""
PATIENCE_S = 120.0
"""How long a server may be away while a request is waited for, seconds: a restart takes up to a minute."""
_FETCH_S = 60.0


@dataclass(frozen=True, slots=True)
class Pending(Generic[_T]):
    """A request that the server has taken.

    Attributes:
        request_id: Its id. The server forgets it when it is restarted, so it is no handle to keep.
        operation: The call that made it.
        kind: What it does.
        timeout_s: How long `result` waits unless told otherwise, seconds.
    """

    request_id: str
    operation: str
    kind: Kind
    timeout_s: float
    long: bool
    read: Callable[[object], _T] = field(repr=False)
    waiter: Waiter = field(repr=False)
    canceller: Callable[[list[str]], list[str]] = field(repr=False)
    cancel_event: threading.Event | None = field(repr=False)
    secrets: frozenset[str] = field(repr=False)

    def result(
        self, timeout_s: float | None = None, *, on_poll: Callable[[RequestRecord], None] | None = None
    ) -> _T:
        """Waits for the end.

        Args:
            timeout_s: How long, seconds; None for `timeout_s`.
            on_poll: Gets the request each time that its state was looked at.

        Raises:
            RequestFailedError: It failed; `error_code` says why.
            RequestCancelledError: It was cancelled.
            RequestLostError: The server was restarted meanwhile; look at the cluster by its name.
            RequestTimeoutError: Not in time; it goes on. `cancel` and, after a launch, `down` end it.
            ApiError: The server could not be asked.
            CancelledError: The user has asked to stop; the request goes on.
        """
        value = self.waiter.wait(self, self.timeout_s if timeout_s is None else timeout_s, on_poll)
        try:
            return self.read(value)
        except ValueError as error:
            from gpu_clouds.skypilot.calls import why_unreadable

            raise UnreadableAnswerError(
                f"{self.waiter.title}: {self.operation}: the request succeeded, but of its result "
                f"{why_unreadable(error)}",
                operation=self.operation,
                request_id=self.request_id,
                writes=self.kind.writes,
            ) from None

    def state(self) -> RequestRecord | None:
        """How it is now; None where the server does not know it any more."""
        return self.waiter.look(self)

    def cancel(self) -> None:
        """Cancels it. What a launch has begun stays: `down` ends it."""
        self.canceller([self.request_id])


class Waiter:
    """Waits for requests of one server."""

    def __init__(self, http: SkyPilotHttp, connection: SkyPilotConnection) -> None:
        self._http = http
        self._clock = connection.clock
        self._connection = connection
        self.title = connection.title

    def wait(
        self,
        pending: Pending[_T],
        timeout_s: float,
        on_poll: Callable[[RequestRecord], None] | None = None,
    ) -> object:
        """The return value of a request; see `Pending.result`."""
        deadline = self._clock.monotonic() + timeout_s
        answer = None if pending.long else self._held(pending, min(HELD_S, timeout_s))
        if answer is None:
            self._poll(pending, deadline, timeout_s, on_poll)
            answer = self._http.call(self._get(pending, _FETCH_S, held=False), pending.cancel_event)
        return self._value(pending, answer)

    def look(self, pending: Pending[_T]) -> RequestRecord | None:
        """The state of a request; None where the server does not know it."""
        call = Call(
            f"{pending.operation}.poll",
            Kind.READ,
            "GET",
            "/api/status",
            params={"request_ids": pending.request_id},
            read_timeout_s=HELD_S,
            secrets=pending.secrets,
        )
        answer = self._http.call(call, pending.cancel_event)
        return next((found for found in records(answer) if found.request_id == pending.request_id), None)

    def _held(self, pending: Pending[_T], seconds: float) -> Answer | None:
        """The answer of a request that ends soon; None where it does not."""
        try:
            return self._http.call(self._get(pending, seconds, held=True), pending.cancel_event)
        except ApiError as error:
            if not _passing(error):
                raise
            _log.debug("%s: waiting goes on by polling: %s", pending.request_id, error)
            return None

    def _poll(
        self,
        pending: Pending[_T],
        deadline: float,
        timeout_s: float,
        on_poll: Callable[[RequestRecord], None] | None,
    ) -> None:
        pause = FIRST_POLL_S
        heard = self._clock.monotonic()
        while True:
            record = self._seen(pending, heard)
            if record is not None:
                heard = self._clock.monotonic()
                if on_poll is not None:
                    on_poll(record)
                if record.status.ended:
                    return
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise counted(
                    RequestTimeoutError(
                        f"{self.title}: {pending.operation}: request {pending.request_id} has not ended "
                        f"within {timeout_s:g} s; it goes on on the server",
                        operation=pending.operation,
                        error_code="RequestTimeout",
                        request_id=pending.request_id,
                        writes=pending.kind.writes,
                    )
                )
            self._clock.sleep(min(pause, left), pending.cancel_event)
            pause = min(LONGEST_POLL_S, pause * _GROWTH)

    def _seen(self, pending: Pending[_T], heard: float) -> RequestRecord | None:
        """The state of a request; None while the server is away, but not for long.

        Args:
            pending: The request.
            heard: When the server was last heard of.
        """
        try:
            record = self.look(pending)
        except ApiError as error:
            if not _passing(error) or self._clock.monotonic() - heard > PATIENCE_S:
                raise
            return None
        if record is None:
            raise counted(self._lost(pending))
        return record

    def _get(self, pending: Pending[_T], seconds: float, *, held: bool) -> Call:
        return Call(
            f"{pending.operation}.get",
            Kind.READ,
            "GET",
            "/api/get",
            params={"request_id": pending.request_id},
            read_timeout_s=max(1.0, seconds),
            blocking=held,
            final_500=True,
            secrets=pending.secrets,
        )

    def _value(self, pending: Pending[_T], answer: Answer) -> object:
        error = failed_request(answer, pending.request_id, pending.operation, self.title, pending.secrets)
        if error is not None:
            raise counted(error)
        if not answer.ok:
            raise counted(error_of(answer, pending.operation, self.title, secrets=pending.secrets))
        try:
            return return_value(answer.json)
        except ValueError as why:
            raise UnreadableAnswerError(
                f"{self.title}: {pending.operation}: the result of request {pending.request_id}: {why}",
                operation=pending.operation,
                status_code=answer.status,
                request_id=pending.request_id,
                writes=pending.kind.writes,
            ) from None

    def _lost(self, pending: Pending[_T]) -> ApiError:
        return RequestLostError(
            f"{self.title}: {pending.operation}: the server does not know request {pending.request_id} any "
            "more, so it was restarted; look at what it was about by its name",
            operation=pending.operation,
            status_code=404,
            error_code="RequestLost",
            request_id=pending.request_id,
        )


def records(answer: Answer) -> list[RequestRecord]:
    """The requests of an answer of `/api/status`; entries that can not be read are left out."""
    items = answer.json if isinstance(answer.json, list) else []
    return [
        RequestRecord.model_validate(item)
        for item in items
        if isinstance(item, Mapping) and item.get("request_id")
    ]


def return_value(body: object) -> object:
    """What a request gave, of the JSON of `/api/get`, where it is JSON in JSON.

    Raises:
        ValueError: It can not be read.
    """
    text = body.get("return_value") if isinstance(body, Mapping) else None
    if text is None:
        raise ValueError("it has no return value")
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its return value is not JSON") from None


def _passing(error: ApiError) -> bool:
    """Whether the server may be back soon."""
    return isinstance(error, ConnectionFailedError) or error.is_rate_limited or error.status_code >= 500
