"""Pages of other origins: what browsers ask before they let one call the gateway."""

from __future__ import annotations

from collections.abc import Collection

from control_plane.gateway.parts import Headers

_ALLOWED_HEADERS = b"authorization, content-type, api-key, x-api-key, x-request-id"
_EXPOSED = b"x-request-id, retry-after"
_MAX_AGE_S = b"600"
_LONGEST = 1000


class Cors:
    """Answers for the origins that are allowed.

    Keys are sent in a header that a page sets itself, so no credentials of the browser are ever allowed.

    Args:
        origins: Allowed ones, such as `https://chat.example.com`; `*` for all; none: no page may call.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origin.rstrip("/").encode() for origin in origins)
        self.on = bool(origins)

    def headers(self, origin: bytes) -> Headers:
        """For an answer to a page of this origin."""
        if self._all:
            allowed = b"*"
        elif origin in self._origins:
            allowed = origin
        else:
            return [(b"vary", b"Origin")]
        return [
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]

    def preflight(self, headers: dict[bytes, bytes], methods: str) -> Headers:
        """Further headers for the question that comes before the request.

        Args:
            headers: The question's.
            methods: What the address takes.
        """
        if not self._all and headers.get(b"origin") not in self._origins:
            return []
        asked = headers.get(b"access-control-request-headers", b"")
        # SDKs add headers of their own (x-stainless-*): all are allowed, none of them means anything here.
        allowed = asked if asked and len(asked) <= _LONGEST else _ALLOWED_HEADERS
        return [
            (b"access-control-allow-methods", methods.encode()),
            (b"access-control-allow-headers", allowed),
            (b"access-control-max-age", _MAX_AGE_S),
        ]
