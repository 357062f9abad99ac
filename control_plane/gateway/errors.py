"""Errors in OpenAI's form, and the refusals that several parts give."""

from __future__ import annotations

import msgspec

from control_plane.gateway.call import Send
from control_plane.gateway.parts import Headers, Refused

NOT_BUILT = (
    "/v1/responses is not offered: its state would live on one node, so an answer could not be continued on "
    "another; use /v1/chat/completions"
)


class _Error(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str


class _Body(msgspec.Struct):
    error: _Error


_encode = msgspec.json.Encoder().encode


def error_body(refused: Refused) -> bytes:
    """The refusal as JSON in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`."""
    return _encode(_Body(_Error(refused.message, refused.kind, refused.param or None, refused.code)))


async def send_error(send: Send, refused: Refused, headers: Headers) -> None:
    """Answers with a refusal.

    Args:
        send: The client's side; nothing was sent to it before.
        refused: What to say.
        headers: Added to the refusal's own.
    """
    await send_bytes(send, refused.status, error_body(refused), headers=[*headers, *refused.headers])


async def send_bytes(
    send: Send, status: int, body: bytes, *, kind: bytes = b"application/json", headers: Headers
) -> None:
    """Sends one whole answer.

    Args:
        send: The client's side.
        status: HTTP status.
        body: Its content.
        kind: Content type.
        headers: Further headers.
    """
    start: Headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def invalid(message: str, param: str = "", *, code: str = "invalid_value") -> Refused:
    """A request that makes no sense: 400."""
    return Refused(400, message, code=code, param=param)


def invalid_key() -> Refused:
    """No key, an unknown one, an expired one or a revoked one: 401, without telling which."""
    return Refused(
        401,
        "Incorrect API key provided. Send a valid one as 'Authorization: Bearer <key>'.",
        code="invalid_api_key",
        headers=[(b"www-authenticate", b"Bearer")],
    )


def not_allowed(message: str) -> Refused:
    """A key that may not do this: 403."""
    return Refused(403, message, code="insufficient_permissions", kind="permission_error")


def unknown_model(name: str) -> Refused:
    """A model that nobody serves, or not to this key: 404, without telling which."""
    return Refused(
        404,
        f"The model {short(name)} does not exist or you do not have access to it.",
        code="model_not_found",
        param="model",
    )


def not_found(path: str) -> Refused:
    """An address that is none: 404."""
    return Refused(404, f"Unknown request URL: {short(path)}.", code="unknown_url")


def wrong_method(method: str, path: str, allowed: str) -> Refused:
    """An address that takes other methods: 405, with `allow`."""
    return Refused(
        405,
        f"{short(path)} does not take {short(method)}; it takes {allowed}.",
        code="method_not_supported",
        headers=[(b"allow", allowed.encode())],
    )


def failed() -> Refused:
    """A fault of the gateway itself: 500. The log says what it was."""
    return Refused(
        500, "The gateway failed to handle the request.", code="internal_error", kind="server_error"
    )


def short(text: str, longest: int = 100) -> str:
    """Text of a client in quotes, printable and at most `longest` characters."""
    shown = text if len(text) <= longest else text[:longest] + "…"
    return repr(shown)
