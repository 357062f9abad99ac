"""Paperspace's error answers: `{"code": …, "message": …}`, sometimes with `issues`."""

from __future__ import annotations

from collections.abc import Sequence

from emulators.http import Response, dump_json, html_response

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_SUPPORTED",
    408: "TIMEOUT",
    409: "CONFLICT",
    412: "PRECONDITION_FAILED",
    413: "PAYLOAD_TOO_LARGE",
    429: "TOO_MANY_REQUESTS",
    499: "CLIENT_CLOSED_REQUEST",
    500: "INTERNAL_SERVER_ERROR",
}

# None of these texts has been recorded: they are the emulator's own words.
NO_CAPACITY = "No capacity available for machine type {label} in region {region}."
MACHINE_LIMIT = "Your team has reached its maximum number of machines."
BAD_STANDING = "Your team's account standing does not allow this: update your billing details."
NETWORK_IN_USE = "This private network is still in use by a machine."
# This one is known, from users of the API.
BUSY = "This machine is currently {state}."


class Refusal(Exception):
    """A request is answered with an error.

    Args:
        status: HTTP status of the code.
        message: What is wrong.
        issues: Single complaints about the body.
        headers: Headers besides the usual ones.
        answered: Status that is really sent, where it differs: Paperspace may say 200.
    """

    def __init__(
        self,
        status: int,
        message: str,
        issues: Sequence[str] = (),
        headers: dict[str, str] | None = None,
        answered: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.issues = tuple(issues)
        self.headers = headers or {}
        self.answered = answered

    def response(self) -> Response:
        """The answer."""
        body: dict[str, object] = {
            "code": CODES.get(self.status, "INTERNAL_SERVER_ERROR"),
            "message": self.message,
        }
        if self.issues:
            body["issues"] = [{"message": issue} for issue in self.issues]
        return Response(self.answered or self.status, dump_json(body), headers=dict(self.headers))


def error_page(status: int) -> Response:
    """An error page of a proxy in front of the API or of a node."""
    return html_response(status, f"{status} error", "the gateway got no good answer", {"server": "gateway"})
