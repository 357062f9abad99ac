"""What can go wrong with a call of a SkyPilot API server.

ApiError                      any of them; an answer with an error status, if it is this class itself
├── ConnectionFailedError     no answer: no connection, time-out, connection lost
├── VersionMismatchError      the server does not speak with clients of our version
├── UnreadableAnswerError     an answer of no known shape
├── RequestFailedError        the server took the request, and it failed; `error_code` is SkyPilot's own class
├── RequestCancelledError     somebody cancelled the request; what it had begun may still be there
├── RequestLostError          the server does not know the request any more, or was restarted while it ran
└── RequestTimeoutError       the request did not end in time; it goes on

`as_cloud_error` gives the error of the project's own tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from gpu_clouds import errors

CLOUD = "skypilot"


class ApiError(Exception):
    """A call that failed.

    Args:
        message: What is wrong, in one line, free of secrets and of control sequences.
        operation: The call: `launch`.
        status_code: HTTP status; 0 where there was no answer.
        error_code: SkyPilot's name of the error (`ClusterDoesNotExist`, `version_mismatch`); empty if none.
        details: What else the server said, as plain values.
        request_id: The server's id of the request; empty where there is none.
        retry_after_s: Seconds that the server asked to wait; None if it did not say.
        writes: Whether the call changes anything, so that a lost answer leaves a doubt.
        refused: A refusal whatever the status is: repeating the call is useless, and it changed nothing.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        status_code: int = 0,
        error_code: str = "",
        details: Mapping[str, object] | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
        writes: bool = False,
        refused: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.status_code = status_code
        self.error_code = error_code
        self.details: Mapping[str, object] = MappingProxyType(dict(details or {}))
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.writes = writes
        self.refused = refused

    @property
    def is_not_found(self) -> bool:
        """Whether what the call is about does not exist."""
        return self.status_code == 404 or self.error_code in _NOT_FOUND

    @property
    def is_unauthorized(self) -> bool:
        """Whether the server does not accept token or password."""
        return self.status_code == 401

    @property
    def is_rate_limited(self) -> bool:
        """Whether the server, or what stands before it, asks to slow down."""
        return self.status_code == 429


class ConnectionFailedError(ApiError):
    """No answer.

    Args:
        message: As for the base class.
        operation: As for the base class.
        sent: Whether any of the call may have reached the server.
        writes: As for the base class.
        timed_out: Whether time ran out while waiting for the answer.
    """

    def __init__(
        self, message: str, *, operation: str = "", sent: bool, writes: bool = False, timed_out: bool = False
    ) -> None:
        super().__init__(message, operation=operation, writes=writes)
        self.sent = sent
        self.timed_out = timed_out


class VersionMismatchError(ApiError):
    """The server does not speak with clients of our version; the message has both versions."""


class UnreadableAnswerError(ApiError):
    """An answer of no known shape."""


class RequestFailedError(ApiError):
    """The server took the request, and it failed."""


class RequestCancelledError(ApiError):
    """Somebody cancelled the request. A cancelled launch leaves its machine running: see `down`."""


class RequestLostError(ApiError):
    """The server does not know the request any more: it was restarted. Look at the cluster by its name."""


class RequestTimeoutError(ApiError):
    """The request did not end in time. It goes on on the server."""


_NOT_FOUND = frozenset(
    {
        "ClusterDoesNotExist",
        "PortDoesNotExistError",
        "PoolDoesNotExistError",
        "NoClusterLaunchedError",
        "JobNotFound",
        "VolumeNotFoundError",
    }
)
_BY_CODE: Mapping[str, type[errors.GpuCloudError]] = {
    **dict.fromkeys(_NOT_FOUND, errors.NotFoundError),
    # No place for the machine.
    "ResourcesUnavailableError": errors.CapacityError,
    # The object is not in a state for this.
    "ResourcesMismatchError": errors.ConflictError,
    "ClusterNotUpError": errors.ConflictError,
    "CachedClusterUnavailable": errors.ConflictError,
    "ClusterOwnerIdentityMismatchError": errors.ConflictError,
    "RequestAlreadyExistsError": errors.ConflictError,
    "RecipeAlreadyExistsError": errors.ConflictError,
    "InconsistentHighAvailabilityError": errors.ConflictError,
    "VolumeNotReadyError": errors.ConflictError,
    "VolumeTopologyConflictError": errors.ConflictError,
    # The request itself is wrong.
    "InvalidSkyPilotConfigError": errors.ValidationError,
    "ProvisionUnsupportedError": errors.ValidationError,
    "InvalidClusterNameError": errors.ValidationError,
    "InvalidWorkspaceNameError": errors.ValidationError,
    "InvalidRecipeNameError": errors.ValidationError,
    "WorkspaceAmbiguousError": errors.ValidationError,
    "InvalidCloudConfigs": errors.ValidationError,
    "KubernetesValidationError": errors.ValidationError,
    "NotSupportedError": errors.ValidationError,
    "APINotSupportedError": errors.ValidationError,
    "ProvisionPrechecksError": errors.ValidationError,
    "StorageSpecError": errors.ValidationError,
    "StorageSourceError": errors.ValidationError,
    "StorageNameError": errors.ValidationError,
    "StorageModeError": errors.ValidationError,
    "GitError": errors.ValidationError,
    "ValueError": errors.ValidationError,
    "TypeError": errors.ValidationError,
    # Not allowed.
    "PermissionDeniedError": errors.PermissionRefusedError,
    "NoWorkspaceAccessError": errors.PermissionRefusedError,
    "UserRequestRejectedByPolicy": errors.PermissionRefusedError,
    "NoCloudAccessError": errors.PermissionRefusedError,
    # The server's own account at a cloud.
    "InvalidCloudCredentials": errors.AuthError,
    "CloudUserIdentityError": errors.AuthError,
    "ApiServerAuthenticationError": errors.AuthError,
    # A fault of the moment.
    "KubeAPIUnreachableError": errors.TransientError,
    "ServerTemporarilyUnavailableError": errors.TransientError,
    "ConcurrentWorkerExhaustedError": errors.TransientError,
    "ExecutionRetryableError": errors.TransientError,
    "ClusterStatusFetchingError": errors.TransientError,
    "FetchClusterInfoError": errors.TransientError,
    "NetworkError": errors.TransientError,
    "SkyletUnavailableError": errors.TransientError,
}
"""SkyPilot's classes of errors (`sky/exceptions.py` of 0.14.1) that mean something to callers."""

_BY_STATUS: Mapping[int, type[errors.GpuCloudError]] = {
    400: errors.ValidationError,
    401: errors.AuthError,
    403: errors.PermissionRefusedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    410: errors.RetiredError,
    422: errors.ValidationError,
}
_BY_CLASS: tuple[tuple[type[ApiError], type[errors.GpuCloudError]], ...] = (
    (VersionMismatchError, errors.ValidationError),
    (RequestTimeoutError, errors.DeadlineError),
    (RequestCancelledError, errors.AmbiguousError),
    (RequestLostError, errors.AmbiguousError),
)


def as_cloud_error(error: ApiError | errors.GpuCloudError) -> errors.GpuCloudError:
    """The same failure in the project's own tree; an error that is in it already is given back.

    A request that failed for a reason of no known name is an UnknownCloudError.
    """
    if isinstance(error, errors.GpuCloudError):
        return error
    status, request_id = error.status_code or None, error.request_id or None
    if error.is_rate_limited:
        return errors.RateLimitedError(
            error.message,
            retry_after_s=error.retry_after_s,
            cloud=CLOUD,
            status=status,
            request_id=request_id,
        )
    return _class_of(error)(error.message, cloud=CLOUD, status=status, request_id=request_id)


@contextmanager
def cloud_errors() -> Iterator[None]:
    """Turns an ApiError that leaves the block into its GpuCloudError."""
    try:
        yield
    except ApiError as error:
        raise as_cloud_error(error) from None


def _class_of(error: ApiError) -> type[errors.GpuCloudError]:
    for kind, own in _BY_CLASS:
        if isinstance(error, kind):
            return own
    lost = errors.AmbiguousError if error.writes else errors.TransientError
    if isinstance(error, ConnectionFailedError):
        return lost if error.sent else errors.TransientError
    if isinstance(error, UnreadableAnswerError):
        return errors.AmbiguousError if error.writes else errors.UnknownCloudError
    if known := _BY_CODE.get(error.error_code):
        return known
    if isinstance(error, RequestFailedError):
        return errors.UnknownCloudError
    if error.refused:
        return errors.ConflictError if error.error_code == "already_exists" else errors.ValidationError
    if error.status_code >= 500 or error.status_code == 408:
        return lost
    return _BY_STATUS.get(error.status_code, errors.UnknownCloudError)
