"""Paperspace's API v1, call by call.

Paths and fields are those of the published description and its documentation of 2025-04-17. Whatever starts
asynchronous work answers with the machine and an event to follow.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError as PydanticError

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind, error_for
from gpu_clouds.connection import Connection
from gpu_clouds.pacing import header_pacer
from gpu_clouds.paperspace.errors import classify, hidden_error
from gpu_clouds.paperspace.models import (
    Event,
    Machine,
    Made,
    Model,
    OsTemplate,
    PublicIp,
    Session,
    Snapshot,
    StartupScript,
)
from gpu_clouds.retry import RetryRules
from gpu_clouds.transport import CREATE_S, STATUS_S, Request, make_client

_M = TypeVar("_M", bound=Model)
_MOST_PAGES = 1000
_PAGE = 120
"""The largest page there is."""

Body = Mapping[str, object]


class PaperspaceClient:
    """Typed calls; every method may raise the errors of `gpu_clouds.errors`.

    Args:
        connection: Account, endpoint, clock, cancel.
        transport: Takes the network's place in tests.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self._what = f"Paperspace, credential set {connection.credentials.name!r}"
        self._http = make_client(
            connection,
            "Paperspace",
            pacer=header_pacer(connection, "Paperspace"),
            classify=classify,
            # No limit is published, and a 429 need not say how long to wait.
            rules=RetryRules(first_s=2.0),
            transport=transport,
        )

    def close(self) -> None:
        """Gives connections back."""
        self._http.close()

    # Machines

    def list_machines(self) -> list[Machine]:
        """All machines of the team. The API's filter by name is not used: nobody knows how exact it is."""
        return self._list("list_machines", "/machines", Machine, {"orderBy": "dtCreated", "order": "asc"})

    def get_machine(self, machine_id: str) -> Machine:
        """One machine; NotFoundError where there is none."""
        return self._get("get_machine", f"/machines/{_quoted(machine_id)}", Machine)

    def create_machine(self, body: Body) -> Made:
        """Sends one launch, once; the body has no secret in it, that is in the startup script."""
        return self._write(Kind.CREATE, "create_machine", "POST", "/machines", body)

    def change_machine(self, machine_id: str, body: Body) -> Made:
        """Changes a machine."""
        return self._write(Kind.CHANGE, "change_machine", "PUT", f"/machines/{_quoted(machine_id)}", body)

    def delete_machine(self, machine_id: str) -> None:
        """Asks for the end of a machine; NotFoundError where there is none."""
        self._delete("delete_machine", f"/machines/{_quoted(machine_id)}")

    def act(self, machine_id: str, action: str) -> Made:
        """`start`, `stop` or `restart`."""
        path = f"/machines/{_quoted(machine_id)}/{action}"
        return self._write(Kind.CHANGE, f"{action}_machine", "PATCH", path, {})

    def machine_events(self, machine_id: str) -> list[Event]:
        """What was and is being done to a machine."""
        return self._list("machine_events", "/machine-events", Event, {"machineId": machine_id})

    def get_event(self, event_id: str) -> Event:
        """One event."""
        return self._get("get_event", f"/machine-events/{_quoted(event_id)}", Event)

    # Before a launch

    def available(self, label: str, region: str) -> bool | None:
        """Whether a machine type is free in a region; None where the API does not tell."""
        params = {"machineType": label, "region": region}
        try:
            answer = self._call(
                Request(Kind.READ, "machine_availability", "GET", "/machine-availability", params)
            )
        except (errors.NotFoundError, errors.ValidationError):
            return None  # an older API, or a type that it does not count
        said = answer.json.get("available") if isinstance(answer.json, dict) else None
        return said if isinstance(said, bool) else None

    def os_templates(self) -> list[OsTemplate]:
        """The images of operating systems."""
        return self._list("os_templates", "/os-templates", OsTemplate, {})

    def session(self) -> Session | None:
        """Who is calling; None where the key is not known."""
        answer = self._call(Request(Kind.READ, "session", "GET", "/auth/session", read_timeout_s=STATUS_S))
        return (
            None if answer.json is None else self._parsed(Kind.READ, "session", Session, answer.json, answer)
        )

    def account_standing(self) -> Mapping[str, object]:
        """What the API says of the team's account; its fields are not documented."""
        answer = self._call(Request(Kind.READ, "account_standing", "GET", "/billing/account-standing"))
        return answer.json if isinstance(answer.json, dict) else {}

    # What outlives a machine

    def list_scripts(self) -> list[StartupScript]:
        """All startup scripts of the team."""
        return self._list("list_scripts", "/startup-scripts", StartupScript, {})

    def create_script(self, name: str, text: str, secrets: Iterable[str] = ()) -> StartupScript:
        """Makes a script for the first boot of one machine.

        Args:
            name: Its name.
            text: The script.
            secrets: Values in it that no error may carry.
        """
        body = {"name": name, "script": text, "isRunOnce": True}
        request = Request(
            # Its name says whose it is, so a second one does no harm; but nobody may send it twice unasked.
            Kind.CHANGE,
            "create_script",
            "POST",
            "/startup-scripts",
            json=body,
            # As they are, and as they stand in the script.
            secrets=[spelled for value in secrets for spelled in (value, shlex.quote(value).strip("'"))],
        )
        answer = self._call(request)
        item = answer.json.get("data", answer.json) if isinstance(answer.json, dict) else None
        return self._parsed(Kind.CHANGE, "create_script", StartupScript, item, answer)

    def delete_script(self, script_id: str) -> None:
        """Ends a script; NotFoundError where there is none."""
        self._delete("delete_script", f"/startup-scripts/{_quoted(script_id)}")

    def list_public_ips(self) -> list[PublicIp]:
        """The team's static addresses."""
        return self._list("list_public_ips", "/public-ips", PublicIp, {})

    def unassign_public_ip(self, ip: str) -> None:
        """Takes a static address from its machine."""
        path = f"/public-ips/{_quoted(ip)}"
        self._call(Request(Kind.CHANGE, "unassign_public_ip", "PUT", path, json={"machineId": None}))

    def release_public_ip(self, ip: str) -> None:
        """Gives a static address back; NotFoundError where there is none."""
        self._delete("release_public_ip", f"/public-ips/{_quoted(ip)}")

    def list_snapshots(self) -> list[Snapshot]:
        """The team's snapshots."""
        return self._list("list_snapshots", "/snapshots", Snapshot, {})

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Ends a snapshot; NotFoundError where there is none."""
        self._delete("delete_snapshot", f"/snapshots/{_quoted(snapshot_id)}")

    # Sending and reading

    def _call(self, request: Request) -> Answer:
        """Sends a call; an error in an answer with status 200 is an error here."""
        answer = self._http.call(request)
        hidden = hidden_error(answer)
        if hidden is None:
            return answer
        what = f"{self._what}: {request.operation}"
        own = classify(hidden, request.kind, f"{what}: {hidden.told(request.secrets)}")
        raise own or error_for(hidden, request.kind, "paperspace", what, request.secrets)

    def _get(self, operation: str, path: str, model: type[_M]) -> _M:
        answer = self._call(Request(Kind.READ, operation, "GET", path, read_timeout_s=STATUS_S))
        return self._parsed(Kind.READ, operation, model, answer.json, answer)

    def _write(self, kind: Kind, operation: str, method: str, path: str, body: Body) -> Made:
        request = Request(kind, operation, method, path, json=body, read_timeout_s=CREATE_S)
        answer = self._call(request)
        return self._parsed(kind, operation, Made, answer.json, answer)

    def _delete(self, operation: str, path: str) -> None:
        self._call(Request(Kind.DELETE, operation, "DELETE", path, read_timeout_s=STATUS_S))

    def _list(self, operation: str, path: str, model: type[_M], params: Mapping[str, str]) -> list[_M]:
        found: list[_M] = []
        seen = {""}
        request = Request(Kind.READ, operation, "GET", path, {**params, "limit": _PAGE})
        for _ in range(_MOST_PAGES):
            answer = self._call(request)
            body = answer.json
            items = body.get("items") if isinstance(body, dict) else body
            if not isinstance(items, list):
                raise self._odd(Kind.READ, operation, answer, "no list of items in the answer")
            found += [self._parsed(Kind.READ, operation, model, item, answer) for item in items]
            cursor = _next_page(body)
            if not cursor:
                return found
            if cursor in seen:
                break
            seen.add(cursor)
            request = replace(request, params={**params, "limit": _PAGE, "after": cursor})
        raise self._odd(Kind.READ, operation, answer, "the pages of the list do not end")

    def _parsed(self, kind: Kind, operation: str, model: type[_M], item: object, answer: Answer) -> _M:
        try:
            return model.model_validate(item)
        except PydanticError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "body"
            raise self._odd(kind, operation, answer, f"cannot be read at {where!r}") from None

    def _odd(self, kind: Kind, operation: str, answer: Answer, why: str) -> errors.GpuCloudError:
        """A success that can not be read: for a write nobody knows what was done."""
        error = errors.AmbiguousError if kind.writes else errors.UnknownCloudError
        return error(
            f"{self._what}: {operation}: HTTP {answer.status}, but {why}",
            cloud="paperspace",
            status=answer.status,
            request_id=answer.request_id,
        )


def _quoted(identifier: str) -> str:
    return quote(identifier, safe="")


def _next_page(body: object) -> str:
    if not isinstance(body, dict) or not body.get("hasMore"):
        return ""
    cursor = body.get("nextPage")
    return cursor if isinstance(cursor, str) else ""
