"""Vast.ai's error answers: `{"success": false, "error": …, "msg": …}`."""

from __future__ import annotations

from typing import Any

from emulators.http import Response, dump_json


class Refusal(Exception):
    """A request is answered with an error.

    Args:
        status: HTTP status.
        error: The code, which clients go by.
        message: What is wrong.
        headers: Headers besides the usual ones.
        more: Further fields of the answer.
    """

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        headers: dict[str, str] | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self._headers = headers or {}
        self._body = {"success": False, "error": error, "msg": message, **(more or {})}

    def response(self) -> Response:
        """The answer."""
        return Response(self.status, dump_json(self._body), headers=dict(self._headers))
