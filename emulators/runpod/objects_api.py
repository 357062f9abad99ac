"""The account's other objects: SSH keys, network volumes, templates, registry credentials."""

from __future__ import annotations

from typing import Any

from emulators.http import Answer, Response, json_response
from emulators.runpod import bodies
from emulators.runpod.call import Call
from emulators.runpod.problems import Refusal

_VOLUMES = "network-volumes"
_TEMPLATES = "templates"
_REGISTRIES = "registries"


async def get_ssh_keys(call: Call) -> Answer:
    """GET /v2/account/ssh-keys."""
    return json_response({"keys": call.store.read("ssh-keys", call.owner) or []})


async def put_ssh_keys(call: Call) -> Answer:
    """PUT /v2/account/ssh-keys: replaces the whole list."""
    keys = call.body(bodies.SSH_KEYS)["keys"]
    call.store.write([("ssh-keys", call.owner, keys)])
    return json_response({"keys": keys})


async def list_volumes(call: Call) -> Answer:
    """GET /v2/network-volumes."""
    return json_response({"networkVolumes": _all(call, _VOLUMES)})


async def create_volume(call: Call) -> Answer:
    """POST /v2/network-volumes."""
    body = call.body(bodies.CREATE_VOLUME)
    center = call.fleet.stock.catalogue.data_centers.get(body["dataCenter"])
    if center is None or not center.volume_types:
        raise Refusal(400, f"data center '{body['dataCenter']}' has no network volumes")
    kind = body.get("type", center.volume_types[0])
    if kind not in center.volume_types:
        raise Refusal(400, f"data center '{center.id}' has no {kind} volumes")
    return _create(
        call,
        _VOLUMES,
        {"name": body["name"], "size": int(body["size"]), "dataCenter": center.id, "type": kind},
    )


async def get_volume(call: Call) -> Answer:
    """GET /v2/network-volumes/{id}."""
    return json_response(_one(call, _VOLUMES))


async def update_volume(call: Call) -> Answer:
    """PATCH /v2/network-volumes/{id}: a volume only grows."""
    volume = _one(call, _VOLUMES)
    body = call.body(bodies.UPDATE_VOLUME)
    if body.get("size", volume["size"]) < volume["size"]:
        raise Refusal(400, "size can not be reduced")
    return _save(call, _VOLUMES, {**volume, **body})


async def delete_volume(call: Call) -> Answer:
    """DELETE /v2/network-volumes/{id}: not while a pod mounts it."""
    if any(
        mount["volumeId"] == call.id
        for pod in call.fleet.of(call.owner)
        if pod.phase != "TERMINATED"
        for mount in pod.mounts.get("network", [])
    ):
        raise Refusal(400, "network volume is in use")
    return _delete(call, _VOLUMES)


async def list_templates(call: Call) -> Answer:
    """GET /v2/templates."""
    return json_response({"templates": _all(call, _TEMPLATES)})


async def create_template(call: Call) -> Answer:
    """POST /v2/templates."""
    body = call.body(bodies.CREATE_TEMPLATE)
    defaults = {
        "args": "",
        "disk": 20,
        "mounts": {},
        "ports": [],
        "env": {},
        "registry": None,
        "serverless": False,
        "public": False,
        "category": "NVIDIA",
        "startSsh": True,
        "startJupyter": True,
        "allowedCudaVersions": [],
    }
    return _create(call, _TEMPLATES, {**defaults, **body})


async def get_template(call: Call) -> Answer:
    """GET /v2/templates/{id}."""
    return json_response(_one(call, _TEMPLATES))


async def update_template(call: Call) -> Answer:
    """PATCH /v2/templates/{id}."""
    template = _one(call, _TEMPLATES)
    return _save(call, _TEMPLATES, {**template, **call.body(bodies.UPDATE_TEMPLATE)})


async def delete_template(call: Call) -> Answer:
    """DELETE /v2/templates/{id}."""
    return _delete(call, _TEMPLATES)


async def list_registries(call: Call) -> Answer:
    """GET /v2/registries."""
    return json_response({"registries": _all(call, _REGISTRIES)})


async def create_registry(call: Call) -> Answer:
    """POST /v2/registries: user name and password are never shown again, and not kept here."""
    return _create(call, _REGISTRIES, {"name": call.body(bodies.CREATE_REGISTRY)["name"]})


async def get_registry(call: Call) -> Answer:
    """GET /v2/registries/{id}."""
    return json_response(_one(call, _REGISTRIES))


async def delete_registry(call: Call) -> Answer:
    """DELETE /v2/registries/{id}: an unknown id was seen to get 400 instead of 404."""
    if call.settings.observed and call.store.read(f"{_REGISTRIES}/{call.owner}", call.id) is None:
        raise Refusal(400, "Registry auth not found")
    return _delete(call, _REGISTRIES)


def _all(call: Call, family: str) -> list[object]:
    return [value for _, value in call.store.read_all(f"{family}/{call.owner}")]


def _one(call: Call, family: str) -> dict[str, Any]:
    value = call.store.read(f"{family}/{call.owner}", call.id)
    if not isinstance(value, dict):
        raise Refusal(404, "resource not found")
    return value


def _save(call: Call, family: str, value: dict[str, Any]) -> Answer:
    call.store.write([(f"{family}/{call.owner}", call.id, value)])
    return json_response(value)


def _create(call: Call, family: str, fields: dict[str, Any]) -> Answer:
    value = {"id": call.fleet.new_id(10), **fields}
    call.store.write(
        [(f"{family}/{call.owner}", str(value["id"]), value), ("meta", "serial", call.fleet.serial)]
    )
    return json_response(value, 201)


def _delete(call: Call, family: str) -> Answer:
    _one(call, family)
    call.store.write([(f"{family}/{call.owner}", call.id, None)])
    return Response(204)
