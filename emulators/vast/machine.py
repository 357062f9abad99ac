"""One rented instance: its record, its life, and how the API shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from emulators.node_tls import served_certificate
from emulators.vast.settings import Settings


@dataclass(slots=True)
class Machine:
    """An instance's record; times are emulated seconds since the epoch.

    Attributes:
        ask_id: The offer that it was rented by.
        rate: USD per hour while it is not stopped.
        is_bid: Interruptible.
        env: Environment of the container, and `-p …` for its ports.
        stopped: Stopped by the cloud: outbid, or its bid was too low from the start.
        trouble: `stuck`, `fails` or `unusable`; empty: none.
        reported_status: What the API says instead of the true status; empty: the truth.
        deleted_at: When it was destroyed.
        spent: USD, once it has ended.
        entrypoint: What runs instead of the image's own entry point; empty: nothing does.
        real_ports: Port of the container -> number of the port that is open for it on 127.0.0.1.
    """

    id: int
    account: str
    label: str
    ask_id: int
    gpu_name: str
    num_gpus: int
    geolocation: str
    rate: float
    is_bid: bool
    image: str
    created_at: float
    env: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    stopped: bool = False
    trouble: str = ""
    reported_status: str = ""
    deleted_at: float | None = None
    spent: float = 0.0
    entrypoint: str = ""
    real_ports: dict[str, int] = field(default_factory=dict)

    def status(self, now: float, settings: Settings) -> str | None:
        """Its true status; None: there is none yet."""
        age = now - self.created_at
        if self.stopped or self.outbid(now, settings):
            return "exited"
        if age < settings.created_s:
            return None
        if self.trouble == "stuck" or age < settings.ready_after_s:
            return "loading"
        return "exited" if self.trouble == "fails" else "running"

    def outbid(self, now: float, settings: Settings) -> bool:
        """Whether somebody has bid more by now."""
        after = settings.outbid_after_s
        return self.is_bid and after is not None and now >= self.created_at + settings.ready_after_s + after

    def serves(self, now: float, settings: Settings) -> bool:
        """Whether its ports answer."""
        return self.deleted_at is None and self.status(now, settings) == "running"

    def cost(self, now: float) -> float:
        """USD so far; a stopped one costs its disk only, which is not counted."""
        return (
            self.spent if self.deleted_at is not None else self.rate * max(0.0, now - self.created_at) / 3600
        )

    @property
    def certificate(self) -> str:
        """Key and certificate of its server, see `served_certificate`."""
        shell = self.entrypoint.rpartition("/")[2] in ("sh", "bash") and self.arguments[:1] == ["-c"]
        script = self.arguments[1] if shell and len(self.arguments) > 1 else ""
        return served_certificate(script, self.env, self.arguments)

    @property
    def ports(self) -> list[int]:
        """Ports that the container publishes."""
        published = (name.removeprefix("-p ") for name in self.env if name.startswith("-p "))
        return [int(one.rpartition(":")[2]) for one in published]


def view(machine: Machine, now: float, settings: Settings) -> dict[str, Any]:
    """An instance as the API's JSON, environment included, as the real one shows it."""
    status = machine.status(now, settings)
    stopped = status == "exited" and machine.trouble != "fails"
    running = status == "running"
    host = 10 + machine.id % 200
    return {
        "id": machine.id,
        "label": machine.label,
        "actual_status": machine.reported_status or status,
        "intended_status": "stopped" if machine.stopped else "running",
        "cur_state": "stopped" if stopped else "running",
        "next_state": "stopped" if stopped else "running",
        "status_msg": "Error: container exited" if machine.trouble == "fails" else None,
        "gpu_name": machine.gpu_name,
        "num_gpus": machine.num_gpus,
        "geolocation": machine.geolocation,
        "dph_total": machine.rate,
        "is_bid": machine.is_bid,
        "image_uuid": machine.image,
        "start_date": machine.created_at + settings.clock_skew_s,
        "public_ipaddr": ("127.0.0.1" if settings.real_ports else f"198.51.100.{host}") if running else None,
        "ports": {
            f"{port}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(_outside(machine, port))}]
            for port in machine.ports
        }
        if running
        else {},
        "ssh_host": f"ssh{machine.id % 9}.vast.example",
        "ssh_port": 10000 + machine.id % 20000,
        "extra_env": [[name, value] for name, value in machine.env.items()],
    }


def summary(machine: Machine, now: float, settings: Settings) -> dict[str, Any]:
    """An instance for state dumps: no environment, which may hold secrets."""
    return {
        "id": str(machine.id),
        "account": machine.account,
        "name": machine.label,
        "status": machine.status(now, settings),
        "gpu_name": machine.gpu_name,
        "country": machine.geolocation.rpartition(",")[2].strip(),
        "usd_per_hour": machine.rate,
        "is_bid": machine.is_bid,
        "created_at": machine.created_at,
        "deleted_at": machine.deleted_at,
    }


def _outside(machine: Machine, port: int) -> int:
    return machine.real_ports.get(str(port), 40000 + port % 20000)
