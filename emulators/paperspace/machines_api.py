"""Machines and their events."""

from __future__ import annotations

from typing import Any

from emulators.http import Answer, json_response
from emulators.paperspace import bodies
from emulators.paperspace.call import Call
from emulators.paperspace.catalogue import MachineType, os_templates, region_of, type_of
from emulators.paperspace.machine import BOOTING, Event, Machine, event_view, machine_view
from emulators.paperspace.problems import BAD_STANDING, BUSY, MACHINE_LIMIT, NO_CAPACITY, Refusal
from emulators.paperspace.settings import FAILURES

_KEPT_OPTIONS = (
    "autoShutdownEnabled",
    "autoShutdownTimeout",
    "autoShutdownForce",
    "autoSnapshotEnabled",
    "autoSnapshotFrequency",
    "autoSnapshotSaveCount",
    "restorePointEnabled",
    "restorePointFrequency",
)


async def list_machines(call: Call) -> Answer:
    """The team's machines. The filter by name finds parts of names: nobody knows how exact it is."""
    query = call.request.query
    found = call.fleet.listed(call.owner)
    if name := query.get("name"):
        found = [one for one in found if name in one.name]
    if region := query.get("region"):
        found = [one for one in found if one.region == region_of(region)]
    if label := query.get("machineType"):
        found = [one for one in found if one.machine_type.lower() == label.lower()]
    return call.page([machine_view(one, call.settings) for one in found])


async def get_machine(call: Call) -> Answer:
    """One machine, bare."""
    return json_response(machine_view(call.machine(), call.settings))


async def create_machine(call: Call) -> Answer:
    """Takes a machine in; that there is none free shows later."""
    body = call.body(bodies.CREATE_MACHINE)
    kind, region = _checked_place(body)
    _check_template(call, body["templateId"], kind)
    script = _checked_script(call, body.get("startupScriptId"))
    if (network := body.get("networkId")) and call.fleet.objects.get(
        "private-networks", call.owner, network
    ) is None:
        raise Refusal(404, "Private network not found")
    if fault := call.fault("create_refused"):
        raise Refusal(int(fault.number("status", 400)), fault.text("message", "Machine could not be created"))
    if not call.account.good_standing:
        raise Refusal(403, BAD_STANDING)
    limit = call.account.max_machines
    if limit is not None and call.fleet.living(call.owner) >= limit:
        raise Refusal(403, MACHINE_LIMIT)
    failure = "" if call.fleet.free(kind.label, region) else call.settings.capacity_failure
    if fault := call.fault("no_capacity"):
        failure = fault.text("failure", call.settings.capacity_failure)
    if failure == "refused":
        raise Refusal(400, NO_CAPACITY.format(label=kind.label, region=region.upper()))
    if failure and failure not in FAILURES:
        failure = call.settings.capacity_failure
    machine = Machine(
        id=call.fleet.new_id("ps"),
        account=call.owner,
        name=body["name"],
        machine_type=kind.label,
        template_id=body["templateId"],
        region=region,
        disk_gb=body["diskSize"],
        created_at=call.now,
        public_ip_type=body.get("publicIpType", "none"),
        network_id=network,
        options={name: body[name] for name in _KEPT_OPTIONS if name in body},
        script_id=None if script is None else script["id"],
        rate=call.fleet.price(kind.label),
        unusable=call.fault("unusable") is not None,
    )
    if fault := call.fault("unknown_state"):
        machine.reported_state = fault.text("state", "hibernating")
    if machine.public_ip_type == "static":
        machine.public_ip = _claim(call, region, machine.id)
    stuck = call.settings.provision_forever or call.fault("provision_forever") is not None
    event = call.fleet.add(machine, failure=failure, stuck=stuck)
    if script is not None:
        script["machines"].append(machine.id)
        call.fleet.objects.save("startup-scripts", script)
    if body.get("takeInitialSnapshot"):
        row = {"name": "initial", "machineId": machine.id, "created_at": call.now}
        call.fleet.objects.add("snapshots", call.owner, row)
    return _made(call, machine, event)


async def update_machine(call: Call) -> Answer:
    """Changes a machine; a larger disk or another type is asynchronous work."""
    body = call.body(bodies.UPDATE_MACHINE)
    machine = _living(call)
    resize = False
    if "diskSize" in body and body["diskSize"] != machine.disk_gb:
        if body["diskSize"] < machine.disk_gb:
            raise Refusal(400, "The disk of a machine can not be made smaller.")
        resize = True
    if "machineType" in body:
        kind = type_of(body["machineType"])
        if kind is None:
            raise Refusal(400, "Unknown machine type")
        resize = resize or kind.label != machine.machine_type
    if resize and machine.state not in ("off", "ready"):
        raise Refusal(409, BUSY.format(state=machine.state))
    if "machineType" in body and kind is not None:
        machine.machine_type = kind.label
    machine.disk_gb = body.get("diskSize", machine.disk_gb)
    machine.name = body.get("name", machine.name)
    machine.options |= {name: body[name] for name in _KEPT_OPTIONS if name in body}
    if resize:
        return _made(call, machine, call.fleet.upgrade(machine))
    call.fleet.touch(machine)
    return json_response({"data": machine_view(machine, call.settings)})


async def delete_machine(call: Call) -> Answer:
    """Ends a machine; what belongs to it stays."""
    machine = _living(call)
    if call.fault("delete_refused"):
        raise Refusal(409, BUSY.format(state=machine.state))
    if machine.state in BOOTING and not call.settings.delete_while_provisioning:
        raise Refusal(409, BUSY.format(state=machine.state))
    return _made(call, machine, call.fleet.delete(machine))


async def start_machine(call: Call) -> Answer:
    """Starts a machine that is off."""
    call.body(bodies.NOTHING, optional=True)
    machine = _living(call)
    conflict = call.fault("start_conflict") is not None
    if conflict or (machine.state in ("starting", "stopping") and call.settings.start_conflict):
        raise Refusal(409, BUSY.format(state="starting" if conflict else machine.state))
    if machine.state != "off":
        raise Refusal(400, f"This machine is {machine.state} and can not be started.")
    free = call.fleet.free(machine.machine_type, machine.region)
    refused = call.fault("start_no_capacity") is not None or not free
    return _made(call, machine, call.fleet.start(machine, refused=refused))


async def stop_machine(call: Call) -> Answer:
    """Stops a machine."""
    call.body(bodies.NOTHING, optional=True)
    machine = _living(call)
    if machine.state != "ready":
        raise Refusal(409, BUSY.format(state=machine.state))
    return _made(call, machine, call.fleet.stop(machine))


async def restart_machine(call: Call) -> Answer:
    """Restarts a machine."""
    call.body(bodies.NOTHING, optional=True)
    machine = _living(call)
    if machine.state != "ready":
        raise Refusal(409, BUSY.format(state=machine.state))
    return _made(call, machine, call.fleet.restart(machine))


async def list_events(call: Call) -> Answer:
    """Events of a machine, or of all."""
    events = call.fleet.events(call.owner, call.request.query.get("machineId"))
    return call.page([event_view(one, call.settings) for one in events])


async def get_event(call: Call) -> Answer:
    """One event, bare."""
    event = call.fleet.event(call.owner, call.id)
    if event is None:
        raise Refusal(404, "Machine event not found")
    return json_response(event_view(event, call.settings))


def _made(call: Call, machine: Machine, event: Event) -> Answer:
    return json_response(
        {"data": machine_view(machine, call.settings), "event": event_view(event, call.settings)}
    )


def _living(call: Call) -> Machine:
    machine = call.machine()
    if machine.deleted_at is not None:
        raise Refusal(404, "Machine not found")
    return machine


def _checked_place(body: dict[str, Any]) -> tuple[MachineType, str]:
    kind, region = type_of(body["machineType"]), region_of(body["region"])
    if kind is None:
        raise Refusal(400, "Input validation failed", ["machineType: unknown machine type"])
    if region is None:
        raise Refusal(400, "Input validation failed", ["region: unknown region"])
    if region not in kind.regions:
        raise Refusal(400, f"Machine type {kind.label} is not offered in {region.upper()}.")
    return kind, region


def _check_template(call: Call, template_id: str, kind: MachineType) -> None:
    if call.fleet.objects.get("custom-templates", call.owner, template_id) is not None:
        return
    template = next((one for one in os_templates() if one["id"] == template_id), None)
    if template is None:
        raise Refusal(404, "Template not found")
    if kind.label not in template["types"]:  # type: ignore[operator]  # a list of labels
        raise Refusal(400, "The template can not be used with this machine type.")


def _checked_script(call: Call, script_id: str | None) -> dict[str, Any] | None:
    if not script_id:
        return None
    script = call.fleet.objects.get("startup-scripts", call.owner, script_id)
    if script is None:
        raise Refusal(404, "Startup script not found")
    return script


def _claim(call: Call, region: str, machine_id: str) -> str:
    ip = call.fleet.address()
    row = {"region": region, "machineId": machine_id, "created_at": call.now}
    call.fleet.objects.add("public-ips", call.owner, row, ip)
    return ip
