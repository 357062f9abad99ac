"""A machine as a normalised instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC

from gpu_clouds.models import Endpoint, Instance, InstanceState
from gpu_clouds.paperspace.errors import is_capacity
from gpu_clouds.paperspace.events import CREATING, UNKNOWN, Creation, Verdict
from gpu_clouds.paperspace.machine_types import gpu_of, region_of
from gpu_clouds.paperspace.models import Machine
from gpu_clouds.paperspace.script import Port

ADDRESS = "http://{ip}:{port}"
"""How an http port is reached: nothing is in front of a machine, and so nothing encrypts."""

_STATES = {
    "provisioning": InstanceState.PENDING,
    "starting": InstanceState.PENDING,
    "serviceready": InstanceState.PENDING,
    "restarting": InstanceState.PENDING,
    "upgrading": InstanceState.PENDING,
    "ready": InstanceState.RUNNING,
    "stopping": InstanceState.STOPPING,
    "off": InstanceState.STOPPED,
}
_NO_MACHINE = "ended off while it was being made: no free machine"


def instance(
    machine: Machine, ports: Sequence[Port] = (), verdict: Verdict = UNKNOWN, address: str = ADDRESS
) -> Instance:
    """The machine in the words that all clouds share.

    Args:
        machine: As Paperspace shows it.
        ports: The ports that were asked for.
        verdict: What its events say of its making.
        address: How an http port is reached, with `{ip}` or `{id}`, and `{port}`.
    """
    state = _STATES.get(machine.state, InstanceState.UNKNOWN)
    detail, sold_out = "", False
    making = machine.state == "off" or machine.state in CREATING
    if making and verdict.creation is Creation.FAILED:
        state, detail = InstanceState.FAILED, verdict.error or _NO_MACHINE
        sold_out = is_capacity(verdict.error)
    elif machine.state == "off" and verdict.creation is Creation.RUNNING:
        state, detail, sold_out = InstanceState.FAILED, _NO_MACHINE, True
    endpoints: tuple[Endpoint, ...] = ()
    if state is InstanceState.RUNNING and machine.public_ip:
        state = InstanceState.READY
        endpoints = tuple(_endpoint(machine, number, protocol, address) for number, protocol in ports)
    if machine.dt_deleted:
        state, detail, sold_out = InstanceState.GONE, "", False
    created = machine.dt_created
    if created is not None and created.tzinfo is None:
        created = created.replace(tzinfo=UTC)
    gpu, count = gpu_of(machine)
    costs = machine.state not in ("off", "") and not machine.dt_deleted
    return Instance(
        id=machine.id,
        name=machine.name,
        cloud="paperspace",
        state=state,
        native_state=machine.state,
        region=region_of(machine.region),
        gpu=gpu,
        gpu_count=count,
        # Charged while it is not off; the disk goes on costing, and shows in another field.
        hourly_usd=machine.usage_rate if costs else None,
        endpoints=endpoints,
        ssh=f"paperspace@{machine.public_ip}:22"
        if machine.public_ip and state is InstanceState.READY
        else "",
        created_at=created,
        detail=detail,
        sold_out=sold_out,
    )


def ending(shown: Instance) -> Instance:
    """The same machine after its delete was accepted: the API has no word for that state."""
    return shown if shown.state is InstanceState.GONE else replace(shown, state=InstanceState.DELETING)


def left_over(instance_id: str, name: str, what: str) -> Instance:
    """Something that a machine, or a launch that made none, has left behind and that a delete has to end."""
    return Instance(
        id=instance_id,
        name=name,
        cloud="paperspace",
        state=InstanceState.FAILED,
        native_state="left over",
        detail=f"the machine is gone, its {what} is still there",
        remains=True,
    )


def gone(machine_id: str) -> Instance:
    """A machine that Paperspace does not know any more."""
    return Instance(id=machine_id, name="", cloud="paperspace", state=InstanceState.GONE, native_state="")


def _endpoint(machine: Machine, port: int, protocol: str, address: str) -> Endpoint:
    ip = f"[{machine.public_ip}]" if ":" in machine.public_ip else machine.public_ip
    if protocol == "tcp":
        return Endpoint(port, protocol, f"tcp://{ip}:{port}")
    url = address.replace("{ip}", ip).replace("{id}", machine.id).replace("{port}", str(port))
    return Endpoint(port, protocol, url)
