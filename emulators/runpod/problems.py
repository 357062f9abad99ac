"""RunPod's error answers: problem+json with the texts that were recorded or are in its description."""

from __future__ import annotations

from emulators.http import Response, dump_json, html_response

NO_CAPACITY = (
    "There are no longer any instances available with the requested specifications."
    " Please refresh and try again."
)
NO_SPOT = (
    "There are no longer any instances available with the request specifications. Please try again later."
)
NO_FREE_GPU = "There are not enough free GPUs on the host machine to start this pod."
BACKEND_BROKEN = "objectMounts: request could not be processed"
BAD_REQUEST = "request could not be processed"
# Neither text has been recorded: these are the emulator's own words.
NO_BALANCE = "insufficient balance"
SPEND_LIMIT = "spend limit of this account would be exceeded"

_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class Refusal(Exception):
    """A request is answered with an error.

    Args:
        status: HTTP status.
        detail: The text that says what is wrong.
        errors: Single complaints about the body.
        headers: Headers besides the usual ones.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: list[str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def response(self) -> Response:
        """The answer."""
        body: dict[str, object] = {
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        return Response(self.status, dump_json(body), "application/problem+json", dict(self.headers))


def invalid(errors: list[str]) -> Refusal:
    """422 with its complaints."""
    return Refusal(422, "Request validation failed.", errors)


def cloudflare_page() -> Response:
    """What Cloudflare answers to a client that it does not like the look of."""
    return html_response(
        403,
        "Access denied | api.runpod.io used Cloudflare to restrict access",
        "Error 1010: The owner of this website has banned your access based on your browser's signature.",
        {"server": "cloudflare"},
    )


def gateway_page(status: int) -> Response:
    """An error page of a proxy in front of the API or of a pod."""
    return html_response(
        status, f"{status} {_TITLES.get(status, 'Error')}", "cloudflare", {"server": "cloudflare"}
    )
