"""`/v2/pods`: create, list, read, change, act, delete."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from emulators.http import Answer, Response, dump_json
from emulators.runpod import bodies
from emulators.runpod.call import Call
from emulators.runpod.pod import HOLDING, Pod
from emulators.runpod.problems import (
    BACKEND_BROKEN,
    NO_BALANCE,
    NO_CAPACITY,
    NO_FREE_GPU,
    NO_SPOT,
    SPEND_LIMIT,
    Refusal,
)

_PORT = re.compile(r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})/(?:http|tcp)")
_CONTAINER = ("image", "args", "disk", "env", "ports", "registry")
_RESETTING = frozenset({*_CONTAINER, "mounts", "templateId"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What only GraphQL can ask of a new pod.

    Attributes:
        bid: USD per GPU-hour offered for an interruptible pod; None: on demand.
        stop_at: When it is stopped, emulated seconds since the epoch; None: never.
        terminate_at: When it is ended for good.
    """

    bid: float | None = None
    stop_at: float | None = None
    terminate_at: float | None = None


async def list_pods(call: Call) -> Answer:
    """GET /v2/pods. A cursor is the id of the last pod of the page before."""
    pods = call.fleet.listed(call.owner)
    page = b""
    if call.settings.pagination:
        cursor = call.request.query.get("cursor", "")
        # Ids of pods ended meanwhile must not lose the place: the cursor carries the time of creation.
        after = float(cursor.partition("~")[0]) if re.fullmatch(r"[\d.]+~\w+", cursor) else None
        if after is not None:
            seen = cursor.partition("~")[2]
            pods = [p for p in pods if p.created_at > after or (p.created_at == after and p.id > seen)]
        pods.sort(key=lambda p: (p.created_at, p.id))
        size = call.number("limit", call.settings.page_size, 1)
        more, pods = len(pods) > size, pods[:size]
        last = f"{pods[-1].created_at!r}~{pods[-1].id}" if pods else None
        page = b',"pagination":' + dump_json({"nextCursor": last if more else None, "hasNextPage": more})
    return Response(200, b'{"pods":[' + b",".join(map(call.fleet.view, pods)) + b"]" + page + b"}")


async def create_pod(call: Call) -> Answer:
    """POST /v2/pods."""
    return Response(201, call.fleet.view(make_pod(call, call.body(bodies.create_pod))))


def make_pod(call: Call, body: dict[str, Any], terms: Terms | None = None) -> Pod:
    """Makes a pod and begins its first boot.

    Args:
        call: The call.
        body: As of POST /v2/pods, checked.
        terms: What only GraphQL can ask for.

    Raises:
        Refusal: There is no such pod to be had.
    """
    terms = terms or Terms()
    name = body["name"]
    if fault := call.fault("create_refused"):
        raise Refusal(int(fault.number("status", 400)), fault.text("detail", BACKEND_BROKEN))
    if call.fault("pool_refused"):
        raise Refusal(403, "access denied")
    _check_rules(body, call)
    template = _template(body.get("templateId"), call)
    merged = {**{key: template[key] for key in (*_CONTAINER, "mounts") if key in template}, **body}
    pod = Pod(
        id=call.fleet.new_id(),
        account=call.owner,
        name=name,
        image=merged.get("image", ""),
        created_at=call.now,
        args=merged.get("args", ""),
        disk=int(merged.get("disk", 20)),
        mounts=dict(merged.get("mounts", {})),
        ports=list(merged.get("ports", [])),
        env=dict(merged.get("env", {})),
        registry=merged.get("registry"),
        cloud=body.get("cloud", "SECURE"),
        global_networking=body.get("globalNetworking", False),
    )
    _add_access(pod, body, call)
    if "gpu" in body:
        _place_gpu(pod, body, call)
    else:
        _place_cpu(pod, body, call)
    if terms.bid is not None:
        least = minimum_bid(call, pod.gpu_id, pod.cloud)
        if terms.bid < least:
            raise Refusal(400, NO_SPOT)
        pod.interruptible, pod.rate = True, round(terms.bid * pod.gpu_count, 6)
    pod.stop_at, pod.terminate_at = terms.stop_at, terms.terminate_at
    _check_money(pod, call)
    if fault := call.fault("no_capacity"):
        raise Refusal(400, fault.text("detail", NO_CAPACITY))
    if fault := call.fault("boot_fails"):
        pod.exit_to = "ERROR"
    if fault := call.fault("exits"):
        pod.exit_at = call.now + call.settings.ready_after_s + fault.number("after_s", 0)
    if fault := call.fault("unknown_state"):
        pod.reported_status = fault.text("status", "MIGRATING")
    pod.unusable = call.fault("unusable") is not None
    call.fleet.add(pod, stuck=call.fault("stuck_provisioning") is not None)
    return pod


def minimum_bid(call: Call, gpu_id: str, cloud: str) -> float:
    """USD per GPU-hour below which no interruptible pod is placed."""
    gpu = call.fleet.stock.catalogue.gpu(gpu_id)
    price = 0.0 if gpu is None else call.fleet.stock.price(call.settings, gpu, cloud)
    return round(price * call.settings.spot_price_factor, 4)


async def get_pod(call: Call) -> Answer:
    """GET /v2/pods/{id}."""
    return Response(200, call.fleet.view(_pod(call)))


async def update_pod(call: Call) -> Answer:
    """PATCH /v2/pods/{id}: a running pod is reset by any change to its container."""
    pod = _living(call)
    body = call.body(bodies.UPDATE_POD)
    if pod.cpu is not None and "persistent" in body.get("mounts", {}):
        raise Refusal(400, "persistent mounts are not available on CPU pods")
    _check_ports(body)
    mounts = _changed_mounts(pod, body.get("mounts", {}))
    template = _template(body.get("templateId"), call)
    changes = {**{key: template[key] for key in _CONTAINER if key in template}, **body}
    pod.mounts = mounts
    for key in ("name", "locked", *_CONTAINER):
        if key in changes:
            setattr(pod, key, changes[key])
    pod.global_networking = changes.get("globalNetworking", pod.global_networking)
    if pod.phase in HOLDING and _RESETTING & set(body):
        call.fleet.restart(pod)
    else:
        call.fleet.touch(pod)
    return Response(200, call.fleet.view(pod))


async def delete_pod(call: Call) -> Answer:
    """DELETE /v2/pods/{id}."""
    pod = _living(call)
    if fault := call.fault("delete_refused"):
        raise Refusal(int(fault.number("status", 409)), fault.text("detail", "pod can not be terminated now"))
    call.fleet.terminate(pod)
    return Response(204)


async def act(call: Call) -> Answer:
    """POST /v2/pods/{id}/action."""
    pod = _pod(call)
    action = call.body(bodies.POD_ACTION)["action"]
    allowed = {
        "start": pod.phase in ("EXITED", "ERROR"),
        "stop": pod.phase in HOLDING,
        # Where a booting pod already says RUNNING, it offers a restart, too.
        "restart": pod.phase in (HOLDING if call.settings.observed else {"RUNNING"}),
        "terminate": pod.phase != "TERMINATED",
    }
    if not allowed[action]:
        raise Refusal(
            409, f"action '{action}' is not valid for a pod in status {pod.status(call.settings.observed)}"
        )
    if pod.locked and action in ("stop", "restart"):
        raise Refusal(409, "pod is locked")
    if action == "terminate":
        return await delete_pod(call)
    if action == "start":
        start_pod(pod, call)
    elif action == "stop":
        call.fleet.stop(pod)
    else:
        call.fleet.restart(pod)
    return Response(200, call.fleet.view(pod))


def start_pod(pod: Pod, call: Call) -> None:
    """Starts a stopped pod where its machine has GPUs free."""
    gpu = call.fleet.stock.catalogue.gpu(pod.gpu_id) if pod.cpu is None else None
    if gpu is not None:
        free = call.fleet.stock.free(call.settings, gpu, pod.data_center)
        if call.fault("start_no_free_gpu") or (free is not None and free < pod.gpu_count):
            raise Refusal(400, NO_FREE_GPU)
        if call.fault("start_without_gpu"):
            pod.gpu_count = 0
    _check_money(pod, call)
    call.fleet.start(pod)


def _pod(call: Call) -> Pod:
    pod = call.fleet.get(call.owner, call.id)
    if pod is None:
        raise Refusal(404, "pod not found")
    return pod


def _living(call: Call) -> Pod:
    pod = _pod(call)
    if pod.phase == "TERMINATED":
        raise Refusal(404, "pod not found")
    return pod


def _check_rules(body: dict[str, Any], call: Call) -> None:
    """Rules over several fields: 400."""
    if ("gpu" in body) == ("cpu" in body):
        raise Refusal(400, "exactly one of gpu or cpu must be set")
    mounts = body.get("mounts", {})
    if len(mounts) > 1:
        raise Refusal(400, "mounts.persistent and mounts.network are mutually exclusive")
    if "cpu" in body and "persistent" in mounts:
        raise Refusal(400, "persistent mounts are not available on CPU pods")
    if "network" in mounts and not mounts["network"]:
        raise Refusal(400, "mounts.network must not be empty")
    _check_ports(body)
    centers = call.fleet.stock.catalogue.data_centers
    for center in body.get("dataCenterIds", []):
        if center not in centers:
            raise Refusal(400, f"data center '{center}' not found")


def _check_ports(body: dict[str, Any]) -> None:
    for port in body.get("ports", []):
        if not _PORT.fullmatch(port):
            raise Refusal(400, f"port '{port}' must be formatted as port/protocol")


def _template(template_id: str | None, call: Call) -> dict[str, Any]:
    if template_id is None:
        return {}
    template = call.store.read(f"templates/{call.owner}", template_id)
    if not isinstance(template, dict):
        raise Refusal(404, "template not found")
    return template


def _add_access(pod: Pod, body: dict[str, Any], call: Call) -> None:
    if body.get("startSsh"):
        keys = call.store.read("ssh-keys", call.owner)
        if isinstance(keys, list) and keys:
            pod.env.setdefault("PUBLIC_KEY", "\n".join(keys))
    if body.get("startJupyter"):
        pod.env.setdefault("JUPYTER_PASSWORD", call.fleet.new_id())


def _place_gpu(pod: Pod, body: dict[str, Any], call: Call) -> None:
    stock, settings = call.fleet.stock, call.settings
    request = body["gpu"]
    gpu = stock.catalogue.gpu(request["id"])
    if gpu is None:
        raise Refusal(400, f"gpu type '{request['id']}' not found")
    if "count" not in request and settings.count_bug:
        raise Refusal(400, NO_CAPACITY)
    count = int(request.get("count", 1))
    if gpu.max_count[pod.cloud] and count > gpu.max_count[pod.cloud]:
        raise Refusal(400, f"gpu count {count} is above the maximum of {gpu.max_count[pod.cloud]}")
    wanted = list(body.get("dataCenterIds", []))
    for mount in pod.mounts.get("network", []):
        volume = call.store.read(f"network-volumes/{call.owner}", mount["volumeId"])
        if not isinstance(volume, dict):
            raise Refusal(404, "network volume not found")
        if wanted and volume["dataCenter"] not in wanted:
            raise Refusal(400, "network volume is in another data center")
        wanted = [volume["dataCenter"]]
    version = _cuda(request, gpu.manufacturer, call)
    center = stock.place(settings, gpu, pod.cloud, count, wanted)
    if center is None or call.fleet.draw(f"refused/{pod.id}") < settings.listed_but_refused:
        raise Refusal(400, NO_CAPACITY)
    pod.gpu_id, pod.gpu_count, pod.data_center, pod.cuda_version = gpu.id, count, center, version
    if pod.global_networking and (
        gpu.manufacturer != "NVIDIA" or not stock.catalogue.data_centers[center].global_network
    ):
        raise Refusal(400, "global networking is not available for this pod")
    pod.rate = round(stock.price(settings, gpu, pod.cloud) * count, 6)


def _cuda(request: dict[str, Any], manufacturer: str, call: Call) -> str | None:
    if manufacturer != "NVIDIA":
        return None
    offered = list(call.fleet.stock.catalogue.cuda_versions)
    if allowed := request.get("allowedCudaVersions"):
        offered = [version for version in offered if version in allowed]
    if least := request.get("minCudaVersion"):
        offered = [version for version in offered if _version(version) >= _version(least)]
    if not offered:
        raise Refusal(400, NO_CAPACITY)
    return "12.8" if "12.8" in offered else offered[-1]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _place_cpu(pod: Pod, body: dict[str, Any], call: Call) -> None:
    request = body["cpu"]
    count = int(request["vcpuCount"])
    cpu = call.fleet.stock.catalogue.cpus.get(request["id"])
    if cpu is None:
        raise Refusal(400, f"cpu flavor '{request['id']}' not found")
    if count & (count - 1) or not cpu.min_vcpu <= count <= cpu.max_vcpu:
        raise Refusal(400, f"vcpuCount {count} is not valid for cpu flavor '{cpu.id}'")
    if pod.global_networking:
        raise Refusal(400, "global networking is not available for this pod")
    wanted = body.get("dataCenterIds") or list(cpu.data_centers)
    centers = [center for center in wanted if center in cpu.data_centers]
    if not centers:
        raise Refusal(400, NO_CAPACITY)
    pod.cpu = {"id": cpu.id, "vcpuCount": count, "memory": int(count * cpu.ram_gb_per_vcpu)}
    pod.data_center, pod.rate = centers[0], round(cpu.price * count, 6)


def _check_money(pod: Pod, call: Call) -> None:
    """An hour of credit must be left; the spend limit holds for all pods together."""
    account = call.account
    if account.balance is not None and account.balance - call.fleet.spent(account.account) < pod.rate:
        raise Refusal(402, NO_BALANCE)
    if account.spend_limit is not None and call.fleet.rate(account.account) + pod.rate > account.spend_limit:
        raise Refusal(400, SPEND_LIMIT)


def _changed_mounts(pod: Pod, mounts: dict[str, Any]) -> dict[str, Any]:
    """The mounts after a change; their kind and volume never change."""
    if not mounts:
        return pod.mounts
    if set(mounts) != set(pod.mounts):
        raise Refusal(400, "mount kind can not be changed")
    if "network" in mounts:
        if not mounts["network"]:
            raise Refusal(400, "mounts.network must not be empty")
        if mounts["network"][0]["volumeId"] != pod.mounts["network"][0]["volumeId"]:
            raise Refusal(400, "volumeId can not be changed")
    return mounts
