"""What all calls are made of: the common body, submitting a request, reading its result."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic import ValidationError as PydanticError

from gpu_clouds.answers import Kind
from gpu_clouds.errors import ValidationError
from gpu_clouds.skypilot.connection import SkyPilotConnection
from gpu_clouds.skypilot.errors import UnreadableAnswerError
from gpu_clouds.skypilot.http import Call, Params, SkyPilotHttp
from gpu_clouds.skypilot.task_secrets import spelled
from gpu_clouds.skypilot.waiting import Pending, Waiter

_T = TypeVar("_T")
_M = TypeVar("_M", bound=BaseModel)
Reader = Callable[[object], _T]

REQUEST_ID_HEADER = "x-skypilot-request-id"
_REQUEST_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Calls:
    """Base of the groups of calls; see `SkyPilotClient`."""

    def __init__(self, connection: SkyPilotConnection, http: SkyPilotHttp) -> None:
        self.connection = connection
        self._settings = connection.settings
        self._http = http
        self._waiter = Waiter(http, connection)

    def _submit(
        self,
        operation: str,
        path: str,
        read: Reader[_T],
        fields: Mapping[str, object] | None = None,
        *,
        kind: Kind = Kind.READ,
        params: Params | None = None,
        method: str = "POST",
        timeout_s: float | None = None,
        workspace: str = "",
        secrets: Iterable[str] = (),
        once: bool = False,
        long: bool = False,
    ) -> Pending[_T]:
        """Sends a call that the server answers with the id of a request.

        Args:
            operation: Its name in messages and metrics.
            path: Path at the server.
            read: Makes the result of the request's return value; raises ValueError where it can not.
            fields: The body besides what all bodies have.
            kind: What it does.
            params: Query.
            method: HTTP method.
            timeout_s: How long its result is waited for unless said otherwise, seconds.
            workspace: The workspace that it is for; empty for the connection's.
            secrets: Values that no message may carry.
            once: It must not be sent again unless nothing was sent.
            long: It takes minutes, so its state is polled from the start.
        """
        hidden = spelled(secrets)
        cancel = self._http.cancel_for(kind)
        body = self.body(operation, fields or {}, workspace) if method == "POST" else None
        answer = self._http.call(
            Call(operation, kind, method, path, params=params, body=body, once=once, secrets=hidden), cancel
        )
        request_id = answer.headers.get(REQUEST_ID_HEADER, "")
        if not request_id:
            raise UnreadableAnswerError(
                f"{self.connection.title}: {operation}: HTTP {answer.status} without the id of a request; "
                "is this a SkyPilot API server?",
                operation=operation,
                status_code=answer.status,
                writes=kind.writes,
            )
        return Pending(
            request_id=request_id,
            operation=operation,
            kind=kind,
            timeout_s=self._settings.request_timeout_s if timeout_s is None else timeout_s,
            long=long,
            read=read,
            waiter=self._waiter,
            canceller=self.cancel_requests,
            cancel_event=cancel,
            secrets=hidden,
        )

    def _direct(
        self,
        operation: str,
        path: str,
        read: Reader[_T],
        fields: Mapping[str, object] | None = None,
        *,
        kind: Kind = Kind.READ,
        method: str = "POST",
        params: Params | None = None,
        secrets: Iterable[str] = (),
        once: bool = False,
    ) -> _T:
        """Sends a call that the server answers at once, without a request."""
        body = self.body(operation, fields or {}, "") if method == "POST" else None
        call = Call(
            operation, kind, method, path, params=params, body=body, once=once, secrets=spelled(secrets)
        )
        return self._read(call, read)

    def _read(self, call: Call, read: Reader[_T]) -> _T:
        answer = self._http.call(call, self._http.cancel_for(call.kind))
        try:
            return read(answer.json)
        except ValueError as error:
            raise UnreadableAnswerError(
                f"{self.connection.title}: {call.operation}: HTTP {answer.status}, "
                f"but {why_unreadable(error)}; is this a SkyPilot API server?",
                operation=call.operation,
                status_code=answer.status,
                writes=call.kind.writes,
            ) from None

    def cancel_requests(self, request_ids: Sequence[str]) -> list[str]:
        """Cancels requests of the server; the ids of those that were still going.

        What a launch has begun stays and costs money: `down` ends it.

        Args:
            request_ids: Whole ids, at least one.

        Raises:
            ValidationError: No id, or a part of one. To the server, no ids would mean all of the user's
                requests, and a part of one all that begin with it.
        """
        ids = [] if isinstance(request_ids, str) else list(request_ids)
        if not ids or not all(isinstance(each, str) and _REQUEST_ID.fullmatch(each) for each in ids):
            raise ValidationError("cancelling requests takes a list of whole request ids, at least one")
        return self._submit(
            "cancel_requests", "/api/cancel", _words, {"request_ids": ids}, kind=Kind.DELETE
        ).result()

    def body(self, operation: str, fields: Mapping[str, object], workspace: str) -> dict[str, object]:
        """The JSON of a call: its own fields and those that tell who asks.

        Without `env_vars` the server takes its own user for the caller's, and without `entrypoint_command` it
        shows its own command line as what the user has typed (measured, 0.14.1).
        """
        common: dict[str, object] = {
            "env_vars": {
                "SKYPILOT_USER_ID": self.connection.user_id,
                "SKYPILOT_USER": self.connection.user_name,
            },
            "entrypoint_command": f"gpuplane {operation}",
            "using_remote_api_server": not self.connection.local,
        }
        active = workspace or self.connection.workspace
        if active:
            common["override_skypilot_config"] = {"active_workspace": active}
        return {**common, **fields}


def nothing(value: object) -> None:
    """For results that say nothing."""


def one(model: type[_M]) -> Reader[_M]:
    """For a result that is one object."""
    return model.model_validate


def many(model: type[_M]) -> Reader[list[_M]]:
    """For a result that is a list of objects."""

    def read(value: object) -> list[_M]:
        if not isinstance(value, list):
            raise ValueError("it is no list")
        return [model.model_validate(item) for item in value]

    return read


def mapping(value: object) -> dict[str, Any]:
    """For a result that is a JSON object."""
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return value


def texts(value: object) -> list[str]:
    """For a result that is a list of words."""
    if not isinstance(value, list):
        raise ValueError("it is no list")
    return [str(item) for item in value if item is not None]


def _words(value: object) -> list[str]:
    return texts(value or [])


def given(**fields: object) -> dict[str, object]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def why_unreadable(error: ValueError) -> str:
    """What is wrong with an answer, without any of its content."""
    if isinstance(error, PydanticError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"it can not be read at {'.'.join(str(part) for part in first['loc']) or 'its top'!r}"
    return str(error)
