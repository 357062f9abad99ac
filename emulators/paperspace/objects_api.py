"""Startup scripts, private networks, static addresses, snapshots, own templates: all outlive machines."""

from __future__ import annotations

from typing import Any

from emulators.http import Answer, json_response
from emulators.paperspace import bodies
from emulators.paperspace.call import Call, Handler
from emulators.paperspace.catalogue import region_of
from emulators.paperspace.machine import Machine, region_view, stamp
from emulators.paperspace.problems import NETWORK_IN_USE, Refusal

_NAMES = {
    "startup-scripts": "Startup script",
    "private-networks": "Private network",
    "public-ips": "Public IP",
    "snapshots": "Snapshot",
    "custom-templates": "Custom template",
}


def routes(family: str) -> dict[str, Handler]:
    """List, get and delete of a family, as far as it has them."""
    table: dict[str, Handler] = {
        f"GET /{family}": _lister(family),
        f"DELETE /{family}/{{id}}": _deleter(family),
    }
    if family != "public-ips":
        table[f"GET /{family}/{{id}}"] = _getter(family)
    return table


async def create_script(call: Call) -> Answer:
    """Takes in a script; its text is never shown again."""
    body = call.body(bodies.SCRIPT)
    row = {
        "name": body["name"],
        "script": body["script"],
        "description": body.get("description"),
        "isRunOnce": body.get("isRunOnce", False),
        "isEnabled": body.get("isEnabled", True),
        "machines": [],
        "created_at": call.now,
    }
    return _shown(call, "startup-scripts", call.fleet.objects.add("startup-scripts", call.owner, row))


async def update_script(call: Call) -> Answer:
    """Changes a script."""
    body = call.body(bodies.SCRIPT_UPDATE)
    return _changed(call, "startup-scripts", body)


async def assign_script(call: Call) -> Answer:
    """Gives a script to a machine."""
    machine = _machine(call, call.body(bodies.MACHINE_ID)["machineId"])
    row = _row(call, "startup-scripts")
    if machine.id not in row["machines"]:
        row["machines"].append(machine.id)
    call.fleet.objects.save("startup-scripts", row)
    return _shown(call, "startup-scripts", row)


async def unassign_script(call: Call) -> Answer:
    """Takes a script from a machine."""
    machine_id = call.body(bodies.MACHINE_ID)["machineId"]
    row = _row(call, "startup-scripts")
    row["machines"] = [one for one in row["machines"] if one != machine_id]
    call.fleet.objects.save("startup-scripts", row)
    return _shown(call, "startup-scripts", row)


async def create_network(call: Call) -> Answer:
    """Makes a private network."""
    body = call.body(bodies.NETWORK)
    row = {"name": body["name"], "region": _region(body["region"]), "created_at": call.now, "left_at": None}
    return _shown(call, "private-networks", call.fleet.objects.add("private-networks", call.owner, row))


async def update_network(call: Call) -> Answer:
    """Renames a private network."""
    return _changed(call, "private-networks", call.body(bodies.NAME))


async def claim_ip(call: Call) -> Answer:
    """Rents a static address."""
    body = call.body(bodies.CLAIM)
    row = {"region": _region(body["region"]), "machineId": None, "created_at": call.now}
    ip = call.fleet.address()
    return _shown(call, "public-ips", call.fleet.objects.add("public-ips", call.owner, row, ip))


async def assign_ip(call: Call) -> Answer:
    """Gives a static address to a machine, or takes it away."""
    machine_id = call.body(bodies.ASSIGN)["machineId"]
    row = _row(call, "public-ips")
    before = None if row["machineId"] is None else call.fleet.get(call.owner, row["machineId"])
    if before is not None:
        before.public_ip, before.public_ip_type = None, "none"
        call.fleet.touch(before)
    if machine_id is not None:
        machine = _machine(call, machine_id)
        machine.public_ip, machine.public_ip_type = row["id"], "static"
        call.fleet.touch(machine)
    row["machineId"] = machine_id
    call.fleet.objects.save("public-ips", row)
    return _shown(call, "public-ips", row)


async def create_snapshot(call: Call) -> Answer:
    """Copies a machine's disk."""
    body = call.body(bodies.NAMED_COPY)
    machine = _machine(call, body["machineId"])
    row = {"name": body["name"], "machineId": machine.id, "created_at": call.now}
    return _shown(call, "snapshots", call.fleet.objects.add("snapshots", call.owner, row))


async def update_snapshot(call: Call) -> Answer:
    """Renames a snapshot."""
    return _changed(call, "snapshots", call.body(bodies.NAME))


async def restore_snapshot(call: Call) -> Answer:
    """Puts a snapshot back on its machine, which restarts."""
    row = _row(call, "snapshots")
    machine = _machine(call, row["machineId"])
    if machine.state == "ready":
        call.fleet.restart(machine)
    return _shown(call, "snapshots", row)


async def create_template(call: Call) -> Answer:
    """Makes an own template of a machine."""
    body = call.body(bodies.NAMED_COPY)
    machine = _machine(call, body["machineId"])
    row = {"name": body["name"], "machineId": machine.id, "created_at": call.now}
    return _shown(call, "custom-templates", call.fleet.objects.add("custom-templates", call.owner, row))


async def update_template(call: Call) -> Answer:
    """Renames an own template."""
    return _changed(call, "custom-templates", call.body(bodies.NAME))


def _lister(family: str) -> Handler:
    async def handler(call: Call) -> Answer:
        """One page of a family."""
        rows = [_view(call, family, row) for row in call.fleet.objects.of(family, call.owner)]
        return call.page(rows, "ip" if family == "public-ips" else "id")

    return handler


def _getter(family: str) -> Handler:
    async def handler(call: Call) -> Answer:
        """One object, bare."""
        return _shown(call, family, _row(call, family))

    return handler


def _deleter(family: str) -> Handler:
    async def handler(call: Call) -> Answer:
        """Ends an object."""
        row = _row(call, family)
        if call.fault("delete_refused"):
            raise Refusal(409, f"{_NAMES[family]} is in use.")
        if family == "private-networks":
            _check_unused(call, row)
        if family == "public-ips" and row["machineId"] is not None:
            raise Refusal(409, "The public IP is assigned to a machine.")
        call.fleet.objects.remove(family, row["id"])
        return json_response({"ip" if family == "public-ips" else "id": row["id"]})

    return handler


def _check_unused(call: Call, row: dict[str, Any]) -> None:
    inside = any(one.network_id == row["id"] and one.deleted_at is None for one in call.fleet.all())
    left_at = row["left_at"]
    lag = call.settings.network_in_use_lag_s
    if inside or (left_at is not None and call.now - left_at < lag):
        raise Refusal(409, NETWORK_IN_USE)


def _row(call: Call, family: str) -> dict[str, Any]:
    row = call.fleet.objects.get(family, call.owner, call.id)
    if row is None:
        raise Refusal(404, f"{_NAMES[family]} not found")
    return row


def _machine(call: Call, machine_id: str) -> Machine:
    machine = call.fleet.get(call.owner, machine_id)
    if machine is None or machine.deleted_at is not None:
        raise Refusal(404, "Machine not found")
    return machine


def _changed(call: Call, family: str, changes: dict[str, Any]) -> Answer:
    row = _row(call, family)
    row.update(changes)
    call.fleet.objects.save(family, row)
    return _shown(call, family, row)


def _shown(call: Call, family: str, row: dict[str, Any]) -> Answer:
    return json_response(_view(call, family, row))


def _region(text: str) -> str:
    region = region_of(text)
    if region is None:
        raise Refusal(400, "Input validation failed", ["region: unknown region"])
    return region


def _view(call: Call, family: str, row: dict[str, Any]) -> dict[str, Any]:
    created = stamp(row["created_at"], call.settings.clock_skew_s)
    if family == "startup-scripts":
        return {
            "id": row["id"],
            "name": row["name"],
            "description": row["description"],
            "isEnabled": row["isEnabled"],
            "isRunOnce": row["isRunOnce"],
            "assignedMachineIds": list(row["machines"]) if call.settings.script_assignment else [],
            "dtCreated": created,
            "dtDeleted": None,
        }
    if family == "public-ips":
        return {
            "ip": row["id"],
            "region": region_view(row["region"], call.settings),
            "assignedMachineId": row["machineId"],
            "dtCreated": created,
        }
    if family == "private-networks":
        return {
            "id": row["id"],
            "name": row["name"],
            "region": region_view(row["region"], call.settings),
            "network": "10.64.0.0",
            "netmask": "255.255.255.0",
            "dtCreated": created,
            "dtDeleted": None,
        }
    return {"id": row["id"], "name": row["name"], "machineId": row["machineId"], "dtCreated": created}
