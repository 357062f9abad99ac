"""Everything that can go wrong with a GPU cloud, as one tree.

GpuCloudError
├── AuthError               the key is missing, wrong or revoked
├── PermissionRefusedError  the key is good but may not do this
├── BillingError            no credit, account inactive
├── QuotaError              a limit of the account
├── CapacityError           the cloud has no such machine free now
├── ValidationError         the request breaks a rule; repeating it is useless
│   └── PriceCapExceededError   the price is above the cap that the user set
├── NotFoundError           no such object
├── ConflictError           not in this state
├── RateLimitedError        asked to slow down; carries `retry_after_s`
├── RetiredError            this API has been switched off (HTTP 410)
├── TransientError          a fault of the moment; nothing was changed by the call
├── AmbiguousError          the call may or may not have taken effect
├── CircuitOpenError        not sent: the cloud failed too often just now
├── DeadlineError           not ready, or not gone, in time
├── CancelledError          the user or the engine asked to stop
└── UnknownCloudError       an answer that fits nothing known
"""

from __future__ import annotations


class GpuCloudError(Exception):
    """Base of the tree.

    Args:
        message: What is wrong, where, and the next step; one line, free of secrets.
        cloud: Name of the cloud that answered, if one did.
        status: HTTP status of the answer, if there was one.
        request_id: The cloud's own id of the request, for its support.
    """

    def __init__(
        self,
        message: str,
        *,
        cloud: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cloud = cloud
        self.status = status
        self.request_id = request_id

    @property
    def kind(self) -> str:
        """Short name of the class, or of its base here, for reports and metrics: `capacity` or `auth`."""
        return next(_KINDS[each] for each in type(self).__mro__ if each in _KINDS)


class AuthError(GpuCloudError):
    """The key is missing, wrong or revoked."""


class PermissionRefusedError(GpuCloudError):
    """The key is good but may not do this."""


class BillingError(GpuCloudError):
    """No credit left, or the account is inactive."""


class QuotaError(GpuCloudError):
    """A limit of the account is reached."""


class CapacityError(GpuCloudError):
    """The cloud has no such machine free now.

    Attributes:
        elsewhere: Another place may have one: the same launch, sent once more, goes there.
    """

    elsewhere = False


class ValidationError(GpuCloudError):
    """The request breaks a rule of the cloud or of ours; repeating it is useless."""


class PriceCapExceededError(ValidationError):
    """The price is above the cap that the user set."""


class NotFoundError(GpuCloudError):
    """No such object."""


class ConflictError(GpuCloudError):
    """The object is in a state that does not allow this."""


class RateLimitedError(GpuCloudError):
    """Asked to slow down.

    Args:
        message: As for the base class.
        retry_after_s: Seconds that the cloud asked to wait; None if it did not say.
        cloud: As for the base class.
        status: As for the base class.
        request_id: As for the base class.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        cloud: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, cloud=cloud, status=status, request_id=request_id)
        self.retry_after_s = retry_after_s


class RetiredError(GpuCloudError):
    """This API has been switched off."""


class TransientError(GpuCloudError):
    """A fault of the moment; the call changed nothing."""


class AmbiguousError(GpuCloudError):
    """The call may or may not have taken effect: look before you repeat it."""


class CircuitOpenError(GpuCloudError):
    """Not sent, because the cloud failed too often just now."""


class DeadlineError(GpuCloudError):
    """Not ready, or not gone, in time."""


class CancelledError(GpuCloudError):
    """The user or the engine asked to stop."""


class UnknownCloudError(GpuCloudError):
    """An answer that fits nothing known."""


_KINDS: dict[type[GpuCloudError], str] = {
    GpuCloudError: "error",
    AuthError: "auth",
    PermissionRefusedError: "permission",
    BillingError: "billing",
    QuotaError: "quota",
    CapacityError: "capacity",
    ValidationError: "validation",
    PriceCapExceededError: "price_cap",
    NotFoundError: "not_found",
    ConflictError: "conflict",
    RateLimitedError: "rate_limited",
    RetiredError: "retired",
    TransientError: "transient",
    AmbiguousError: "ambiguous",
    CircuitOpenError: "circuit_open",
    DeadlineError: "deadline",
    CancelledError: "cancelled",
    UnknownCloudError: "unknown",
}
