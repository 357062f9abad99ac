"""A cloud in memory that answers at once, and a provider in front of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from dynamic_providers.clouds import Shared
from gpu_clouds import runpod
from gpu_clouds.cloud import Capabilities, GpuCloud
from gpu_clouds.errors import GpuCloudError, NotFoundError
from gpu_clouds.models import (
    AccountStatus,
    Availability,
    Candidate,
    Endpoint,
    Instance,
    InstanceSpec,
    InstanceState,
    LogLine,
    Offer,
)
from stack_config import CredentialSource, Settings

STACK = "teststck"


class QuickClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self._now = 1_000_000.0

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> None:
        self._now += max(0.0, seconds)


@dataclass
class MemoryCloud:
    """`errors` holds what the next call of a name raises; `calls` what was called."""

    credentials: str = "main"
    name: str = "runpod"
    capabilities: Capabilities = runpod.INFO.capabilities
    nodes: dict[str, Instance] = field(default_factory=dict)
    sent: list[InstanceSpec] = field(default_factory=list)
    prices: dict[str, float] = field(default_factory=lambda: {"RTX4090": 0.5, "H100-SXM": 4.0, "L4": 0.3})
    sold_out: set[str] = field(default_factory=set)
    boots_to: InstanceState = InstanceState.READY
    status: AccountStatus = field(default_factory=AccountStatus)
    errors: dict[str, GpuCloudError] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.errors:
            raise self.errors[name]

    def account(self) -> AccountStatus:
        self._call("account")
        return self.status

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        self._call("offers")
        at = datetime(2026, 1, 2, tzinfo=UTC)
        return [
            Offer(
                c,
                self.prices[c.gpu] * c.gpu_count,
                Availability.NONE if c.gpu in self.sold_out else Availability.HIGH,
                "catalogue",
                at,
            )
            for c in candidates
            if c.gpu in self.prices
        ]

    def create(self, spec: InstanceSpec) -> Instance:
        self._call("create")
        self.sent.append(spec)
        return self.plant(spec.name, spec.candidate, image=spec.template.image)

    def plant(self, name: str, candidate: Candidate, **more: Any) -> Instance:
        node_id = f"pod{len(self.nodes) + 1}"
        self.nodes[node_id] = Instance(
            id=node_id,
            name=name,
            cloud=self.name,
            state=self.boots_to,
            native_state="RUNNING",
            region="EU-RO-1",
            gpu=candidate.gpu,
            gpu_count=candidate.gpu_count,
            hourly_usd=self.prices.get(candidate.gpu),
            endpoints=(Endpoint(8000, "http", f"https://{node_id}.example"),),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            **more,
        )
        return self.nodes[node_id]

    def get(self, instance_id: str) -> Instance:
        self._call("get")
        gone = Instance(instance_id, "", self.name, InstanceState.GONE, "404")
        return self.nodes.get(instance_id, gone)

    def list(self, name_prefix: str) -> list[Instance]:
        self._call("list")
        return [node for node in self.nodes.values() if node.name.startswith(name_prefix)]

    def update(self, instance_id: str, spec: InstanceSpec) -> Instance:
        self._call("update")
        if instance_id not in self.nodes:
            raise NotFoundError("no such pod")
        self.sent.append(spec)
        self.nodes[instance_id] = replace(self.nodes[instance_id], image=spec.template.image)
        return self.nodes[instance_id]

    def delete(self, instance_id: str) -> None:
        self._call("delete")
        self.nodes.pop(instance_id, None)

    def stop(self, instance_id: str) -> None:
        self._call("stop")

    def start(self, instance_id: str) -> None:
        self._call("start")

    def logs(self, instance_id: str, *, tail: int = 100, cursor: str = "") -> Iterator[LogLine]:
        return iter(())

    def close(self) -> None:
        self._call("close")


def shared_with(*clouds: MemoryCloud, **settings: Any) -> Shared:
    """What providers share, with these clouds in the place of real ones."""
    by_name = {cloud.credentials: cloud for cloud in clouds}

    def open_cloud(name: str, source: CredentialSource, clock: object) -> GpuCloud:
        return by_name[name]

    sources = {
        name: CredentialSource(cloud="runpod", api_key=SecretStr(f"key-of-{name}")) for name in by_name
    }
    return Shared(sources, Settings(**settings), STACK, QuickClock(), open_cloud)
