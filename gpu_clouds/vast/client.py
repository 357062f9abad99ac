"""The cloud's API, call by call.

Paths and fields are those that the published clients `vastai` 1.9.1 and `dstack` 0.22.5 use, read in November
2026; no recorded answer was at hand. docs/clouds/vast.md says what a real key has to confirm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError as PydanticError

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind, error_for
from gpu_clouds.connection import Connection
from gpu_clouds.pacing import header_pacer
from gpu_clouds.transport import CREATE_S, READ_S, STATUS_S, Params, Request, make_client
from gpu_clouds.vast import INFO
from gpu_clouds.vast.errors import classify
from gpu_clouds.vast.models import Ask, Machine, Model, User

_M = TypeVar("_M", bound=Model)
_PAGE = 25
_MOST_PAGES = 1000


class VastClient:
    """Typed calls; every method may raise the errors of `gpu_clouds.errors`.

    Args:
        connection: Account, endpoint, clock, cancel.
        transport: Takes the network's place in tests.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self._http = make_client(
            connection,
            INFO.title,
            pacer=header_pacer(connection, INFO.title),
            classify=classify,
            transport=transport,
        )

    def close(self) -> None:
        """Gives connections back."""
        self._http.close()

    def list_machines(self) -> list[Machine]:
        """All instances of the account, over all pages."""
        found: list[Machine] = []
        params: dict[str, str | int] = {"limit": _PAGE}
        for _ in range(_MOST_PAGES):
            answer = self.read("list_instances", "/v1/instances/", params)
            items = self._field(Kind.READ, "list_instances", answer, "instances")
            if not isinstance(items, list):
                raise self._odd(Kind.READ, "list_instances", answer, "no list of instances is in it")
            found += [self._one(Kind.READ, "list_instances", Machine, item, answer) for item in items]
            token = answer.json.get("next_token") if isinstance(answer.json, dict) else None
            if not token:
                return found
            if str(token) == params.get("after_token"):
                break
            params["after_token"] = str(token)
        raise self._odd(Kind.READ, "list_instances", answer, "the pages of the list do not end")

    def get_machine(self, machine_id: str) -> Machine:
        """One instance; NotFoundError where there is none, which may also come as `null`."""
        path = f"/v0/instances/{quote(machine_id, safe='')}/"
        answer = self.read("get_instance", path, status_s=STATUS_S)
        item = self._field(Kind.READ, "get_instance", answer, "instances")
        if not item:
            raise errors.NotFoundError(f"{INFO.title}: there is no instance {machine_id}", cloud=INFO.name)
        return self._one(Kind.READ, "get_instance", Machine, item, answer)

    def rent(self, ask_id: int, body: Mapping[str, object], secrets: Iterable[str] = ()) -> str:
        """Rents an offer, once.

        Args:
            ask_id: The offer.
            body: As the cloud wants it.
            secrets: Values that no error may carry.

        Returns:
            The id of the instance, which is all that the cloud tells.

        Raises:
            CapacityError: The offer is gone.
            LeftStoppedError: The bid was too low, and a stopped instance was made.
        """
        answer = self.write(Kind.CREATE, "rent", "PUT", f"/v0/asks/{ask_id}/", body, secrets)
        contract = self._field(Kind.CREATE, "rent", answer, "new_contract", secrets)
        if isinstance(contract, bool) or not str(contract).isascii() or not str(contract).isdigit():
            raise self._odd(Kind.CREATE, "rent", answer, "no id is in it")
        return str(contract)

    def delete_machine(self, machine_id: str) -> None:
        """Ends an instance; NotFoundError where there is none."""
        path = f"/v0/instances/{quote(machine_id, safe='')}/"
        answer = self.write(Kind.DELETE, "destroy_instance", "DELETE", path)
        self._field(Kind.DELETE, "destroy_instance", answer, "success")

    def search(self, filters: Mapping[str, object]) -> list[Ask]:
        """Offers that fit, as sorted by the filters; a POST that changes nothing."""
        request = Request(Kind.READ, "search_offers", "POST", "/v0/bundles/", json=filters)
        answer = self._http.call(request)
        items = self._field(Kind.READ, "search_offers", answer, "offers")
        if not isinstance(items, list):
            raise self._odd(Kind.READ, "search_offers", answer, "no list of offers is in it")
        return [self._one(Kind.READ, "search_offers", Ask, item, answer) for item in items]

    def user(self) -> User:
        """The account."""
        answer = self.read("current_user", "/v0/users/current/", status_s=STATUS_S)
        return self._one(Kind.READ, "current_user", User, answer.json, answer)

    def read(
        self, operation: str, path: str, params: Params | None = None, *, status_s: float = READ_S
    ) -> Answer:
        """Sends a call that changes nothing; it is repeated where that helps."""
        return self._http.call(
            Request(Kind.READ, operation, "GET", path, params=params, read_timeout_s=status_s)
        )

    def write(
        self,
        kind: Kind,
        operation: str,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        secrets: Iterable[str] = (),
    ) -> Answer:
        """Sends a call that changes the account; a launch is sent once."""
        timeout_s = CREATE_S if kind is Kind.CREATE else STATUS_S
        return self._http.call(
            Request(
                kind, operation, method, path, json=body, read_timeout_s=timeout_s, secrets=tuple(secrets)
            )
        )

    def _field(
        self, kind: Kind, operation: str, answer: Answer, name: str, secrets: Iterable[str] = ()
    ) -> object:
        """A field of an answer, whose `success` may say no although its status says yes."""
        body = answer.json
        if not isinstance(body, dict):
            raise self._odd(kind, operation, answer, "it is no JSON object")
        if body.get("success") is False:
            what = f"{self._what}: {operation}"
            own = classify(answer, kind, f"{what}: {answer.told(secrets)}")
            raise own or error_for(answer, kind, INFO.name, what, secrets)
        return body.get(name)

    def _one(self, kind: Kind, operation: str, model: type[_M], item: object, answer: Answer) -> _M:
        try:
            return model.model_validate(item)
        except PydanticError as problem:
            where = ".".join(str(part) for part in problem.errors(include_input=False)[0]["loc"]) or "body"
            raise self._odd(kind, operation, answer, f"it cannot be read at {where!r}") from None

    def _odd(self, kind: Kind, operation: str, answer: Answer, why: str) -> errors.GpuCloudError:
        """A success that can not be read: for a write nobody knows what was done."""
        error = errors.AmbiguousError if kind.writes else errors.UnknownCloudError
        return error(
            f"{self._what}: {operation}: HTTP {answer.status}, but {why}",
            cloud=INFO.name,
            status=answer.status,
        )

    @property
    def _what(self) -> str:
        return f"{INFO.title}, credential set {self._http.credentials!r}"
