"""What every handler of the API gets, and how paths find their handlers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from emulators.faults import Fault
from emulators.http import Answer, Request, Response, json_response
from emulators.paperspace.fleet import Fleet
from emulators.paperspace.machine import Machine
from emulators.paperspace.problems import Refusal
from emulators.paperspace.settings import AccountSettings, Settings
from emulators.schema import Shape

MOST_IN_A_PAGE = 120


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call.

    Attributes:
        request: The request.
        account: The team of its key.
        settings: The settings of the moment.
        fleet: The machines and all else.
        now: Emulated time.
        fault: Asks for a fault of this kind.
        id: The object's id in the path, if there is one.
    """

    request: Request
    account: AccountSettings
    settings: Settings
    fleet: Fleet
    now: float
    fault: Callable[[str], Fault | None]
    id: str = ""

    @property
    def owner(self) -> str:
        """Name of the team."""
        return self.account.account

    def body(self, shape: Shape, *, optional: bool = False) -> dict[str, Any]:
        """The body, checked.

        Raises:
            Refusal: 400 for what is no JSON or breaks the schema.
        """
        if optional and not self.request.body:
            return {}
        try:
            value = self.request.json()
        except ValueError:
            raise Refusal(400, "Invalid JSON body.") from None
        if complaints := shape(value):
            raise Refusal(400, "Input validation failed", complaints)
        assert isinstance(value, dict)  # every shape is an object
        return value

    def machine(self) -> Machine:
        """The machine in the path.

        Raises:
            Refusal: 404.
        """
        machine = self.fleet.get(self.owner, self.id)
        if machine is None:
            raise Refusal(404, "Machine not found")
        return machine

    def page(self, rows: Sequence[dict[str, Any]], key: str = "id") -> Response:
        """One page of a list, sorted as asked for; the cursor is the key of the page's last item.

        Raises:
            Refusal: 400 for a limit or a cursor that is none.
        """
        query = self.request.query
        text = query.get("limit", str(MOST_IN_A_PAGE))
        if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= MOST_IN_A_PAGE:
            raise Refusal(400, "Input validation failed", [f"limit: expected 1 to {MOST_IN_A_PAGE}"])
        order = query.get("orderBy", "dtCreated")
        found = list(rows)
        if order == "name":
            found.sort(key=lambda row: str(row.get("name", "")))
        elif order != "dtCreated":
            raise Refusal(400, "Input validation failed", ["orderBy: expected dtCreated or name"])
        if query.get("order") == "desc":
            found.reverse()
        begin = 0
        if after := query.get("after"):
            keys = [row[key] for row in found]
            if after not in keys:
                raise Refusal(400, "Input validation failed", ["after: unknown cursor"])
            begin = keys.index(after) + 1
        size = min(int(text), self.settings.page_size)
        items = found[begin : begin + size]
        more = begin + size < len(found)
        answer: dict[str, Any] = {"hasMore": more, "items": items}
        if more:
            answer["nextPage"] = items[-1][key]
        return json_response(answer)


Handler = Callable[[Call], Awaitable[Answer]]


class Routes:
    """Paths and their handlers.

    Args:
        table: `METHOD /path/{id}` -> handler.
    """

    def __init__(self, table: dict[str, Handler]) -> None:
        self._routes: dict[str, tuple[re.Pattern[str], dict[str, Handler]]] = {}
        for key, handler in table.items():
            method, path = key.split(" ")
            pattern = re.compile(path.replace("{id}", "(?P<id>[^/]+)"))
            self._routes.setdefault(path, (pattern, {}))[1][method] = handler

    def find(self, method: str, path: str) -> tuple[str, str, Handler]:
        """Route, id in the path, handler.

        Raises:
            Refusal: 404 or 405.
        """
        for route, (pattern, handlers) in self._routes.items():
            if match := pattern.fullmatch(path):
                if method not in handlers:
                    raise Refusal(405, "Method not supported", headers={"Allow": ", ".join(sorted(handlers))})
                return route, match.groupdict().get("id", ""), handlers[method]
        raise Refusal(404, "Not found")
