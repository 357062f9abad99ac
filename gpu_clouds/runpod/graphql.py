"""RunPod's old GraphQL API, call by call: only what REST v2 can not do.

Fields and inputs as its clients use them, since introspection is off. Broken rules come as HTTP 200 with
`errors`; RunPod has announced that all of it answers 410 from early 2027 on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import httpx
from pydantic import ValidationError as PydanticError

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind
from gpu_clouds.connection import Connection
from gpu_clouds.pacing import header_pacer
from gpu_clouds.redaction import redact
from gpu_clouds.runpod import GRAPHQL
from gpu_clouds.runpod.errors import classify, meaning
from gpu_clouds.runpod.models import Model
from gpu_clouds.tolerant import OptionalFloat, Text
from gpu_clouds.transport import CREATE_S, STATUS_S, Request, make_client

_ACCOUNT = "query account { myself { clientBalance currentSpendPerHr spendLimit } }"
_PRICE = (
    "query price($id: String!, $count: Int!, $dataCenter: String) { gpuTypes(input: {id: $id}) { "
    "lowestPrice(input: {gpuCount: $count, secureCloud: true, dataCenterId: $dataCenter}) "
    "{ minimumBidPrice stockStatus } } }"
)
# As little as possible is selected: one field that the API no longer has would make every launch fail.
_DEPLOY = (
    "mutation launch($input: PodFindAndDeployOnDemandInput!) "
    "{ podFindAndDeployOnDemand(input: $input) { id desiredStatus costPerHr } }"
)
_RENT = (
    "mutation launch($input: PodRentInterruptableInput!) "
    "{ podRentInterruptable(input: $input) { id desiredStatus costPerHr } }"
)


_M = TypeVar("_M", bound=Model)


class Account(Model):
    """The account's money, USD and USD per hour."""

    client_balance: OptionalFloat = None
    current_spend_per_hr: OptionalFloat = None
    spend_limit: OptionalFloat = None


class SpotPrice(Model):
    """The least bid for one GPU, USD per hour, and how many there are: High, Medium, Low or nothing."""

    minimum_bid_price: OptionalFloat = None
    stock_status: Text = ""


class LaunchedPod(Model):
    """What a launch answers."""

    id: Text
    desired_status: Text = ""
    cost_per_hr: OptionalFloat = None


class RunPodGraphQL:
    """Typed calls; every method may raise the errors of `gpu_clouds.errors`, RetiredError among them.

    Args:
        connection: Account, endpoint of REST v2, clock, cancel.
        transport: Takes the network's place in tests.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        root = connection.endpoint.rstrip("/").removesuffix("/v2")
        self._set = connection.credentials.name
        self._http = make_client(
            replace(connection, endpoint=root),
            "RunPod GraphQL",
            pacer=header_pacer(connection, "RunPod"),
            classify=self._classify,
            transport=transport,
        )

    def close(self) -> None:
        """Gives connections back."""
        self._http.close()

    def account(self) -> Account:
        """Balance, spending and its limit."""
        found = self._call(Kind.READ, "account", _ACCOUNT, {}, "myself")
        return self._parsed(Kind.READ, "account", Account, found)

    def spot_price(self, gpu_id: str, count: int, data_center: str = "") -> SpotPrice:
        """The least bid for one GPU in pods of `count` of them.

        Args:
            gpu_id: RunPod's id of the GPU.
            count: GPUs in a pod.
            data_center: One data centre; empty for the cheapest.
        """
        variables = {"id": gpu_id, "count": count, "dataCenter": data_center or None}
        found = self._call(Kind.READ, "spot_price", _PRICE, variables, "gpuTypes")
        first = found[0] if isinstance(found, list) and found else {}
        lowest = first.get("lowestPrice") if isinstance(first, dict) else None
        return self._parsed(Kind.READ, "spot_price", SpotPrice, lowest or {})

    def launch(self, body: Mapping[str, object], secrets: Iterable[str] = ()) -> LaunchedPod:
        """Sends one launch, once: interruptible where the body has a bid.

        Args:
            body: As `PodRentInterruptableInput` or `PodFindAndDeployOnDemandInput`.
            secrets: Values that no error may carry.

        Raises:
            CapacityError: No such machine is free, or none for this bid.
        """
        by_bid = "bidPerGpu" in body
        operation = "rent_interruptible_pod" if by_bid else "deploy_pod"
        field = "podRentInterruptable" if by_bid else "podFindAndDeployOnDemand"
        query = _RENT if by_bid else _DEPLOY
        found = self._call(Kind.CREATE, operation, query, {"input": body}, field, secrets)
        if found is None:
            raise errors.CapacityError(
                f"{self._what(operation)}: no machine was found, and no reason given",
                cloud="runpod",
                status=200,
            )
        return self._parsed(Kind.CREATE, operation, LaunchedPod, found)

    def _call(
        self,
        kind: Kind,
        operation: str,
        query: str,
        variables: Mapping[str, object],
        field: str,
        secrets: Iterable[str] = (),
    ) -> object:
        """The value of the one field that was asked for; None where it is null without an error."""
        secrets = tuple(secrets)
        request = Request(
            kind,
            operation,
            "POST",
            "/graphql",
            json={"query": query, "variables": variables},
            read_timeout_s=CREATE_S if kind is Kind.CREATE else STATUS_S,
            secrets=secrets,
        )
        answer = self._http.call(request)
        body = answer.json
        data = body.get("data") if isinstance(body, dict) else None
        value = data.get(field) if isinstance(data, dict) else None
        # An error beside a value is about a part of it: the pod has been made.
        if value is None and isinstance(body, dict) and body.get("errors"):
            raise self._error(kind, operation, body["errors"], answer, secrets)
        if not isinstance(data, dict) or field not in data:
            raise self._odd(kind, operation, answer)
        return value

    def _error(
        self, kind: Kind, operation: str, found: object, answer: Answer, secrets: Iterable[str]
    ) -> errors.GpuCloudError:
        first = found[0] if isinstance(found, list) and found else found
        told = first if isinstance(first, dict) else {}
        extensions = told.get("extensions")
        code = str(extensions.get("code", "")) if isinstance(extensions, dict) else ""
        text = redact(" ".join(str(told.get("message") or "no reason given").split())[:600], secrets)
        message = f"{self._what(operation)}: {text}"
        if code != "RUNPOD":
            # INTERNAL_SERVER_ERROR, or a code that is new to us: nobody knows how far it came.
            error = errors.AmbiguousError if kind.writes else errors.TransientError
            return error(message, cloud="runpod", status=answer.status, request_id=answer.request_id)
        known, hint = meaning(text)
        # Whatever is refused, the HTTP status is 200; 400 is what REST v2 answers to the same.
        return (known or errors.ValidationError)(
            message + hint, cloud="runpod", status=400, request_id=answer.request_id
        )

    def _parsed(self, kind: Kind, operation: str, model: type[_M], found: object) -> _M:
        try:
            return model.model_validate(found)
        except PydanticError:
            raise self._odd(kind, operation, None) from None

    def _odd(self, kind: Kind, operation: str, answer: Answer | None) -> errors.GpuCloudError:
        """A success that can not be read: for a launch nobody knows what was done."""
        error = errors.AmbiguousError if kind.writes else errors.UnknownCloudError
        return error(
            f"{self._what(operation)}: an answer that can not be read",
            cloud="runpod",
            status=200 if answer is None else answer.status,
            request_id=None if answer is None else answer.request_id,
        )

    def _classify(self, answer: Answer, kind: Kind, message: str) -> errors.GpuCloudError | None:
        if answer.status == 410:
            return errors.RetiredError(
                f"RunPod has switched off its GraphQL API (HTTP 410): remove {GRAPHQL!r} from the features "
                f"of credential set {self._set!r} and use capacity on_demand; RunPod then has no spot nodes, "
                "shows no balance and ends no node by itself",
                cloud="runpod",
                status=410,
                request_id=answer.request_id,
            )
        return classify(answer, kind, message)

    def _what(self, operation: str) -> str:
        return f"RunPod GraphQL, credential set {self._set!r}: {operation}"
