"""What every handler of the API gets, and how paths find their handlers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from emulators.faults import Fault
from emulators.http import Answer, Request
from emulators.runpod.fleet import Fleet
from emulators.runpod.problems import BAD_REQUEST, Refusal, invalid
from emulators.runpod.settings import AccountSettings, Settings
from emulators.store import Store


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call.

    Attributes:
        request: The request.
        account: The account of its key.
        settings: The settings of the moment.
        fleet: The pods.
        store: For objects other than pods.
        now: Emulated time.
        id: The object's id in the path, if there is one.
        fault: Asks for a fault of this kind.
    """

    request: Request
    account: AccountSettings
    settings: Settings
    fleet: Fleet
    store: Store
    now: float
    fault: Callable[[str], Fault | None]
    id: str = ""

    @property
    def owner(self) -> str:
        """Name of the account."""
        return self.account.account

    def body(self, check: Callable[[Any], list[str]]) -> dict[str, Any]:
        """The body, checked.

        Raises:
            Refusal: 400 for what is no JSON, 422 for what breaks the schema.
        """
        try:
            value = self.request.json()
        except ValueError:
            raise Refusal(400, BAD_REQUEST) from None
        if complaints := check(value):
            raise invalid(complaints)
        assert isinstance(value, dict)  # every schema here is an object
        return value

    def choices(self, name: str, allowed: tuple[str, ...]) -> list[str]:
        """A comma-separated query parameter.

        Raises:
            Refusal: 422 for a value that is not allowed.
        """
        values = [value for value in self.request.query.get(name, "").split(",") if value]
        if any(value not in allowed for value in values):
            listed = ", ".join(f"'{value}'" for value in allowed)
            raise invalid([f"$.{name}: value must be one of {listed}"])
        return values

    def number(self, name: str, default: int, least: int, most: int | None = None) -> int:
        """A whole number among the query parameters.

        Raises:
            Refusal: 422 for anything else.
        """
        text = self.request.query.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"-?\d{1,12}", text):
            raise invalid([f"$.{name}: got string, want integer"])
        value = int(text)
        if value < least or (most is not None and value > most):
            raise invalid([f"$.{name}: {value} is out of bounds"])
        return value


Handler = Callable[[Call], Awaitable[Answer]]


class Routes:
    """Paths and their handlers.

    Args:
        table: `METHOD /path/{id}` -> handler.
    """

    def __init__(self, table: dict[str, Handler]) -> None:
        self._fixed: dict[str, dict[str, Handler]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Handler]]] = {}
        for key, handler in table.items():
            method, path = key.split(" ")
            if "{id}" in path:
                pattern = re.compile(
                    path.replace("{id}", "(?P<id>.+)" if "/catalog/" in path else "(?P<id>[^/]+)")
                )
                self._patterns.setdefault(path, (pattern, {}))[1][method] = handler
            else:
                self._fixed.setdefault(path, {})[method] = handler

    def find(self, method: str, path: str) -> tuple[str, str, Handler]:
        """Route, id in the path, handler.

        Raises:
            Refusal: 404 or 405.
        """
        handlers, route, object_id = self._fixed.get(path), path, ""
        if handlers is None:
            for route_path, (pattern, by_method) in self._patterns.items():
                if match := pattern.fullmatch(path):
                    handlers, route, object_id = by_method, route_path, match["id"]
                    break
        if handlers is None:
            raise Refusal(404, "resource not found")
        if method not in handlers:
            allow = {"Allow": ", ".join(sorted(handlers))}
            raise Refusal(405, "The requested method is not allowed for this path.", headers=allow)
        return route, object_id, handlers[method]
