"""Vast.ai's own words for what went wrong: a code in `error`, whatever the status."""

from __future__ import annotations

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind


class TakenError(errors.CapacityError):
    """Somebody else was faster at this offer, and there are others."""

    elsewhere = True


class LeftStoppedError(errors.CapacityError):
    """A bid was refused, and a stopped instance was made all the same.

    Args:
        message: As for the base class.
        contract: Id of the instance, which has to be ended.
        status: HTTP status of the answer.
    """

    def __init__(self, message: str, contract: str, status: int) -> None:
        super().__init__(message, cloud="vast", status=status)
        self.contract = contract


_CODES: dict[str, type[errors.GpuCloudError]] = {
    "no_such_ask": errors.CapacityError,
    "no_such_instance": errors.NotFoundError,
    "insufficient_credit": errors.BillingError,
    "auth_error": errors.AuthError,
}
_HINTS: dict[type[errors.GpuCloudError], str] = {
    errors.BillingError: "; add credit to the account",
    errors.AuthError: "; check the key of this credential set",
}


def classify(answer: Answer, kind: Kind, message: str) -> errors.GpuCloudError | None:
    """The error of an answer that the common rules would get wrong; None for all others.

    Only refusals are looked at: after a 5xx nothing is known, whatever its code says. A refusal may come as
    HTTP 200.
    """
    body = answer.json
    if answer.status >= 500 or answer.status == 429 or not isinstance(body, dict):
        return None
    contract = body.get("new_contract")
    if kind is Kind.CREATE and contract and not body.get("success"):
        return LeftStoppedError(message, str(contract), answer.status)
    error = _CODES.get(str(body.get("error", "")))
    if error is None:
        return None
    return error(f"{message}{_HINTS.get(error, '')}", cloud="vast", status=answer.status)
