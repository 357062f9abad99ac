"""A cluster of a SkyPilot server in the words that all clouds share. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from gpu_clouds.marker import Marker
from gpu_clouds.models import Endpoint, Instance, InstanceState
from gpu_clouds.skypilot.accelerators import canonical_name
from gpu_clouds.skypilot.errors import CLOUD
from gpu_clouds.skypilot.models import ClusterRecord
from gpu_clouds.skypilot.task import GPU_LABEL, MARKER_LABEL

LAUNCH, START, DOWN, STOP = "sky.launch", "sky.start", "sky.down", "sky.stop"
"""Names of requests that change a cluster (`sky/server/requests/request_names.py`)."""
UNHEALTHY = "unhealthy"
_SETTLED = {
    "UP": InstanceState.READY,
    "STOPPED": InstanceState.STOPPED,
    "AUTOSTOPPING": InstanceState.STOPPING,
    "PENDING": InstanceState.PENDING,
    # Nobody is at work on it: what is half made will not get ready, and what was up is broken.
    "INIT": InstanceState.FAILED,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a launch failed.

    Attributes:
        detail: The reason, one line.
        sold_out: The server had no place for it.
    """

    detail: str
    sold_out: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of one cluster at one moment.

    Attributes:
        record: As the server lists it; None where it does not.
        working: Names of the requests that are at work on it.
        failure: Why the last launch of this process failed; None if it did not.
        hourly_usd: What it costs; None if not known.
        endpoints: Ways in.
    """

    record: ClusterRecord | None
    working: frozenset[str] = frozenset()
    failure: Failure | None = None
    hourly_usd: float | None = None
    endpoints: tuple[Endpoint, ...] = ()


def server_id(endpoint: str) -> str:
    """8 hexadecimal digits that stand for a server: the names of clusters are unique on one server only."""
    url = urlsplit(endpoint)
    host = {"localhost": "127.0.0.1"}.get(url.hostname or "", url.hostname or "")
    port = url.port or (443 if url.scheme == "https" else 80)
    return hashlib.sha256(f"{host}:{port}{url.path.rstrip('/')}".encode()).hexdigest()[:8]


def instance_id(name: str, server: str) -> str:
    """The id of a cluster: its name and its server."""
    return f"{name}@{server}"


def name_of(identity: str) -> tuple[str, str]:
    """The cluster's name and its server in an id; an id that a user writes may be the name alone."""
    name, _, server = identity.partition("@")
    return name, server


def is_ours(record: ClusterRecord) -> bool:
    """Whether the label repeats the name."""
    return record.labels.get(MARKER_LABEL) == record.name


def is_impostor(record: ClusterRecord) -> bool:
    """Whether a cluster has a name of ours without our label: somebody else has made it."""
    return Marker.parse(record.name) is not None and not is_ours(record)


def infra_of_record(record: ClusterRecord) -> str:
    """Where a cluster is: `slurm/hall1`; empty until known."""
    return "/".join(part for part in (record.cloud.lower(), record.region) if part)


def is_spot(record: ClusterRecord) -> bool:
    """Whether it is interruptible; only the text that people read tells."""
    return "[spot]" in record.resources_str.lower()


def instance(name: str, server: str, seen: Cluster) -> Instance:
    """The cluster as an instance.

    Args:
        name: Its name.
        server: `server_id` of its server.
        seen: What is known of it.
    """
    record = seen.record
    state, detail = state_of(seen)
    if record is None:
        return Instance(
            id=instance_id(name, server),
            name=name,
            cloud=CLOUD,
            state=state,
            native_state="" if state is InstanceState.GONE else "not listed yet",
            detail=detail,
            sold_out=_sold_out(seen, state),
            remains=state is InstanceState.FAILED,
        )
    native, count = _gpus(record.accelerators)
    paid = state not in (InstanceState.STOPPED, InstanceState.GONE)
    return Instance(
        id=instance_id(name, server),
        name=record.name,
        cloud=CLOUD,
        state=state,
        native_state=f"{record.status} {record.init_kind}".strip(),
        region=infra_of_record(record),
        gpu=canonical_name(native, record.cloud, record.labels.get(GPU_LABEL, "")) if native else "",
        gpu_count=count,
        hourly_usd=seen.hourly_usd if paid else None,
        endpoints=seen.endpoints if state is InstanceState.READY else (),
        created_at=None if record.launched_at is None else datetime.fromtimestamp(record.launched_at, UTC),
        detail=detail,
        sold_out=_sold_out(seen, state),
    )


def state_of(seen: Cluster) -> tuple[InstanceState, str]:
    """The state of a cluster, and a sentence about it.

    `INIT` alone says little: it is a cluster that is being launched, one whose launch was cut short, and one
    that is broken. So what counts is whether a request is at work on it.
    """
    record, working = seen.record, seen.working
    if DOWN in working:
        return InstanceState.DELETING, ""
    reason = record.init_status_reason if record is not None else ""
    if working & {LAUNCH, START}:
        up = record is not None and record.status == "UP"
        # Up, but the job of its launch is not handed over yet.
        return (InstanceState.RUNNING, "") if up else (InstanceState.PENDING, reason)
    if seen.failure is not None:
        return InstanceState.FAILED, seen.failure.detail
    if record is None:
        return InstanceState.GONE, ""
    if STOP in working:
        return InstanceState.STOPPING, ""
    state = _SETTLED.get(record.status, InstanceState.UNKNOWN)
    if state is InstanceState.FAILED:
        if record.init_kind == UNHEALTHY:
            return state, reason or "it is broken"
        return state, "its launch was cut short" + (f" after: {reason}" if reason else "")
    return state, ""


def endpoints_of(urls: Mapping[str, str], protocols: Mapping[int, str]) -> tuple[Endpoint, ...]:
    """Ways in, as the server tells them.

    Args:
        urls: Port -> URL or `host:port`.
        protocols: Port -> `http` or `tcp`.
    """
    found = []
    for port, url in sorted(urls.items()):
        if not port.isascii() or not port.isdigit() or not url:
            continue
        protocol = protocols.get(int(port), "http")
        rest = url.partition("://")[2] or url
        scheme = "tcp" if protocol == "tcp" else url.partition("://")[0] if "://" in url else "http"
        found.append(Endpoint(int(port), protocol, f"{scheme}://{rest}"))
    return tuple(found)


def ports_of(record: ClusterRecord, label: str) -> dict[int, str]:
    """Port -> protocol, from that label."""
    found = {}
    for part in record.labels.get(label, "").split("_"):
        number, _, protocol = part.partition("-")
        if number.isascii() and number.isdigit():
            found[int(number)] = protocol
    return found


def _gpus(accelerators: Mapping[str, float]) -> tuple[str, int]:
    """Name and number of the accelerators of one node; of a node with several kinds, of the first."""
    name, count = next(iter(accelerators.items()), ("", 0.0))
    return name, int(count)


def _sold_out(seen: Cluster, state: InstanceState) -> bool:
    return state is InstanceState.FAILED and seen.failure is not None and seen.failure.sold_out
