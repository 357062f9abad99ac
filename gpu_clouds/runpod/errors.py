"""RunPod's own words for what went wrong.

RunPod has no machine-readable codes: a 400 may be a full data centre, a spend limit or a bad request, and
only its text tells. Texts as recorded by users of the API; they are matched loosely.
"""

from __future__ import annotations

import re

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind

_CAPACITY = re.compile(
    r"no (?:longer any )?(?:\w+ )?instances (?:\w+ )?available|no longer any instances|no instances"
    r"|not enough free gpus|no free gpus|no resources available|out of capacity",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"spend(?:ing)? limit|quota|maximum number of (?:pods|gpus)", re.IGNORECASE)
_BILLING = re.compile(r"balance|insufficient (?:funds|credit)|payment|billing", re.IGNORECASE)


def classify(answer: Answer, kind: Kind, message: str) -> errors.GpuCloudError | None:
    """The error of an answer that the common rules would get wrong; None for all others.

    Only refusals are looked at: after a 5xx nothing is known, whatever its text says.
    """
    if answer.status not in (400, 402, 409, 422) or kind is Kind.READ:
        return None
    error, hint = meaning(answer.detail)
    known = {
        errors.CapacityError: answer.status != 402,
        errors.QuotaError: True,
        errors.BillingError: answer.status == 400,
    }
    if error is None or not known[error]:
        return None
    return error(message + hint, cloud="runpod", status=answer.status, request_id=answer.request_id)


def meaning(text: str) -> tuple[type[errors.GpuCloudError] | None, str]:
    """The error that RunPod's words for a refusal stand for, and a next step; None for all other words."""
    if _CAPACITY.search(text):
        return errors.CapacityError, ""
    if _QUOTA.search(text):
        return errors.QuotaError, "; raise the limit in RunPod's settings"
    if _BILLING.search(text):
        return errors.BillingError, "; add credit to the account"
    return None, ""
