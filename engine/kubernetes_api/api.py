"""A few calls of the Kubernetes API, with the standard library: enough to start and to look at a cluster."""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import EngineError

_SECONDS = 10.0
_MANAGER = "gpuplane-cluster"


class ApiError(EngineError):
    """The API server refused something.

    Attributes:
        status: the HTTP status; 0 when there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Api:
    """The API server of a cluster.

    Attributes:
        url: `https://127.0.0.1:<port>`.
        token: of its administrator.
        certificate: file with its certificate.
    """

    url: str
    token: str = field(repr=False)
    certificate: Path

    def text(
        self, path: str, method: str = "GET", body: Any = None, content: str = "application/json"
    ) -> str:
        """One call.

        Args:
            path: with the query.
            method: of HTTP.
            body: sent as JSON when there is one.
            content: its media type.

        Raises:
            ApiError: refused, or no answer.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content},
        )
        try:
            context = ssl.create_default_context(cafile=str(self.certificate))
            with urllib.request.urlopen(request, timeout=_SECONDS, context=context) as answer:
                content_read: bytes = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(error.code, f"{method} {path}: {_message(error.read())}") from None
        except OSError as error:
            raise ApiError(0, f"{method} {path}: {error}") from error
        return content_read.decode()

    def get(self, path: str) -> dict[str, Any]:
        """Reads an object or a list of them."""
        found: dict[str, Any] = json.loads(self.text(path))
        return found

    def apply(self, path: str, body: dict[str, Any]) -> None:
        """Creates or changes an object, by server-side apply.

        Args:
            path: of the object itself.
            body: the object.
        """
        query = f"?fieldManager={_MANAGER}&force=true"
        self.text(path + query, "PATCH", body, "application/apply-patch+yaml")

    def delete(self, path: str) -> None:
        """Deletes an object; one that is not there is no error."""
        try:
            self.text(path, "DELETE")
        except ApiError as error:
            if error.status != 404:
                raise

    def answers(self, path: str) -> bool:
        """Whether a read succeeds now."""
        try:
            self.text(path)
        except ApiError:
            return False
        return True


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:300]
