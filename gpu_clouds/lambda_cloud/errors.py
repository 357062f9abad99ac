"""Lambda's error codes. The codes are meant for programs, the texts may change: only codes are looked at."""

from __future__ import annotations

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind
from gpu_clouds.redaction import redact


class SoldOutHereError(errors.CapacityError):
    """One region has no such machine free, and another that is listed has not been tried yet."""

    elsewhere = True


LAUNCH_PAUSE_S = 12.0
"""What one launch has to wait after another; a refused one is not told how long."""
PAUSE_S = 1.0

_CODES: dict[str, type[errors.GpuCloudError]] = {
    "instance-operations/launch/insufficient-capacity": errors.CapacityError,
    "instance-operations/launch/file-system-in-wrong-region": errors.ValidationError,
    "global/invalid-parameters": errors.ValidationError,
    "global/quota-exceeded": errors.QuotaError,
    "global/duplicate": errors.ConflictError,
    "global/conflict": errors.ConflictError,
    "global/invalid-api-key": errors.AuthError,
    "global/account-inactive": errors.BillingError,
    "global/invalid-address": errors.BillingError,
    "global/forbidden": errors.PermissionRefusedError,
    "global/not-found": errors.NotFoundError,
    "filesystems/filesystem-in-use": errors.ConflictError,
    "firewall-rulesets/firewall-ruleset-in-use": errors.ConflictError,
}
_HINTS: dict[type[errors.GpuCloudError], str] = {
    errors.AuthError: "check the key of this credential set",
    errors.BillingError: "settle it in Lambda's console",
    errors.PermissionRefusedError: "the key or the account may not do this",
    errors.QuotaError: "end some instances, or ask Lambda for a higher quota",
    errors.ValidationError: "check the inputs that it is about",
}
"""What to do where Lambda suggests nothing."""
_OWN_FAULTS = ("global/internal-error", "global/unknown")


def code_of(answer: Answer) -> str:
    """`error.code` of an answer; empty where there is none."""
    error = answer.json.get("error") if isinstance(answer.json, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def classify(answer: Answer, kind: Kind, message: str) -> errors.GpuCloudError | None:
    """The error of an answer by its code; None where the common rules are right.

    Args:
        answer: The answer; its status is not 2xx.
        kind: What the call was.
        message: What is known so far, free of secrets.
    """
    code = code_of(answer)
    if answer.status == 429:
        # Neither body nor headers of a 429 are documented: without a Retry-After the published pace counts.
        wait = answer.retry_after_s()
        if wait is None:
            wait = LAUNCH_PAUSE_S if kind is Kind.CREATE else PAUSE_S
        return errors.RateLimitedError(
            f"{message} (HTTP 429)",
            retry_after_s=wait,
            cloud="lambda",
            status=429,
            request_id=answer.request_id,
        )
    error = _error(code, kind)
    if error is None:
        return None
    return error(
        f"{message} ({code}){_suggestion(answer) or _hint(error)}",
        cloud="lambda",
        status=answer.status,
        request_id=answer.request_id,
    )


def _error(code: str, kind: Kind) -> type[errors.GpuCloudError] | None:
    if code == "global/unknown" and kind is Kind.DELETE:
        # Recorded for ending an instance that is ending already: the caller looks, instead of asking again.
        return errors.ConflictError
    if code in _OWN_FAULTS or code.startswith("provider/"):
        return errors.AmbiguousError if kind.writes else errors.TransientError
    if code == "global/object-does-not-exist":
        # In a launch it is the key, the image, the type or the region that is not there.
        return errors.ValidationError if kind is Kind.CREATE else errors.NotFoundError
    return _CODES.get(code)


def _hint(error: type[errors.GpuCloudError]) -> str:
    return f"; {_HINTS[error]}" if error in _HINTS else ""


def _suggestion(answer: Answer) -> str:
    body = answer.json
    error = body.get("error") if isinstance(body, dict) else None
    said = error.get("suggestion") if isinstance(error, dict) else None
    return f"; {redact(' '.join(said.split())[:200])}" if isinstance(said, str) and said.strip() else ""
