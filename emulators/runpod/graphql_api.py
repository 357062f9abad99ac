"""RunPod's old GraphQL API: interruptible pods, the balance, an end at a set time.

Errors of its rules arrive as HTTP 200 with `errors`; a document that does not fit the schema gets 400.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emulators.clock import parse_rfc3339
from emulators.http import Answer, json_response
from emulators.runpod.call import Call
from emulators.runpod.catalogue import Gpu
from emulators.runpod.graphql_query import Field, Operation, QueryError, parse
from emulators.runpod.graphql_schema import (
    INTERRUPTIBLE_INPUT,
    MUTATIONS,
    ON_DEMAND_INPUT,
    QUERIES,
    check_fields,
    check_input,
)
from emulators.runpod.pod import HOLDING, Pod
from emulators.runpod.pods_api import Terms, make_pod, minimum_bid, start_pod
from emulators.runpod.problems import NO_CAPACITY, Refusal

_STATUS = {
    "PROVISIONING": "RUNNING",
    "STARTING": "RUNNING",
    "RUNNING": "RUNNING",
    "EXITED": "EXITED",
    "ERROR": "DEAD",
    "TERMINATED": "TERMINATED",
}
_STOCK = {"NONE": None, "LOW": "Low", "MEDIUM": "Medium", "HIGH": "High"}


async def answer(call: Call) -> Answer:
    """POST /graphql."""
    try:
        body = call.request.json()
    except ValueError:
        return _malformed("POST body missing, invalid Content-Type, or JSON object has no keys.")
    if not isinstance(body, dict) or not isinstance(body.get("query"), str):
        return _malformed("GraphQL operations must contain a non-empty `query`.")
    variables = body.get("variables") or {}
    try:
        operation = parse(body["query"], variables if isinstance(variables, dict) else {})
        check_fields(operation)
    except QueryError as error:
        return _malformed(str(error))
    if operation.kind == "mutation" and call.account.auth == "readonly":
        raise Refusal(403, "access denied")
    return _run(call, operation)


def _run(call: Call, operation: Operation) -> Answer:
    data: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    table = _MUTATIONS if operation.kind == "mutation" else _QUERIES
    for field in operation.fields:
        try:
            if call.fault("graphql_internal_error"):
                raise _InternalError
            data[field.alias] = _shown(table[field.name](call, field), field.selection)
        except QueryError as error:
            return _malformed(str(error))
        except _InternalError:
            text = "Something went wrong. Please try again later or contact support."
            errors.append(_error(text, field, "INTERNAL_SERVER_ERROR"))
            data[field.alias] = None
        except Refusal as refusal:
            errors.append(_error(refusal.detail, field, "RUNPOD"))
            data[field.alias] = None
    return json_response({"errors": errors, "data": data} if errors else {"data": data})


class _InternalError(Exception):
    """The API is broken for a moment; nothing was done."""


def _malformed(message: str) -> Answer:
    code = "GRAPHQL_PARSE_FAILED" if message.startswith("Syntax") else "GRAPHQL_VALIDATION_FAILED"
    return json_response({"errors": [{"message": message, "extensions": {"code": code}}]}, 400)


def _error(message: str, field: Field, code: str) -> dict[str, Any]:
    return {"message": message, "path": [field.alias], "extensions": {"code": code}}


def _shown(value: Any, selection: list[Field] | None) -> Any:
    """The fields that were asked for."""
    if value is None or selection is None:
        return value
    if isinstance(value, list):
        return [_shown(one, selection) for one in value]
    shown: dict[str, Any] = {}
    for field in selection:
        found = value.get(field.name)
        if callable(found):
            found = found(field.arguments)
        shown[field.alias] = _shown(found, field.selection)
    return shown


def _myself(call: Call, field: Field) -> dict[str, Any]:
    account, fleet = call.account, call.fleet
    left = 1_000_000.0 if account.balance is None else account.balance - fleet.spent(account.account)
    return {
        "id": f"user_{account.account}",
        "email": f"{account.account}@example.com",
        "clientBalance": round(left, 6),
        "currentSpendPerHr": round(fleet.rate(account.account), 6),
        "spendLimit": 80.0 if account.spend_limit is None else account.spend_limit,
        "pods": [_pod_view(call, pod) for pod in fleet.listed(account.account)],
    }


def _pod(call: Call, field: Field) -> dict[str, Any] | None:
    given = check_input(field.arguments.get("input"), {"podId": str}, "PodFilter")
    pod = call.fleet.get(call.owner, str(given.get("podId")))
    return None if pod is None else _pod_view(call, pod)


def _gpu_types(call: Call, field: Field) -> list[dict[str, Any]]:
    given = check_input(field.arguments.get("input") or {}, {"id": str}, "GpuTypeFilter")
    stock = call.fleet.stock
    wanted = stock.catalogue.gpu(given["id"]) if "id" in given else None
    gpus = list(stock.catalogue.gpus.values()) if "id" not in given else [wanted] if wanted else []
    return [_gpu_view(call, gpu) for gpu in gpus]


def _gpu_view(call: Call, gpu: Gpu) -> dict[str, Any]:
    stock, settings = call.fleet.stock, call.settings
    price = {cloud: stock.price(settings, gpu, cloud) for cloud in ("SECURE", "COMMUNITY")}
    return {
        "id": gpu.id,
        "displayName": gpu.name,
        "memoryInGb": gpu.memory,
        "secureCloud": gpu.max_count["SECURE"] > 0,
        "communityCloud": gpu.max_count["COMMUNITY"] > 0,
        "securePrice": price["SECURE"],
        "communityPrice": price["COMMUNITY"],
        "secureSpotPrice": minimum_bid(call, gpu.id, "SECURE"),
        "communitySpotPrice": minimum_bid(call, gpu.id, "COMMUNITY"),
        "maxGpuCount": max(gpu.max_count.values()),
        "lowestPrice": lambda arguments: _lowest_price(call, gpu, arguments),
    }


def _lowest_price(call: Call, gpu: Gpu, arguments: Mapping[str, Any]) -> dict[str, Any]:
    shape = {"gpuCount": int, "secureCloud": bool, "dataCenterId": str, "countryCode": str}
    given = check_input(arguments.get("input"), shape, "GpuLowestPriceInput")
    count, cloud = given.get("gpuCount") or 1, "SECURE" if given.get("secureCloud", True) else "COMMUNITY"
    stock, settings = call.fleet.stock, call.settings
    places = stock.places(settings, gpu, cloud)
    if center := given.get("dataCenterId"):
        places = [place for place in places if place == center]
    order = ("NONE", "LOW", "MEDIUM", "HIGH")
    level = max(
        (stock.level(settings, gpu, place, count) for place in places), key=order.index, default="NONE"
    )
    free = level != "NONE"
    return {
        "minimumBidPrice": minimum_bid(call, gpu.id, cloud) if free else None,
        "uninterruptablePrice": stock.price(settings, gpu, cloud) if free else None,
        "stockStatus": _STOCK[level],
        "minVcpu": 8 if free else None,
        "minMemory": 32 if free else None,
        "availableGpuCounts": list(range(1, gpu.max_count[cloud] + 1)) if free else [],
    }


def _deploy(call: Call, field: Field) -> dict[str, Any]:
    given = check_input(field.arguments.get("input"), ON_DEMAND_INPUT, "PodFindAndDeployOnDemandInput")
    return _made(call, given, None)


def _rent(call: Call, field: Field) -> dict[str, Any]:
    given = check_input(field.arguments.get("input"), INTERRUPTIBLE_INPUT, "PodRentInterruptableInput")
    if not given.get("bidPerGpu"):
        raise Refusal(400, "bidPerGpu must be greater than 0")
    return _made(call, given, float(given["bidPerGpu"]))


def _made(call: Call, given: dict[str, Any], bid: float | None) -> dict[str, Any]:
    if not given.get("gpuTypeId"):
        raise Refusal(400, NO_CAPACITY)
    body: dict[str, Any] = {
        "name": given.get("name") or "pod",
        "gpu": {"id": given["gpuTypeId"], "count": given.get("gpuCount") or 1},
        "cloud": "COMMUNITY" if given.get("cloudType") == "COMMUNITY" else "SECURE",
        "disk": given.get("containerDiskInGb") or 20,
        "ports": [port.strip() for port in (given.get("ports") or "").split(",") if port.strip()],
        "env": {entry["key"]: entry["value"] for entry in given.get("env") or []},
        "args": given.get("dockerArgs") or "",
    }
    if given.get("imageName"):
        body["image"] = given["imageName"]
    if given.get("templateId"):
        body["templateId"] = given["templateId"]
    if given.get("dataCenterId"):
        body["dataCenterIds"] = [given["dataCenterId"]]
    path = given.get("volumeMountPath") or "/workspace"
    if given.get("networkVolumeId"):
        body["mounts"] = {"network": [{"volumeId": given["networkVolumeId"], "path": path}]}
    elif given.get("volumeInGb"):
        body["mounts"] = {"persistent": {"size": given["volumeInGb"], "path": path}}
    if "image" not in body and "templateId" not in body:
        raise Refusal(400, "imageName or templateId is required")
    terms = Terms(bid, _time(given.get("stopAfter")), _time(given.get("terminateAfter")))
    return _pod_view(call, make_pod(call, body, terms))


def _time(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise QueryError(f'DateTime cannot represent an invalid date-time-string "{text}".') from None


def _stop(call: Call, field: Field) -> dict[str, Any]:
    pod = _living(call, field, {"podId": str, "incrementVersion": bool})
    if pod.phase in HOLDING:
        call.fleet.stop(pod)
    return _pod_view(call, pod)


def _terminate(call: Call, field: Field) -> None:
    call.fleet.terminate(_living(call, field, {"podId": str}))


def _resume(call: Call, field: Field) -> dict[str, Any]:
    pod = _living(call, field, {"podId": str, "gpuCount": int, "syncMachine": bool, "computeType": str})
    if pod.interruptible:
        raise Refusal(400, "an interruptible pod is resumed with podBidResume")
    return _started(call, pod)


def _bid_resume(call: Call, field: Field) -> dict[str, Any]:
    shape: dict[str, type] = {"podId": str, "gpuCount": int, "bidPerGpu": float}
    pod = _living(call, field, shape)
    bid = float(field.arguments["input"].get("bidPerGpu") or 0)
    if bid < minimum_bid(call, pod.gpu_id, pod.cloud):
        raise Refusal(400, NO_CAPACITY)
    pod.rate = round(bid * pod.gpu_count, 6)
    return _started(call, pod)


def _started(call: Call, pod: Pod) -> dict[str, Any]:
    if pod.phase in HOLDING:
        raise Refusal(400, "pod is already running")
    start_pod(pod, call)
    return _pod_view(call, pod)


def _living(call: Call, field: Field, shape: Mapping[str, type]) -> Pod:
    given = check_input(field.arguments.get("input"), shape, "PodInput")
    pod = call.fleet.get(call.owner, str(given.get("podId")))
    if pod is None or pod.phase == "TERMINATED":
        raise Refusal(400, "pod not found")
    return pod


def _pod_view(call: Call, pod: Pod) -> dict[str, Any]:
    ports = [
        {"ip": "127.0.0.1", "isIpPublic": True, "privatePort": int(p), "publicPort": public, "type": "tcp"}
        for p, public in pod.ports_public.items()
    ]
    runtime = {"uptimeInSeconds": int(call.now - (pod.started_at or call.now)), "ports": ports, "gpus": []}
    return {
        "id": pod.id,
        "name": pod.name,
        "desiredStatus": _STATUS[pod.phase],
        "imageName": pod.image,
        "costPerHr": pod.rate,
        "adjustedCostPerHr": pod.rate,
        "gpuCount": pod.gpu_count,
        "vcpuCount": 8,
        "memoryInGb": 32,
        "machineId": f"m{pod.id[:6]}",
        "machine": {
            "gpuDisplayName": pod.gpu_id,
            "gpuTypeId": pod.gpu_id,
            "dataCenterId": pod.data_center,
            "podHostId": f"{pod.id}-64411eb2",
        },
        "podType": "INTERRUPTABLE" if pod.interruptible else "RESERVED",
        "lastStatusChange": "",
        "runtime": runtime if pod.ready else None,
    }


_Resolver = Callable[[Call, Field], Any]
_QUERIES: dict[str, _Resolver] = dict(zip(QUERIES, (_myself, _pod, _gpu_types), strict=True))
_MUTATIONS: dict[str, _Resolver] = dict(
    zip(MUTATIONS, (_deploy, _rent, _resume, _bid_resume, _stop, _terminate), strict=True)
)
