"""What every handler of the API gets, and how paths find their handlers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from emulators.faults import Fault
from emulators.http import Answer, Request
from emulators.lambda_cloud.fleet import Fleet
from emulators.lambda_cloud.objects import Objects
from emulators.lambda_cloud.problems import Refusal, invalid, unknown_path
from emulators.lambda_cloud.settings import AccountSettings, Settings


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call.

    Attributes:
        request: The request.
        account: The account of its key.
        settings: The settings of the moment.
        fleet: The instances.
        store: For objects other than instances.
        now: Emulated time.
        fault: Asks for a fault of this kind.
        id: The object's id in the path, if there is one.
    """

    request: Request
    account: AccountSettings
    settings: Settings
    fleet: Fleet
    store: Objects
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
            Refusal: 400 for what is no JSON or breaks a rule.
        """
        try:
            value = self.request.json()
        except ValueError:
            raise invalid() from None
        if complaints := check(value):
            raise invalid(f"Invalid request data. {complaints[0]}")
        assert isinstance(value, dict)  # every schema here is an object
        return value


Handler = Callable[[Call], Awaitable[Answer]]


class Routes:
    """Paths and their handlers.

    Args:
        table: `METHOD /path/{id}` -> handler; a path without `{id}` goes before one with it.
    """

    def __init__(self, table: dict[str, Handler]) -> None:
        self._routes: dict[str, tuple[re.Pattern[str], dict[str, Handler]]] = {}
        for key, handler in sorted(table.items(), key=lambda item: "{id}" in item[0]):
            method, path = key.split(" ")
            pattern = re.compile(path.replace("{id}", "(?P<id>[^/]+)"))
            self._routes.setdefault(path, (pattern, {}))[1][method] = handler

    def find(self, method: str, path: str) -> tuple[str, str, Handler]:
        """Route, id in the path, handler.

        Raises:
            Refusal: 404; 405 for a method that the path has not.
        """
        for route, (pattern, handlers) in self._routes.items():
            if match := pattern.fullmatch(path):
                if method not in handlers:
                    raise Refusal(405, "global/not-found", "The requested resource was not found.")
                return route, match.groupdict().get("id", ""), handlers[method]
        raise unknown_path()
