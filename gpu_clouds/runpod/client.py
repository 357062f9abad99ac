"""RunPod's REST API v2, call by call.

Paths, fields and statuses are those of RunPod's published OpenAPI document of 2026-08-20. Paging is followed
where an answer announces it: that document has none, later observers report it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError as PydanticError

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind
from gpu_clouds.connection import Connection
from gpu_clouds.pacing import header_pacer
from gpu_clouds.runpod.errors import classify
from gpu_clouds.runpod.models import (
    DataCenter,
    GpuType,
    Model,
    NetworkVolume,
    Pod,
    PodBilling,
    Template,
)
from gpu_clouds.sse import Event, events
from gpu_clouds.transport import CREATE_S, STATUS_S, Request, make_client

_M = TypeVar("_M", bound=Model)
_MOST_PAGES = 1000

Body = Mapping[str, object]


class RunPodClient:
    """Typed calls; every method may raise the errors of `gpu_clouds.errors`.

    Args:
        connection: Account, endpoint, clock, cancel.
        transport: Takes the network's place in tests.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self._http = make_client(
            connection,
            "RunPod",
            pacer=header_pacer(connection, "RunPod"),
            classify=classify,
            transport=transport,
        )

    def close(self) -> None:
        """Gives connections back."""
        self._http.close()

    # Pods

    def list_pods(self, *, include_cluster_pods: bool = False) -> list[Pod]:
        """All pods of the account."""
        params = {"includeClusterPods": "true"} if include_cluster_pods else {}
        return self._list("list_pods", "/pods", "pods", Pod, params)

    def get_pod(self, pod_id: str) -> Pod:
        """One pod; NotFoundError where there is none."""
        answer = self._read("get_pod", f"/pods/{_quoted(pod_id)}", timeout_s=STATUS_S)
        return self._one(Kind.READ, "get_pod", Pod, answer)

    def create_pod(self, body: Body, secrets: Iterable[str] = ()) -> Pod:
        """Sends one launch, once.

        Args:
            body: As `CreatePodRequest`; `gpu.count` always in it.
            secrets: Values that no error may carry.
        """
        request = Request(
            Kind.CREATE,
            "create_pod",
            "POST",
            "/pods",
            json=body,
            read_timeout_s=CREATE_S,
            secrets=tuple(secrets),
        )
        return self._one(Kind.CREATE, "create_pod", Pod, self._http.call(request))

    def update_pod(self, pod_id: str, body: Body, secrets: Iterable[str] = ()) -> Pod:
        """Changes a pod; a running one is reset by that and loses its container disk."""
        path = f"/pods/{_quoted(pod_id)}"
        request = Request(
            Kind.CHANGE,
            "update_pod",
            "PATCH",
            path,
            json=body,
            read_timeout_s=CREATE_S,
            secrets=tuple(secrets),
        )
        return self._one(Kind.CHANGE, "update_pod", Pod, self._http.call(request))

    def delete_pod(self, pod_id: str) -> None:
        """Ends a pod; NotFoundError where there is none."""
        self._http.call(
            Request(Kind.DELETE, "delete_pod", "DELETE", f"/pods/{_quoted(pod_id)}", read_timeout_s=STATUS_S)
        )

    def act(self, pod_id: str, action: str) -> Pod | None:
        """`start`, `stop`, `restart` or `terminate`; the pod afterwards, None after `terminate`."""
        operation = f"{action}_pod"
        answer = self._http.call(
            Request(
                Kind.CHANGE,
                operation,
                "POST",
                f"/pods/{_quoted(pod_id)}/action",
                json={"action": action},
                read_timeout_s=CREATE_S,
            )
        )
        return None if answer.status == 204 else self._one(Kind.CHANGE, operation, Pod, answer)

    def pod_events(self, pod_id: str, *, tail: int, cursor: str) -> Iterator[Event]:
        """The log as it comes, until the stream ends or breaks (TransientError).

        Args:
            pod_id: The pod.
            tail: Lines to go back, 0 to 5000; not used with a cursor.
            cursor: Id of the last event seen, exactly as received.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor} if cursor else {})
        request = Request(
            Kind.READ,
            "pod_logs",
            "GET",
            f"/pods/{_quoted(pod_id)}/logs",
            params={} if cursor else {"tail": tail},
        )
        with self._http.stream(request, headers) as lines:
            yield from events(lines)

    # Catalogue

    def list_gpu_types(self, *, count: int = 1, cloud: str = "SECURE") -> list[GpuType]:
        """Price and availability of every GPU type, for pods of `count` GPUs."""
        params = {"include": "AVAILABILITY", "product": "POD", "count": str(count), "cloud": cloud}
        return self._list("list_gpu_types", "/catalog/gpus", "gpus", GpuType, params)

    def list_data_centers(self) -> list[DataCenter]:
        """Every data centre."""
        return self._list("list_data_centers", "/catalog/datacenters", "dataCenters", DataCenter, {})

    # What an account has besides pods

    def ssh_keys(self) -> list[str]:
        """The account's registered keys."""
        body = self._read("get_ssh_keys", "/account/ssh-keys").json
        keys = body.get("keys") if isinstance(body, dict) else None
        return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []

    def put_ssh_keys(self, keys: Sequence[str]) -> None:
        """Replaces the whole list of registered keys."""
        self._http.call(
            Request(Kind.CHANGE, "put_ssh_keys", "PUT", "/account/ssh-keys", json={"keys": list(keys)})
        )

    def list_network_volumes(self) -> list[NetworkVolume]:
        """Every network volume."""
        return self._list("list_network_volumes", "/network-volumes", "networkVolumes", NetworkVolume, {})

    def create_network_volume(self, name: str, size_gb: int, data_center: str) -> NetworkVolume:
        """Makes a network volume of 10 to 4096 GB."""
        body = {"name": name, "size": size_gb, "dataCenter": data_center}
        request = Request(Kind.CREATE, "create_network_volume", "POST", "/network-volumes", json=body)
        return self._one(Kind.CREATE, "create_network_volume", NetworkVolume, self._http.call(request))

    def delete_network_volume(self, volume_id: str) -> None:
        """Ends a network volume; NotFoundError where there is none."""
        path = f"/network-volumes/{_quoted(volume_id)}"
        self._http.call(Request(Kind.DELETE, "delete_network_volume", "DELETE", path))

    def list_templates(self) -> list[Template]:
        """The account's templates."""
        return self._list("list_templates", "/templates", "templates", Template, {})

    def get_template(self, template_id: str) -> Template:
        """One template; NotFoundError where there is none."""
        answer = self._read("get_template", f"/templates/{_quoted(template_id)}", timeout_s=STATUS_S)
        return self._one(Kind.READ, "get_template", Template, answer)

    def pod_billing(
        self, *, start_time: str = "", end_time: str = "", pod_id: str = "", bucket_size: str = ""
    ) -> list[PodBilling]:
        """What pods cost.

        Args:
            start_time: RFC 3339; empty for the cloud's default.
            end_time: RFC 3339; empty for the cloud's default.
            pod_id: One pod only.
            bucket_size: Length of the spans, in the cloud's words.
        """
        given = {
            "startTime": start_time,
            "endTime": end_time,
            "podId": pod_id,
            "bucketSize": bucket_size,
        }
        params = {name: value for name, value in given.items() if value}
        return self._list("pod_billing", "/billing/pods", "records", PodBilling, params)

    # Reading answers

    def _read(
        self,
        operation: str,
        path: str,
        params: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        request = Request(Kind.READ, operation, "GET", path, params=params or None)
        if timeout_s is not None:
            request = Request(Kind.READ, operation, "GET", path, params=params, read_timeout_s=timeout_s)
        return self._http.call(request)

    def _list(
        self, operation: str, path: str, key: str, model: type[_M], params: Mapping[str, str]
    ) -> list[_M]:
        found: list[_M] = []
        cursors = {""}
        query = dict(params)
        for _ in range(_MOST_PAGES):
            answer = self._read(operation, path, query)
            body = answer.json
            items = body.get(key) if isinstance(body, dict) else body
            if not isinstance(items, list):
                raise self._odd(Kind.READ, operation, answer, f"no list of {key} in the answer")
            found += [self._parsed(Kind.READ, operation, model, item, answer) for item in items]
            cursor = _next_cursor(body)
            if not cursor:
                return found
            if cursor in cursors:
                break
            cursors.add(cursor)
            query["cursor"] = cursor
        raise self._odd(Kind.READ, operation, answer, "the pages of the list do not end")

    def _one(self, kind: Kind, operation: str, model: type[_M], answer: Answer) -> _M:
        return self._parsed(kind, operation, model, answer.json, answer)

    def _parsed(self, kind: Kind, operation: str, model: type[_M], item: object, answer: Answer) -> _M:
        try:
            return model.model_validate(item)
        except PydanticError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "body"
            raise self._odd(kind, operation, answer, f"cannot be read at {where!r}") from None

    def _odd(self, kind: Kind, operation: str, answer: Answer, why: str) -> errors.GpuCloudError:
        """A success that can not be read: for a write nobody knows what was done."""
        error = errors.AmbiguousError if kind.writes else errors.UnknownCloudError
        return error(
            f"RunPod, credential set {self._http.credentials!r}: {operation}: HTTP {answer.status}, "
            f"but {why}",
            cloud="runpod",
            status=answer.status,
            request_id=answer.request_id,
        )


def _quoted(identifier: str) -> str:
    return quote(identifier, safe="")


def _next_cursor(body: object) -> str:
    pagination = body.get("pagination") if isinstance(body, dict) else None
    if not isinstance(pagination, dict) or not pagination.get("hasNextPage"):
        return ""
    cursor = pagination.get("nextCursor")
    return cursor if isinstance(cursor, str) else ""
