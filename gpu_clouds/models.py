"""The words that all clouds share: what can be rented, what is asked for, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique


@unique
class InstanceState(StrEnum):
    """Where a node is in its life, whatever its cloud calls it."""

    PENDING = "PENDING"  # accepted, not running yet
    RUNNING = "RUNNING"  # running by its cloud's word, not reachable yet
    READY = "READY"  # running and reachable by address
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    DELETING = "DELETING"
    GONE = "GONE"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"  # a native state that we do not know; never an exception


@unique
class CapacityType(StrEnum):
    """How the node is paid for and whether it can be taken away."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"
    FLEX = "flex"
    BLOCK = "block"


@unique
class Availability(StrEnum):
    """What a cloud says of its free machines; advisory on every cloud."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One thing to try, in order.

    Attributes:
        cloud: Name of the cloud: `runpod`, `lambda`, `paperspace`, …
        credentials: Name of the credential set to use there.
        region: A canonical region group (`eu-central`) or a native id (`EU-RO-1`); empty for any.
        gpu: Canonical GPU name (catalog.py).
        gpu_count: GPUs in the node.
        capacity: On demand, spot, …
        bid_per_gpu_usd: Spot only: what is offered for one GPU, USD per hour; None for the least that the
            cloud takes. No part of what the node is: another bid never replaces it.
        provision_deadline_s: How long a launch of this candidate may take until ready, seconds; None for what
            holds for all. No part of what the node is either.
    """

    cloud: str
    credentials: str
    region: str
    gpu: str
    gpu_count: int = 1
    capacity: CapacityType = CapacityType.ON_DEMAND
    bid_per_gpu_usd: float | None = None
    provision_deadline_s: float | None = None

    def __str__(self) -> str:
        where = f"{self.cloud} {self.region}" if self.region else self.cloud
        what = f"{self.gpu} x{self.gpu_count}"
        spot = "" if self.capacity is CapacityType.ON_DEMAND else f" {self.capacity}"
        return f"{where} {what}{spot}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A candidate with a price seen now.

    Attributes:
        candidate: What is offered.
        hourly_usd: Price of the whole node, USD per hour; None if the cloud tells it only after the create.
        availability: What the cloud says is free.
        source: Where the price comes from, e.g. `runpod catalogue`.
        as_of: When it was read (live) or written down (list price).
    """

    candidate: Candidate
    hourly_usd: float | None
    availability: Availability
    source: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class InstanceTemplate:
    """What runs on a node, whichever candidate wins.

    Attributes:
        image: Container image or OS image; empty where `template_id` names one.
        template_id: Id of a template that lives in the cloud.
        disk_gb: Size of the scratch disk, GB.
        volume_gb: Size of a disk that outlives a stop, GB; 0 for none.
        volume_path: Where that disk is mounted.
        ports: `"8000/http"`, `"22/tcp"`.
        env: Environment; every value is treated as a secret.
        args: Arguments to the image's entry point.
        startup: Script that a virtual machine runs at its first boot.
        ssh_public_keys: Keys that may log in.
    """

    image: str = ""
    template_id: str = ""
    disk_gb: int = 50
    volume_gb: int = 0
    volume_path: str = "/workspace"
    ports: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    args: str = ""
    startup: str = field(default="", repr=False)
    ssh_public_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheVolume:
    """A disk that outlives the nodes that mount it, see `gpu_clouds.weights_cache`.

    Attributes:
        id: The cloud's id.
        name: A marker where it is ours.
        cloud: Name of the cloud.
        region: The cloud's own id of the place that it is in.
        size_gb: Its size, GB; None where it grows by itself.
    """

    id: str
    name: str
    cloud: str
    region: str
    size_gb: int | None = None


@dataclass(frozen=True, slots=True)
class CacheMount:
    """A weights cache and where a node mounts it."""

    volume: CacheVolume
    path: str


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One launch: a name that marks the node as ours, a candidate, and what runs on it.

    Attributes:
        name: The marker.
        candidate: What is rented.
        template: What runs on it.
        expires_at: When it is no longer wanted; for clouds that can end a node by themselves.
        max_hourly_usd: No bid goes above this, USD per hour for the whole node; None for no cap.
        cache: The weights cache that it mounts, in the place of the candidate; None for none.
        avoid_regions: The cloud's own ids of places where this run has found bad machines.
    """

    name: str
    candidate: Candidate
    template: InstanceTemplate
    expires_at: datetime | None = None
    max_hourly_usd: float | None = None
    cache: CacheMount | None = None
    avoid_regions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a port of the node is reached from outside.

    Attributes:
        port: Port inside the node.
        protocol: `http` or `tcp`.
        url: `https://…` for http, `tcp://host:port` for tcp.
    """

    port: int
    protocol: str
    url: str


@dataclass(frozen=True, slots=True)
class Instance:
    """A node as its cloud shows it now.

    Attributes:
        id: The cloud's id.
        name: The cloud-side name: our marker where the node is ours.
        cloud: Name of the cloud.
        state: Normalised state.
        native_state: The cloud's own word for it.
        region: Native region or data centre; empty until known.
        gpu: Canonical GPU name; the native one where the catalogue does not know it.
        gpu_count: GPUs that it really has.
        hourly_usd: What it costs now, USD per hour; None if not told.
        endpoints: Ways in, empty until known.
        ssh: `user@host:port`, empty until known.
        image: Image that it runs, where the cloud tells.
        created_at: When it was made; None where the cloud does not tell (Lambda).
        detail: A sentence of the cloud about this state, if it gave one.
        sold_out: FAILED because the cloud had no machine free, where it says so only afterwards (Paperspace).
        remains: There is no machine (any more), only something that belonged to it and that its delete ends.
    """

    id: str
    name: str
    cloud: str
    state: InstanceState
    native_state: str
    region: str = ""
    gpu: str = ""
    gpu_count: int = 0
    hourly_usd: float | None = None
    endpoints: tuple[Endpoint, ...] = ()
    ssh: str = ""
    image: str = ""
    created_at: datetime | None = None
    detail: str = ""
    sold_out: bool = False
    remains: bool = False


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What one authenticated read tells of an account; None where the cloud does not show it."""

    balance_usd: float | None = None
    spend_hourly_usd: float | None = None
    spend_limit_hourly_usd: float | None = None
    machine_limit: int | None = None
    machines_in_use: int | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a node's log.

    Attributes:
        cursor: Opaque position, to go on from here after a lost connection.
        at: The cloud's time stamp.
        source: `container` or `system`.
        text: The line.
    """

    cursor: str
    at: str
    source: str
    text: str
