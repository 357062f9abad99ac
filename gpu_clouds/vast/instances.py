"""An instance of the cloud in the words that all clouds share."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from gpu_clouds import catalog
from gpu_clouds.models import Endpoint, Instance, InstanceState
from gpu_clouds.vast import INFO
from gpu_clouds.vast.market import country
from gpu_clouds.vast.models import Machine

_SSH_PORT = 22
_STATES = {
    "": InstanceState.PENDING,  # null for the first seconds
    "created": InstanceState.PENDING,
    "loading": InstanceState.PENDING,
    "scheduling": InstanceState.PENDING,
    "running": InstanceState.RUNNING,
    "stopped": InstanceState.STOPPED,
    "exited": InstanceState.STOPPED,
}


def instance(machine: Machine, proxy: str) -> Instance:
    """The machine in the words that all clouds share.

    Args:
        machine: As Vast.ai shows it.
        proxy: How a port is reached instead of by the host's address, with `{id}` and `{port}`; empty: by the
            address.
    """
    state = _STATES.get(machine.actual_status, InstanceState.UNKNOWN)
    if machine.cur_state == "stopped" and state is InstanceState.PENDING:
        state = InstanceState.STOPPED  # a bid that was too low: it never gets a status
    endpoints = _endpoints(machine, proxy) if state is InstanceState.RUNNING else ()
    ready = state is InstanceState.RUNNING and bool(machine.public_ipaddr)
    ssh = next((one.url for one in endpoints if one.port == _SSH_PORT), "")
    paid = state in (InstanceState.PENDING, InstanceState.RUNNING, InstanceState.UNKNOWN)
    return Instance(
        id=str(machine.id),
        name=machine.label,
        cloud=INFO.name,
        state=InstanceState.READY if ready else state,
        native_state=machine.actual_status,
        region=country(machine.geolocation),
        gpu=catalog.canonical_gpu(INFO.name, machine.gpu_name) or machine.gpu_name,
        gpu_count=machine.num_gpus or 0,
        hourly_usd=machine.dph_total if paid else None,
        endpoints=endpoints,
        ssh=f"root@{urlsplit(ssh).netloc}" if ssh else "",
        image=machine.image_uuid,
        created_at=None if machine.start_date is None else datetime.fromtimestamp(machine.start_date, UTC),
        detail=_detail(machine, state),
    )


def gone(machine_id: str) -> Instance:
    """An instance that the cloud does not know any more."""
    return Instance(machine_id, "", INFO.name, InstanceState.GONE, "")


def _detail(machine: Machine, state: InstanceState) -> str:
    if state is not InstanceState.STOPPED:
        return ""
    return machine.status_msg or "stopped: outbid, its container has ended, or no credit is left"


def _endpoints(machine: Machine, proxy: str) -> tuple[Endpoint, ...]:
    found = []
    for name, bindings in sorted((machine.ports or {}).items()):
        number, _, protocol = name.partition("/")
        outside = next((one.host_port for one in bindings if one.host_port), "")
        if number.isascii() and number.isdigit() and protocol == "tcp" and outside and machine.public_ipaddr:
            spoken = "tcp" if int(number) == _SSH_PORT else "http"
            found.append(Endpoint(int(number), spoken, _url(machine, number, outside, spoken, proxy)))
    return tuple(found)


def _url(machine: Machine, port: str, outside: str, protocol: str, proxy: str) -> str:
    host = f"[{machine.public_ipaddr}]" if ":" in machine.public_ipaddr else machine.public_ipaddr
    if not proxy or protocol == "tcp":
        return f"{protocol}://{host}:{outside}"
    return proxy.replace("{id}", str(machine.id)).replace("{port}", port)
