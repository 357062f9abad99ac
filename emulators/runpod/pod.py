"""One pod: its record, and how the API shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

from emulators.clock import rfc3339

ACTIONS = {
    "PROVISIONING": ["stop", "terminate"],
    "STARTING": ["stop", "terminate"],
    "RUNNING": ["stop", "restart", "terminate"],
    "EXITED": ["start", "terminate"],
    "ERROR": ["start", "terminate"],
    "TERMINATED": [],
}

BOOTING = frozenset({"PROVISIONING", "STARTING"})
"""Phases of a pod that holds its GPUs and does not serve yet."""
HOLDING = BOOTING | {"RUNNING"}
"""Phases in which a pod holds its GPUs and costs money."""


@dataclass(slots=True)
class Pod:
    """A pod's record; times are emulated seconds since the epoch.

    Attributes:
        phase: PROVISIONING, STARTING, RUNNING (serves), EXITED, ERROR or TERMINATED.
        rate: USD per hour while it holds its GPUs.
        ready_at: When this boot ends; None: never (stuck).
        listed_at: When it appears in lists.
        exit_at: When its container exits; None: never.
        ended_at: When it ended, or when the empty balance found it stopped.
        gone_at: When an ended pod disappears from lists.
        ports_public: Private TCP port -> public port of this boot.
        reported_status: What the API says instead of the true status; empty: the truth.
        unusable: The proxy answers 500 although the pod says it is ready.
        charges: [from, to, USD per hour] of earlier boots; `charged_from` is when the present one began to
            cost.
        interruptible: Rented with a bid: RunPod may take it back at any time.
        stop_at: When it is stopped by itself; None: never.
        terminate_at: When it is ended by itself; None: never.
        reclaim_at: When RunPod takes it back; None: never.
        boots: Counts starts, so that what was due in an earlier boot is not done in a later one.
        log: [time, source, line]; `log_dropped` older lines are gone.
    """

    id: str
    account: str
    name: str
    image: str
    created_at: float
    phase: str = "PROVISIONING"
    args: str = ""
    disk: int = 20
    mounts: dict[str, Any] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    registry: str | None = None
    gpu_id: str = ""
    gpu_count: int = 0
    cpu: dict[str, Any] | None = None
    cloud: str = "SECURE"
    data_center: str = ""
    cuda_version: str | None = None
    locked: bool = False
    global_networking: bool = False
    rate: float = 0.0
    boot_at: float = 0.0
    boot_s: float = 0.0
    ready_at: float | None = None
    listed_at: float = 0.0
    started_at: float | None = None
    exit_at: float | None = None
    exit_to: str = "EXITED"
    ended_at: float | None = None
    gone_at: float | None = None
    end_reason: str = ""
    ports_public: dict[str, int] = field(default_factory=dict)
    reported_status: str = ""
    unusable: bool = False
    charges: list[list[float]] = field(default_factory=list)
    charged_from: float | None = None
    interruptible: bool = False
    stop_at: float | None = None
    terminate_at: float | None = None
    reclaim_at: float | None = None
    boots: int = 0
    log: list[list[Any]] = field(default_factory=list)
    log_dropped: int = 0

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self.phase == "RUNNING"

    def private_ports(self, kind: str) -> list[int]:
        """The ports of kind `http` or `tcp`."""
        return [int(port.split("/")[0]) for port in self.ports if port.endswith(f"/{kind}")]

    def status(self, observed: bool) -> str:
        """The status as the API shows it: recorded answers had RUNNING from the first on."""
        if self.reported_status:
            return self.reported_status
        return "RUNNING" if observed and self.phase in BOOTING else self.phase

    def cost(self, observed: bool) -> float:
        """USD per hour as the API shows it: recorded answers kept a cost on stopped pods."""
        if self.phase in HOLDING or (observed and self.phase == "EXITED"):
            return self.rate
        return 0.0

    @property
    def disk_gb(self) -> int:
        """GB of container disk and of the volume on its host."""
        return self.disk + self.volume_gb

    @property
    def volume_gb(self) -> int:
        """GB of the volume on its host, which outlives a stop."""
        return int(self.mounts.get("persistent", {}).get("size", 0))

    def all_charges(self, now: float) -> list[list[float]]:
        """The charges so far, the running one up to now included."""
        return (
            self.charges
            if self.charged_from is None
            else [*self.charges, [self.charged_from, now, self.rate]]
        )

    def total_spent(self, now: float) -> float:
        """USD so far, disks aside."""
        return sum((end - begin) * rate / 3600 for begin, end, rate in self.all_charges(now))

    def record(self) -> dict[str, Any]:
        """For the store."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(one.name for one in fields(Pod))


def cuts(pod: Pod, *, observed: bool, tcp_host: str, skew: float) -> tuple[bytes, bytes]:
    """The pod as the API shows it, cut in two where the uptime goes; no second part without runtime.

    Cut, so that a list of a thousand pods joins ready-made bytes instead of writing a thousand objects.

    Args:
        pod: The pod.
        observed: Which mode.
        tcp_host: Address at which its public TCP ports are.
        skew: Seconds added to time stamps.
    """
    status = pod.status(observed)
    view: dict[str, Any] = {
        "id": pod.id,
        "name": pod.name,
        "status": status,
        "actions": ACTIONS.get(status, []),
        "image": pod.image,
        "args": pod.args,
        "disk": pod.disk,
        "mounts": pod.mounts,
        "ports": pod.ports,
        "env": pod.env,
        "registry": pod.registry,
    }
    if pod.cpu is None:
        view["gpu"] = {"id": pod.gpu_id, "count": pod.gpu_count}
    else:
        view["cpu"] = pod.cpu
    user = f"{pod.id}-64411eb2"
    ssh: dict[str, Any] = {
        "proxy": {
            "host": "ssh.runpod.io",
            "port": 22,
            "username": user,
            "command": f"ssh {user}@ssh.runpod.io",
        },
        "direct": None,
    }
    if pod.ready and "22" in pod.ports_public:
        port = pod.ports_public["22"]
        ssh["direct"] = {
            "host": tcp_host,
            "port": port,
            "username": "root",
            "command": f"ssh root@{tcp_host} -p {port}",
        }
    networking: dict[str, Any] = {"enabled": pod.global_networking}
    if pod.global_networking:
        networking |= {"ip": "10.0.0.2", "internalDns": f"{pod.id}.runpod.internal"}
    view |= {
        "cloud": pod.cloud,
        "dataCenterId": pod.data_center,
        "cudaVersion": pod.cuda_version,
        "ssh": ssh,
        "template": None,
        "cost": round(pod.cost(observed), 4),
        "locked": pod.locked,
        "globalNetworking": networking,
        "createdAt": rfc3339(pod.created_at + skew),
        "startedAt": None if pod.started_at is None else rfc3339(pod.started_at + skew),
    }
    head = json.dumps(view, separators=(",", ":"), ensure_ascii=False)[:-1]
    if not pod.ready:
        return f'{head},"runtime":null}}'.encode(), b""
    ports = [
        {"private": int(private), "public": public, "type": "tcp", "ip": tcp_host}
        for private, public in pod.ports_public.items()
    ]
    ports += [
        {"private": port, "public": 60000 + index, "type": "http", "ip": "100.65.14.155"}
        for index, port in enumerate(pod.private_ports("http"))
    ]
    rest = {
        "gpus": [{"util": 0, "memoryUtil": 0}] * pod.gpu_count,
        "cpu": {"util": 3},
        "memory": {"util": 5},
        "ports": ports,
    }
    tail = json.dumps(rest, separators=(",", ":"))[1:]
    return f'{head},"runtime":{{"uptime":'.encode(), f",{tail}}}".encode()
