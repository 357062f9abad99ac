"""An HTTP answer of a cloud, and the error that it stands for. Nothing here throws on an odd answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum, unique

from gpu_clouds import errors
from gpu_clouds.clock import utc_now
from gpu_clouds.redaction import redact

_LONGEST_DETAIL = 600
_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid", "cf-ray")


@unique
class Kind(StrEnum):
    """What a call does to the account, which decides what may be repeated and what a lost answer means."""

    READ = "read"
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"

    @property
    def writes(self) -> bool:
        """Whether the call changes anything."""
        return self is not Kind.READ

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no harm."""
        return self in (Kind.READ, Kind.DELETE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status.
        headers: Header names in lower case.
        text: The body; empty where there is none.
        json: The body as JSON; None where it is not JSON.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)
    json: object = field(repr=False)

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Reads a body, whatever is in it."""
        text = body.decode("utf-8", "replace")
        parsed: object = None
        if body:
            try:
                parsed = json.loads(text)
            except (ValueError, RecursionError):
                parsed = None
        return cls(status, {name.lower(): value for name, value in headers.items()}, text, parsed)

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return 200 <= self.status < 300

    @property
    def request_id(self) -> str | None:
        """The cloud's own id of the request, if it gave one."""
        return next((self.headers[name] for name in _REQUEST_ID_HEADERS if name in self.headers), None)

    @property
    def detail(self) -> str:
        """What the cloud says is wrong, in one line; empty if it says nothing that can be read."""
        return _detail(self.json)[:_LONGEST_DETAIL]

    def told(self, secrets: Iterable[str] = ()) -> str:
        """The same for people: secrets are removed first, so that no cut leaves half of one."""
        return redact(_detail(self.json), secrets)[:_LONGEST_DETAIL]

    def retry_after_s(self) -> float | None:
        """Seconds that the cloud asks to wait; None if it does not say."""
        value = self.headers.get("retry-after", "").strip()
        if not value:
            return None
        try:
            seconds = float(value)
        except ValueError:
            seconds = _seconds_until(value)
        return max(0.0, seconds) if seconds < float("inf") else None


def error_for(
    answer: Answer, kind: Kind, cloud: str, what: str, secrets: Iterable[str] = ()
) -> errors.GpuCloudError:
    """The error that an unsuccessful answer stands for, by the rules that all clouds share.

    Args:
        answer: The answer; its status is not 2xx.
        kind: What the call was.
        cloud: Name of the cloud.
        what: The call in words, for the message: `RunPod, credential set 'main': create pod`.
        secrets: Values that the message must not carry.
    """
    status = answer.status
    said = answer.told(secrets)
    message = f"{what}: HTTP {status}" + (f": {said}" if said else "")

    def made(error: type[errors.GpuCloudError], hint: str = "") -> errors.GpuCloudError:
        text = f"{message}; {hint}" if hint else message
        return error(text, cloud=cloud, status=status, request_id=answer.request_id)

    if status == 429:
        return errors.RateLimitedError(
            message,
            retry_after_s=answer.retry_after_s(),
            cloud=cloud,
            status=status,
            request_id=answer.request_id,
        )
    if status >= 500 or status == 408:
        return made(errors.AmbiguousError if kind.writes else errors.TransientError)
    if status == 403 and answer.json is None and answer.text.strip():
        # A page of the protection in front of the API (Cloudflare), not a word of the API about this key.
        return made(
            errors.TransientError, "refused in front of the API, by something that is not the API itself"
        )
    if 300 <= status < 400:
        return made(errors.UnknownCloudError, "redirects are never followed with a key; check the endpoint")
    known: dict[int, tuple[type[errors.GpuCloudError], str]] = {
        400: (errors.ValidationError, ""),
        401: (errors.AuthError, "check the key of this credential set"),
        402: (errors.BillingError, "add credit to the account"),
        403: (errors.PermissionRefusedError, "the key or the account may not do this"),
        404: (errors.NotFoundError, ""),
        405: (errors.UnknownCloudError, ""),
        409: (errors.ConflictError, ""),
        410: (errors.RetiredError, "this API has been switched off; a newer version of gpuplane is needed"),
        422: (errors.ValidationError, ""),
    }
    error, hint = known.get(status, (errors.UnknownCloudError, ""))
    if kind is Kind.CREATE and status in (404, 422):
        hint = "check the inputs that it is about"
    return made(error, hint)


def _detail(body: object) -> str:
    """Text of the error shapes in use: problem+json, `{"error": …}`, `{"message": …}`, and lists of those."""
    if isinstance(body, str):
        return " ".join(body.split())
    if isinstance(body, list):
        return "; ".join(filter(None, (_detail(item) for item in body[:3])))
    if not isinstance(body, dict):
        return ""
    main = ""
    for key in ("detail", "message", "error", "title"):
        if main := _detail(body.get(key)):
            break
    listed = body.get("errors") or body.get("issues")
    more = _detail(listed) if isinstance(listed, list) else ""
    return f"{main} ({more})" if main and more else main or more


def _seconds_until(date: str) -> float:
    try:
        then = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return float("inf")
    return ((then if then.tzinfo else then.replace(tzinfo=UTC)) - utc_now()).total_seconds()
