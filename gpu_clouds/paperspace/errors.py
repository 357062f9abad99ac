"""Paperspace's own words for what went wrong, and errors that come in answers with status 200.

The body is `{"code": "NOT_FOUND", "message": "…"}`. How a quota or an unpaid bill reads has not been
recorded, so texts are matched loosely.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind

STATUS_OF_CODE: Mapping[str, int] = {
    "BAD_REQUEST": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_SUPPORTED": 405,
    "TIMEOUT": 408,
    "CONFLICT": 409,
    "PRECONDITION_FAILED": 412,
    "PAYLOAD_TOO_LARGE": 413,
    "TOO_MANY_REQUESTS": 429,
    "CLIENT_CLOSED_REQUEST": 499,
    "INTERNAL_SERVER_ERROR": 500,
}
"""Every code of the published description with its status."""

_CAPACITY = re.compile(
    r"capacity|out of stock|sold out|no (?:\w+ )?(?:machines?|hosts?|gpus?|instances?) (?:\w+ )?available"
    r"|not (?:currently )?available|unavailable",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"quota|maximum number|machine limit|limit (?:of|for) (?:\w+ )*machines?|limit (?:has been )?reached"
    r"|too many machines",
    re.IGNORECASE,
)
_BILLING = re.compile(
    r"billing|payment|past due|account standing|credit card|invoice|suspended", re.IGNORECASE
)
_BUSY = re.compile(r"currently (?:\w+ing)|is being \w+ed|in progress", re.IGNORECASE)
_REFUSALS = frozenset({400, 402, 403, 409, 412, 422})


def hidden_error(answer: Answer) -> Answer | None:
    """The error in an answer with a status of 2xx, as the answer that it should have been; None if none.

    Paperspace's own command line looks for this too.
    """
    body = answer.json
    if not isinstance(body, dict) or "data" in body or "id" in body:
        return None
    code, message = body.get("code"), body.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    return replace(answer, status=STATUS_OF_CODE.get(code, 500))


def classify(answer: Answer, kind: Kind, message: str) -> errors.GpuCloudError | None:
    """The error of an answer that the common rules would get wrong; None for all others."""
    error: type[errors.GpuCloudError] | None = None
    hint = ""
    if answer.status == 499:
        error = errors.AmbiguousError if kind.writes else errors.TransientError
    elif answer.status == 413:
        error, hint = (
            errors.ValidationError,
            "; env, args and startup are too long together: check the inputs",
        )
    elif answer.status in _REFUSALS and kind is not Kind.READ:
        error, hint = _refusal(answer)
    if error is None:
        return None
    return error(message + hint, cloud="paperspace", status=answer.status, request_id=answer.request_id)


def is_capacity(text: str) -> bool:
    """Whether the text of a failed create or start may mean that there was no machine free.

    A failed create is how this API says so, with a text that nobody has recorded: only words that clearly
    mean something else speak against it.
    """
    return bool(_CAPACITY.search(text)) or not (_QUOTA.search(text) or _BILLING.search(text))


def _refusal(answer: Answer) -> tuple[type[errors.GpuCloudError] | None, str]:
    said = answer.detail
    if _QUOTA.search(said):
        return errors.QuotaError, "; end some machines, or ask Paperspace for a higher limit"
    if _BILLING.search(said):
        return errors.BillingError, "; settle the team's account"
    if answer.status != 403 and _CAPACITY.search(said):
        return errors.CapacityError, ""
    if answer.status == 412 or _BUSY.search(said):
        return errors.ConflictError, ""
    return None, ""
