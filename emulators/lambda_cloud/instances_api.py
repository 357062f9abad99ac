"""Instances: launch, list, read, rename, restart, terminate."""

from __future__ import annotations

from typing import Any

from emulators.http import Answer, json_response
from emulators.lambda_cloud import bodies
from emulators.lambda_cloud.call import Call
from emulators.lambda_cloud.machine import Machine
from emulators.lambda_cloud.objects_api import FILE_SYSTEMS, KEYS, RULESETS
from emulators.lambda_cloud.problems import (
    Refusal,
    bad_address,
    invalid,
    no_capacity,
    no_instance,
    not_found,
    quota_exceeded,
    unknown_error,
)

_TRY = "Check your request and try again."


async def list_instances(call: Call) -> Answer:
    """GET /instances. There are no clusters here, so a filter for one finds nothing."""
    if call.request.query.get("cluster_id"):
        return json_response({"data": []})
    shown = [one for one in call.fleet.of(call.owner) if one.listed_at <= call.now and one.status(call.now)]
    return json_response({"data": [_view(call, one) for one in shown]})


async def get_instance(call: Call) -> Answer:
    """GET /instances/{id}."""
    return json_response({"data": _view(call, _machine(call, call.id))})


async def rename(call: Call) -> Answer:
    """POST /instances/{id}."""
    machine = _machine(call, call.id)
    machine.name = call.body(bodies.RENAME).get("name", machine.name)
    call.fleet.save(machine)
    return json_response({"data": _view(call, machine)})


async def launch(call: Call) -> Answer:
    """POST /instance-operations/launch."""
    body = call.body(bodies.launch)
    if problems := bodies.launch_rules(body):
        raise invalid(problems[0])
    if fault := call.fault("create_refused"):
        raise Refusal(
            int(fault.number("status", 400)),
            fault.text("code", "global/invalid-parameters"),
            fault.text("message", "Invalid request data."),
        )
    if call.account.auth == "bad_address":
        raise bad_address()
    machine = _described(call, body)
    if call.account.quota is not None and call.fleet.living(call.owner) >= call.account.quota:
        raise quota_exceeded()
    kind = call.fleet.catalogue.kinds[machine.kind]
    free = call.fleet.free(kind, machine.region)
    refused = call.fleet.draw(f"refused/{machine.id}") < call.settings.listed_but_refused
    if free == 0 or refused or call.fault("no_capacity"):
        raise no_capacity()
    _add_faults(call, machine)
    call.fleet.add(machine, stuck=call.fault("stuck_provisioning") is not None)
    return json_response({"data": {"instance_ids": [machine.id]}})


async def terminate(call: Call) -> Answer:
    """POST /instance-operations/terminate."""
    machines = [_machine(call, one) for one in call.body(bodies.INSTANCE_IDS)["instance_ids"]]
    if fault := call.fault("delete_refused"):
        raise Refusal(
            int(fault.number("status", 400)),
            fault.text("code", "global/invalid-parameters"),
            "Try again later.",
        )
    again = any(not one.living(call.now) for one in machines)
    if again and (call.settings.terminate_twice_unknown_error or call.fault("terminate_twice_unknown_error")):
        raise unknown_error()
    for machine in machines:
        call.fleet.terminate(machine)
    return json_response({"data": {"terminated_instances": [_view(call, one) for one in machines]}})


async def restart(call: Call) -> Answer:
    """POST /instance-operations/restart."""
    machines = [_machine(call, one) for one in call.body(bodies.INSTANCE_IDS)["instance_ids"]]
    if any(one.status(call.now) not in ("active", "unhealthy") for one in machines):
        raise Refusal(409, "global/conflict", "The request conflicts with the current state of the resource.")
    for machine in machines:
        call.fleet.restart(machine)
    return json_response({"data": {"restarted_instances": [_view(call, one) for one in machines]}})


def _machine(call: Call, instance_id: str) -> Machine:
    machine = call.fleet.any(instance_id)
    if machine is None or machine.account != call.owner:
        raise no_instance()
    if machine.readable_at > call.now or not machine.status(call.now):
        raise no_instance()
    return machine


def _view(call: Call, machine: Machine) -> dict[str, Any]:
    return machine.view(call.now, call.settings, call.fleet.catalogue)


def _described(call: Call, body: dict[str, Any]) -> Machine:
    """The machine that a body asks for, when everything that it names exists."""
    catalogue = call.fleet.catalogue
    region = body["region_name"]
    kind = catalogue.kinds.get(body["instance_type_name"])
    if region not in catalogue.regions:
        raise not_found("Specified region does not exist.", suggestion=_TRY)
    if kind is None:
        raise not_found("Specified instance type does not exist.", suggestion=_TRY)
    names = {row["name"] for row in call.store.rows(KEYS, call.owner)}
    if not set(body["ssh_key_names"]) <= names:
        raise not_found("Specified SSH key does not exist.", status=400, suggestion=_TRY)
    _check_image(call, body.get("image"), region)
    rulesets = {row["id"]: row for row in call.store.rows(RULESETS, call.owner)}
    wanted = [one["id"] for one in body.get("firewall_rulesets", [])]
    if any(one not in rulesets or rulesets[one]["region"]["name"] != region for one in wanted):
        raise not_found("Specified firewall ruleset does not exist.", status=400, suggestion=_TRY)
    systems, mounts = _file_systems(call, body, region)
    return Machine(
        id=call.fleet.new_id(),
        account=call.owner,
        created_at=call.now,
        kind=kind.name,
        region=region,
        name=body.get("name"),
        hostname=body.get("hostname"),
        ssh_keys=list(body["ssh_key_names"]),
        cents=call.settings.prices.get(kind.name, kind.cents),
        file_systems=systems,
        mounts=mounts,
        tags=[{"key": one["key"], "value": one["value"]} for one in body.get("tags", [])],
        rulesets=wanted,
        user_data=body.get("user_data", ""),
    )


def _check_image(call: Call, wanted: dict[str, str] | None, region: str) -> None:
    if wanted is None:
        return
    images = [one for one in call.fleet.catalogue.images if one.region == region]
    if not any(one.id == wanted.get("id") or one.family == wanted.get("family") for one in images):
        raise not_found("Specified image does not exist.", status=400, suggestion=_TRY)


def _file_systems(call: Call, body: dict[str, Any], region: str) -> tuple[list[str], list[dict[str, str]]]:
    """Names and mounts of the file systems that a launch asks for."""
    rows = call.store.rows(FILE_SYSTEMS, call.owner)
    by_name, by_id = {row["name"]: row for row in rows}, {row["id"]: row for row in rows}
    mounts = {one["file_system_id"]: one["mount_point"] for one in body.get("file_system_mounts", [])}
    found = []
    for name in body.get("file_system_names", []):
        if name not in by_name:
            raise not_found("Specified file system does not exist.", status=400, suggestion=_TRY)
        found.append(by_name[name])
    for one in mounts:
        if one not in by_id:
            raise not_found("Specified file system does not exist.", status=400, suggestion=_TRY)
        if by_id[one] not in found:
            found.append(by_id[one])
    if any(row["region"]["name"] != region for row in found):
        raise Refusal(
            400,
            "instance-operations/launch/file-system-in-wrong-region",
            "One or more file systems are in another region than the instance.",
        )
    return (
        [row["name"] for row in found],
        [
            {"mount_point": mounts.get(row["id"], row["mount_point"]), "file_system_id": row["id"]}
            for row in found
        ],
    )


def _add_faults(call: Call, machine: Machine) -> None:
    boot = call.settings.boot_s
    if fault := call.fault("goes_unhealthy"):
        machine.unhealthy_at = call.now + boot + fault.number("after_s", 0)
    if fault := call.fault("preempted"):
        machine.preempted_at = call.now + boot + fault.number("after_s", 0)
    if fault := call.fault("unknown_state"):
        machine.reported_status = fault.text("status", "migrating")
    machine.unusable = call.fault("unusable") is not None
