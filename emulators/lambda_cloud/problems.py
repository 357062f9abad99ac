"""Lambda's error answers: codes and texts of its description."""

from __future__ import annotations

from emulators.http import Response, json_response


class Refusal(Exception):
    """A request is answered with an error.

    Args:
        status: HTTP status.
        code: Lambda's code.
        message: The text that says what is wrong.
        suggestion: What to do about it; empty: none is given.
        headers: Headers besides the usual ones.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        suggestion: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.suggestion = suggestion
        self.headers = headers or {}

    def response(self) -> Response:
        """The answer."""
        error = {"code": self.code, "message": self.message}
        if self.suggestion:
            error["suggestion"] = self.suggestion
        answer = json_response({"error": error}, self.status)
        answer.headers.update(self.headers)
        return answer


def bad_key(message: str = "API key was invalid, expired, or deleted.") -> Refusal:
    """401."""
    return Refusal(
        401, "global/invalid-api-key", message, "Check your API key or create a new one, then try again."
    )


def inactive() -> Refusal:
    """403 of an account that may not be used."""
    return Refusal(
        403,
        "global/account-inactive",
        "Your account is inactive.",
        "Make sure you have verified your email address and have a valid payment method. Contact Support if "
        "problems continue.",
    )


def bad_address() -> Refusal:
    """403 of an account whose billing address is not accepted; for what costs money only."""
    return Refusal(
        403,
        "global/invalid-address",
        "Your billing address is invalid.",
        "Make sure your billing address is valid. Contact Support if problems continue.",
    )


def forbidden() -> Refusal:
    """403 of a key that may not do this."""
    return Refusal(403, "global/forbidden", "You do not have permission to perform this action.")


def invalid(message: str = "Invalid request data.") -> Refusal:
    """400 of a body that breaks a rule."""
    return Refusal(400, "global/invalid-parameters", message)


def no_capacity() -> Refusal:
    """400 of a launch for which there is no machine."""
    return Refusal(
        400,
        "instance-operations/launch/insufficient-capacity",
        "Not enough capacity to fulfill launch request.",
    )


def quota_exceeded() -> Refusal:
    """400 of an account that has all that it may have."""
    return Refusal(400, "global/quota-exceeded", "Quota exceeded.", "Contact Support to increase your quota.")


def not_found(what: str, *, status: int = 404, suggestion: str = "") -> Refusal:
    """An object that does not exist."""
    return Refusal(status, "global/object-does-not-exist", what, suggestion)


def no_instance() -> Refusal:
    """404 of an instance."""
    return not_found("Specified instance does not exist.")


def unknown_path() -> Refusal:
    """404 of a path."""
    return Refusal(404, "global/not-found", "The requested resource was not found.")


def internal(status: int = 500) -> Refusal:
    """A fault of Lambda's own."""
    return Refusal(
        status,
        "global/internal-error",
        "An internal server error occurred.",
        "Try again later. Contact Support if the problem persists.",
    )


def unknown_error() -> Refusal:
    """What ending an instance twice was seen to give."""
    return Refusal(500, "global/unknown", "An unknown error occurred.")


def provider_unavailable() -> Refusal:
    """A fault of those behind Lambda."""
    return Refusal(503, "provider/internal-unavailable", "Provider unavailable", "Try again shortly")


def too_many() -> Refusal:
    """429. Its code, body and headers are documented nowhere: this is a guess."""
    return Refusal(429, "global/too-many-requests", "Too many requests.")
