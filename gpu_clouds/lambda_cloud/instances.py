"""A Lambda instance as a normalised instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from gpu_clouds.lambda_cloud.models import Machine
from gpu_clouds.lambda_cloud.types import gpus_of
from gpu_clouds.marker import Marker
from gpu_clouds.models import Endpoint, Instance, InstanceState

MARKER_TAG = "gpuplane-marker"
PORTS_TAG = "gpuplane-ports"
_PORTS_IN_A_TAG = 10
"""A tag's value has at most 128 characters."""
_SSH_PORT = 22

_STATES = {
    "booting": InstanceState.PENDING,
    "active": InstanceState.RUNNING,
    "unhealthy": InstanceState.FAILED,
    "terminating": InstanceState.DELETING,
    "terminated": InstanceState.GONE,
    "preempted": InstanceState.GONE,
}
_DETAILS = {
    "unhealthy": "Lambda calls it unhealthy, which may pass; it costs money all the same",
    "preempted": "Lambda has taken it away",
}


def tags(name: str, ports: Sequence[tuple[int, str]]) -> list[dict[str, str]]:
    """The tags of a launch: the marker, and the ports, which Lambda shows nowhere else."""
    found = [{"key": MARKER_TAG, "value": name}]
    for start in range(0, len(ports), _PORTS_IN_A_TAG):
        few = ports[start : start + _PORTS_IN_A_TAG]
        value = ",".join(f"{port}/{protocol}" for port, protocol in few)
        found.append({"key": f"{PORTS_TAG}-{start // _PORTS_IN_A_TAG}", "value": value})
    return found


def instance(machine: Machine, proxy: str) -> Instance:
    """The machine in the words that all clouds share.

    Args:
        machine: As Lambda shows it.
        proxy: How a port is reached instead of by the machine's address, with `{id}` and `{port}`; empty: by
            the address.
    """
    state = _STATES.get(machine.status, InstanceState.UNKNOWN)
    by_key = {tag.key: tag.value for tag in machine.tags}
    kind = machine.instance_type
    gpu, count = gpus_of(kind.name) if kind else ("", 0)
    if kind and kind.specs and kind.specs.gpus is not None:
        count = kind.specs.gpus
    if state is InstanceState.RUNNING and machine.ip:
        state = InstanceState.READY
    cents = kind.price_cents_per_hour if kind else None
    over = state in (InstanceState.GONE, InstanceState.DELETING)
    return Instance(
        id=machine.id,
        name=_name(machine, by_key),
        cloud="lambda",
        state=state,
        native_state=machine.status,
        region=machine.region.name if machine.region else "",
        gpu=gpu,
        gpu_count=count,
        hourly_usd=None if cents is None or over else cents / 100,
        endpoints=_endpoints(machine, by_key, proxy) if machine.ip and not over else (),
        ssh=f"ubuntu@{machine.ip}:{_SSH_PORT}" if machine.ip and not over else "",
        detail=_DETAILS.get(machine.status, ""),
    )


def gone(instance_id: str) -> Instance:
    """An instance that Lambda does not know any more."""
    return Instance(id=instance_id, name="", cloud="lambda", state=InstanceState.GONE, native_state="")


def _name(machine: Machine, by_key: Mapping[str, str]) -> str:
    """The marker, wherever it is: somebody may have given the machine another name in Lambda's console."""
    tagged = by_key.get(MARKER_TAG, "")
    return tagged if Marker.parse(machine.name) is None and Marker.parse(tagged) else machine.name


def _endpoints(machine: Machine, by_key: Mapping[str, str], proxy: str) -> tuple[Endpoint, ...]:
    texts = [
        text
        for key, value in sorted(by_key.items())
        if key.startswith(f"{PORTS_TAG}-")
        for text in value.split(",")
    ]
    found = []
    for text in texts:
        number, _, protocol = text.partition("/")
        if number.isascii() and number.isdigit() and protocol in ("http", "tcp"):
            found.append(Endpoint(int(number), protocol, _url(machine, int(number), protocol, proxy)))
    return tuple(found)


def _url(machine: Machine, port: int, protocol: str, proxy: str) -> str:
    host = f"[{machine.ip}]" if ":" in machine.ip else machine.ip
    if not proxy:
        return f"{protocol}://{host}:{port}"
    url = proxy.replace("{id}", machine.id).replace("{ip}", host).replace("{port}", str(port))
    return url if protocol == "http" else f"tcp://{urlsplit(url).netloc}"
