"""A pod as a normalised instance."""

from __future__ import annotations

from datetime import UTC

from gpu_clouds import catalog
from gpu_clouds.models import Endpoint, Instance, InstanceState
from gpu_clouds.runpod.models import Pod

PROXY = "https://{id}-{port}.proxy.runpod.net"
"""How an http port is reached, by RunPod's documentation."""

_STATES = {
    "PROVISIONING": InstanceState.PENDING,
    "STARTING": InstanceState.PENDING,
    "RUNNING": InstanceState.RUNNING,
    "EXITED": InstanceState.STOPPED,
    "ERROR": InstanceState.FAILED,
    "TERMINATED": InstanceState.GONE,
}
_DETAILS = {
    "EXITED": "stopped, ended by itself, or out of credit; RunPod does not say which",
    "ERROR": "RunPod reports an error and gives no reason",
}


def instance(pod: Pod, proxy: str) -> Instance:
    """The pod in the words that all clouds share.

    Args:
        pod: As RunPod shows it.
        proxy: How an http port is reached, with `{id}` and `{port}`.
    """
    state = _STATES.get(pod.status, InstanceState.UNKNOWN)
    asked = [port for port in map(_port, pod.ports) if port is not None]
    endpoints: tuple[Endpoint, ...] = ()
    if state is InstanceState.RUNNING:
        endpoints = tuple(
            endpoint for endpoint in (_endpoint(pod, *port, proxy) for port in asked) if endpoint is not None
        )
        # Recorded: RUNNING at once, while the image is still being pulled and there is neither runtime nor
        # address.
        if _up(pod) and len(endpoints) == len(asked):
            state = InstanceState.READY
    created = pod.created_at
    if created is not None and created.tzinfo is None:
        created = created.replace(tzinfo=UTC)
    native_gpu = pod.gpu.id if pod.gpu else ""
    costs = state in (InstanceState.PENDING, InstanceState.RUNNING, InstanceState.READY)
    return Instance(
        id=pod.id,
        name=pod.name,
        cloud="runpod",
        state=state,
        native_state=pod.status,
        region=pod.data_center_id,
        gpu=catalog.canonical_gpu("runpod", native_gpu) or native_gpu,
        gpu_count=(1 if pod.gpu.count is None else pod.gpu.count) if pod.gpu else 0,
        # A stopped pod still shows the price of a running one.
        hourly_usd=pod.cost if costs else None,
        endpoints=endpoints,
        ssh=_ssh(pod),
        image=pod.image,
        created_at=created,
        detail=_DETAILS.get(pod.status, ""),
    )


def gone(pod_id: str) -> Instance:
    """A pod that RunPod does not know any more."""
    return Instance(id=pod_id, name="", cloud="runpod", state=InstanceState.GONE, native_state="")


def _up(pod: Pod) -> bool:
    if pod.ssh is not None and pod.ssh.direct is not None:
        return True
    return pod.runtime is not None and (bool(pod.runtime.ports) or pod.runtime.uptime is not None)


def _port(text: str) -> tuple[int, str] | None:
    number, _, protocol = text.partition("/")
    return (int(number), protocol or "tcp") if number.isascii() and number.isdigit() else None


def _endpoint(pod: Pod, port: int, protocol: str, proxy: str) -> Endpoint | None:
    """How an asked port is reached; None while it is not yet.

    An http port has its address from the start, through the proxy; it does not appear in the runtime's ports
    by its own number. A tcp port gets a public address when the container starts, and another one at each
    start.
    """
    if protocol == "http":
        url = proxy.replace("{id}", pod.id).replace("{port}", str(port))
        return Endpoint(port, protocol, url) if _up(pod) else None
    for mapped in pod.runtime.ports if pod.runtime else ():
        if mapped.private == port and mapped.type == protocol and mapped.public and mapped.ip:
            return Endpoint(port, protocol, f"{protocol}://{_host(mapped.ip)}:{mapped.public}")
    direct = pod.ssh.direct if pod.ssh else None
    if port == 22 and direct is not None and direct.host and direct.port:
        return Endpoint(port, protocol, f"{protocol}://{_host(direct.host)}:{direct.port}")
    return None


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _ssh(pod: Pod) -> str:
    for way in (pod.ssh.direct, pod.ssh.proxy) if pod.ssh else ():
        if way is not None and way.host and way.username:
            return f"{way.username}@{_host(way.host)}:{way.port or 22}"
    return ""
