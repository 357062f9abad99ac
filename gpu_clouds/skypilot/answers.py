"""The error that an unsuccessful answer of a SkyPilot server stands for.

Only plain JSON is read. SkyPilot also sends its exceptions as pickles, and unpickling runs what is in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from gpu_clouds.answers import Answer
from gpu_clouds.redaction import redact
from gpu_clouds.skypilot.errors import (
    ApiError,
    RequestCancelledError,
    RequestFailedError,
    RequestLostError,
    VersionMismatchError,
)

API_VERSION = "62"
VERSION = "0.14.1"
"""What this client was tested against. A newer server answers in the shapes of this version."""

API_VERSION_HEADER = "X-SkyPilot-API-Version"
VERSION_HEADER = "X-SkyPilot-Version"

_LONGEST = 1500
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PAGE = re.compile(r"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)
_NO_CLUSTER = re.compile(r"Hash for cluster .+ not found")
"""What `/cluster_events` says, as a ValueError, of a cluster that there is not."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")
_WRAPPED = re.compile(r"\b4\d\d: ")
_NEVER_TOLD = frozenset({"object", "stacktrace", "args", "attributes", "entrypoint", "request_body", "input"})


def plain(text: str, secrets: Iterable[str] = ()) -> str:
    """One line without control sequences and secrets, as it may be shown.

    Args:
        text: What the server said.
        secrets: Values to take out besides those that are known.
    """
    text = _CONTROL.sub(" ", _ESCAPES.sub("", text))
    text = " ".join(redact(text, secrets).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def clean_line(line: str) -> str:
    """A line of a log without control sequences; only what follows the last carriage return is seen."""
    line = _ESCAPES.sub("", line.rstrip("\r\n"))
    return _CONTROL.sub("", line.rpartition("\r")[2])


def error_of(
    answer: Answer, operation: str, title: str, *, writes: bool = False, secrets: Iterable[str] = ()
) -> ApiError:
    """The error of an answer whose status is not 2xx.

    Args:
        answer: The answer.
        operation: The call.
        title: What messages call the server.
        writes: Whether the call changes anything.
        secrets: Values that the message must not carry.
    """
    body = answer.json
    request_id = answer.headers.get("x-skypilot-request-id", "")
    head = f"{title}: {operation}"
    if isinstance(body, dict) and body.get("error") == "version_mismatch":
        return _version_mismatch(answer, head, operation, secrets)
    code, said, details = _told(body, answer.text)
    code = _code(code, secrets)
    said = plain(said, secrets)
    message = f"{head}: HTTP {answer.status}" + (f": {said}" if said else "")
    if hint := _REDIRECTED if 300 <= answer.status < 400 else _HINTS.get(answer.status, ""):
        message += f"; {hint}"
    return ApiError(
        message,
        operation=operation,
        status_code=answer.status,
        error_code=code or _code_of(answer.status, said),
        details={name: plain(value, secrets) for name, value in details.items()},
        request_id=request_id,
        retry_after_s=answer.retry_after_s(),
        writes=writes,
        refused=_wraps_a_refusal(answer),
    )


def failed_request(
    answer: Answer, request_id: str, operation: str, title: str, secrets: Iterable[str] = ()
) -> ApiError | None:
    """The error of a request that ended badly, of an answer of `/api/get`; None where it tells of no such.

    Args:
        answer: The answer, whatever its status.
        request_id: The request.
        operation: The call that made the request.
        title: What messages call the server.
        secrets: Values that the message must not carry.
    """
    head = f"{title}: {operation}"
    body = answer.json if isinstance(answer.json, dict) else {}
    if answer.ok:
        if body.get("status") != "CANCELLED":
            return None
        return RequestCancelledError(
            f"{head}: request {request_id} was cancelled; what it had begun may still be there",
            operation=operation,
            status_code=answer.status,
            error_code="RequestCancelled",
            request_id=request_id,
        )
    if answer.status == 404:
        return RequestLostError(
            f"{head}: the server does not know request {request_id} any more, because it was restarted "
            "or a day has passed; look at what it was about by its name",
            operation=operation,
            status_code=404,
            error_code="RequestLost",
            request_id=request_id,
        )
    detail = body.get("detail")
    if answer.status != 500 or not isinstance(detail, dict) or "error" not in detail:
        return None
    error = _parsed(detail["error"])
    code = _code(_text(error.get("type")), secrets)
    said = plain(_text(error.get("message")), secrets) or "no reason given"
    if code == "ValueError" and _NO_CLUSTER.search(said):
        code = "ClusterDoesNotExist"
    kind: type[ApiError] = RequestFailedError
    if code == "RequestInterruptedError" or (not code and detail.get("should_retry") is True):
        kind = RequestLostError
    elif code == "RequestCancelled" or detail.get("status") == "CANCELLED":
        kind = RequestCancelledError
    return kind(
        f"{head}: {code or 'failed'}: {said}",
        operation=operation,
        status_code=answer.status,
        error_code=code,
        details={name: plain(_text(detail.get(name)), secrets) for name in ("name", "cluster_name")},
        request_id=request_id,
    )


def _version_mismatch(answer: Answer, head: str, operation: str, secrets: Iterable[str]) -> ApiError:
    server = plain(answer.headers.get(VERSION_HEADER.lower(), ""), secrets) or "of an unknown version"
    server_api = plain(answer.headers.get(API_VERSION_HEADER.lower(), ""), secrets)
    api = f" (API {server_api})" if server_api else ""
    said = plain(_text(answer.json.get("message")) if isinstance(answer.json, dict) else "", secrets)
    return VersionMismatchError(
        f"{head}: the server is SkyPilot {server}{api} and does not speak with clients of {VERSION} "
        f"(API {API_VERSION}), which gpuplane is: {said}",
        operation=operation,
        status_code=answer.status,
        error_code="version_mismatch",
        details={
            "server_version": server,
            "server_api_version": server_api,
            "client_version": VERSION,
            "client_api_version": API_VERSION,
        },
    )


def _told(body: object, text: str) -> tuple[str, str, dict[str, str]]:
    """Code, message and further details of the shapes in use."""
    if isinstance(body, dict):
        detail = body.get("detail", body)
        if isinstance(detail, dict):
            code = _text(detail.get("type") or detail.get("error"))
            said = _text(detail.get("message") or detail.get("detail"))
            return code, said, _rest(detail)
        if isinstance(detail, list):  # FastAPI: one entry for each field that does not fit
            return "", "; ".join(filter(None, map(_field_problem, detail[:5]))), {}
        return "", _text(detail), {}
    if isinstance(body, str):
        return "", body, {}
    return "", "" if body is not None or _PAGE.match(text) else text[: 4 * _LONGEST], {}


def _field_problem(entry: object) -> str:
    if not isinstance(entry, dict):
        return ""
    where = entry.get("loc")
    place = ".".join(str(part) for part in where if part != "body") if isinstance(where, list) else ""
    said = _text(entry.get("msg"))
    return f"{place}: {said}" if place else said


def _rest(detail: Mapping[str, object]) -> dict[str, str]:
    return {
        name: _text(value)
        for name, value in detail.items()
        if name not in _NEVER_TOLD | {"type", "message", "error", "detail"}
        and isinstance(value, str | int | float)
        and value != ""
    }


def _code_of(status: int, said: str) -> str:
    if "already exists" in said:
        return "already_exists"
    return "unauthorized" if status == 401 else ""


def _wraps_a_refusal(answer: Answer) -> bool:
    """Whether a 500 is a refusal in disguise, which repeating would not change.

    The calls about service-account tokens answer 500 with `…: 400: …` in the text.
    """
    if answer.status != 500 or not isinstance(answer.json, dict):
        return False
    detail = answer.json.get("detail")
    return isinstance(detail, str) and _WRAPPED.search(detail) is not None


_REDIRECTED = "it redirects, maybe to a log-in page, and redirects are never followed: check the address"
_HINTS = {
    401: "check the token, or user and password, of this server",
    403: "this token or user may not do this",
}


def _parsed(text: object) -> dict[str, object]:
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""


def _code(text: str, secrets: Iterable[str]) -> str:
    """A name of an error; empty for text that is no name, as nobody could decide anything by it."""
    return text if _NAME.fullmatch(text) and plain(text, secrets) == text else ""
