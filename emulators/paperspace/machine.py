"""One machine and one event: their records, and how the API shows them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from emulators.node_tls import NO_SERVER
from emulators.paperspace.catalogue import GB, LONG_REGIONS, TYPES
from emulators.paperspace.settings import Settings

BOOTING = frozenset({"provisioning", "starting", "serviceready", "restarting"})
"""States of a machine that is on its way to `ready`."""


@dataclass(slots=True)
class Machine:
    """A machine's record; times are emulated seconds since the epoch.

    Attributes:
        state: The true state, in the API's words.
        options: Fields that are only kept and shown again.
        script_id: The startup script that it was launched with.
        env: What that script set at boot.
        model: The model that what it started serves; empty where that does not tell.
        certificate: Key and certificate of that server, see `emulators.node_tls`.
        ports: Ports that its container publishes.
        booted: Whether it found its script, if it was launched with one.
        rate: USD per hour while it is not off.
        plan: What happens when: [time, what], in order.
        event_id: The event that the plan belongs to.
        listed_at: When it appears in lists.
        deleted_at: When its deletion ended.
        reported_state: What the API says instead of the true state; empty: the truth.
        unusable: Its ports answer 500 although it is ready.
        charged_from: Since when it costs money; None: it does not.
        spent: USD before that.
    """

    id: str
    account: str
    name: str
    machine_type: str
    template_id: str
    region: str
    disk_gb: float
    created_at: float
    modified_at: float = 0.0
    state: str = "provisioning"
    public_ip: str | None = None
    public_ip_type: str = "dynamic"
    network_id: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    script_id: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    model: str = ""
    certificate: str = field(default="", repr=False)
    ports: list[int] = field(default_factory=list)
    booted: bool = False
    rate: float = 0.0
    plan: list[list[Any]] = field(default_factory=list)
    event_id: str = ""
    listed_at: float = 0.0
    deleted_at: float | None = None
    reported_state: str = ""
    unusable: bool = False
    charged_from: float | None = None
    spent: float = 0.0

    @property
    def serves(self) -> bool:
        """Whether something answers on its ports."""
        started = self.booted and self.certificate != NO_SERVER
        return self.state == "ready" and self.deleted_at is None and (started or self.script_id is None)

    def record(self) -> dict[str, Any]:
        """As JSON, for the store."""
        return asdict(self)

    def total_spent(self, now: float) -> float:
        """USD that it has cost so far."""
        running = 0.0 if self.charged_from is None else (now - self.charged_from) / 3600 * self.rate
        return self.spent + running


@dataclass(slots=True)
class Event:
    """Something that is done to a machine."""

    id: str
    account: str
    machine_id: str
    name: str
    created_at: float
    state: str = "new"
    error: str | None = None
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.state in ("new", "in progress")

    def record(self) -> dict[str, Any]:
        """As JSON, for the store."""
        return asdict(self)


def stamp(seconds: float | None, skew: float = 0.0) -> str | None:
    """A time stamp as Paperspace writes it: `2026-11-21T08:00:00.000Z`."""
    if seconds is None:
        return None
    when = datetime.fromtimestamp(seconds + skew, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"


def machine_view(machine: Machine, settings: Settings) -> dict[str, Any]:
    """A machine as the API's JSON."""
    kind = TYPES[machine.machine_type]
    skew = settings.clock_skew_s
    accelerators = [
        {"name": kind.accelerator, "memory": kind.gpu_memory_gb * GB, "count": kind.gpus},
    ]
    options = machine.options
    return {
        "id": machine.id,
        "name": machine.name,
        "state": machine.reported_state or machine.state,
        "os": "Ubuntu 22.04",
        "machineType": machine.machine_type,
        "agentType": "Linux",
        "cpus": kind.cpus,
        "ram": kind.ram_gb * GB,
        "storageTotal": int(machine.disk_gb * GB),
        "storageUsed": 0,
        "accelerators": accelerators if kind.gpus else [],
        "region": region_view(machine.region, settings),
        "privateIp": None,
        "networkId": machine.network_id,
        "publicIp": "127.0.0.1" if machine.public_ip and settings.real_ports else machine.public_ip,
        "publicIpType": machine.public_ip_type,
        "autoShutdownEnabled": options.get("autoShutdownEnabled", False),
        "autoShutdownTimeout": options.get("autoShutdownTimeout"),
        "autoShutdownForce": options.get("autoShutdownForce"),
        "autoSnapshotEnabled": options.get("autoSnapshotEnabled", False),
        "autoSnapshotFrequency": options.get("autoSnapshotFrequency"),
        "autoSnapshotSaveCount": options.get("autoSnapshotSaveCount"),
        "updatesPending": False,
        "restorePointEnabled": options.get("restorePointEnabled", False),
        "restorePointFrequency": options.get("restorePointFrequency"),
        "restorePointSnapshotId": None,
        "usageRate": machine.rate,
        "storageRate": round(machine.disk_gb * 0.04 / 730, 4),
        "dtCreated": stamp(machine.created_at, skew),
        "dtModified": stamp(machine.modified_at, skew),
        "dtDeleted": stamp(machine.deleted_at, skew),
        "reservation": None,
    }


def event_view(event: Event, settings: Settings) -> dict[str, Any]:
    """An event as the API's JSON."""
    skew = settings.clock_skew_s
    return {
        "id": event.id,
        "name": event.name,
        "state": event.state,
        "machineId": event.machine_id,
        "error": event.error,
        "dtCreated": stamp(event.created_at, skew),
        "dtStarted": stamp(event.started_at, skew),
        "dtFinished": stamp(event.finished_at, skew),
    }


def region_view(region: str, settings: Settings) -> str:
    """A region in the style of the settings."""
    return LONG_REGIONS[region] if settings.region_style == "long" else region
