"""The inputs of a node: their shape, and the request that they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import AwareDatetime, Field
from pydantic.alias_generators import to_camel

from dynamic_providers.base import Inputs
from gpu_clouds import marker
from gpu_clouds.models import Candidate, CapacityType, InstanceTemplate
from gpu_clouds.node_tls import certificate_of, with_tls
from gpu_clouds.provisioning import NodeRequest
from gpu_clouds.readiness import Readiness
from gpu_clouds.weights_cache import CacheRequest, slug

TEMPLATE = {
    "image": "image",
    "templateId": "template_id",
    "diskGb": "disk_gb",
    "volumeGb": "volume_gb",
    "volumePath": "volume_path",
    "ports": "ports",
    "env": "env",
    "args": "args",
    "startup": "startup",
    "sshPublicKeys": "ssh_public_keys",
}
"""Inputs that say what runs on the node -> the field of InstanceTemplate."""


class CandidateInput(Inputs):
    """One thing to try."""

    cloud: str
    credentials: str
    region: str = ""
    gpu: str
    gpu_count: int = Field(default=1, ge=1)
    capacity: CapacityType = CapacityType.ON_DEMAND
    bid_per_gpu_usd: float | None = Field(default=None, gt=0)
    provision_deadline_s: float | None = Field(default=None, gt=0)

    def candidate(self) -> Candidate:
        """The same in the words of gpu_clouds."""
        return Candidate(
            cloud=self.cloud,
            credentials=self.credentials,
            region=self.region,
            gpu=self.gpu,
            gpu_count=self.gpu_count,
            capacity=self.capacity,
            bid_per_gpu_usd=self.bid_per_gpu_usd,
            provision_deadline_s=self.provision_deadline_s,
        )

    @classmethod
    def of(cls, candidate: Candidate) -> CandidateInput:
        """The input of a candidate."""
        return cls(
            cloud=candidate.cloud,
            credentials=candidate.credentials,
            region=candidate.region,
            gpu=candidate.gpu,
            gpu_count=candidate.gpu_count,
            capacity=candidate.capacity,
            bid_per_gpu_usd=candidate.bid_per_gpu_usd,
            provision_deadline_s=candidate.provision_deadline_s,
        )


class WeightsCacheInput(Inputs):
    """The disk that the nodes of a class share in each place."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,16}[a-z0-9])?$")
    size_gb: int = Field(ge=10, le=4096)
    path: str = Field(default="/weights", pattern=r"^/\S*$")

    def request(self) -> CacheRequest:
        """The same in the words of gpu_clouds."""
        return CacheRequest(slug(self.name), self.size_gb, self.path)


class ReadinessInput(Inputs):
    """When the node counts as usable."""

    kind: Literal["none", "http", "tcp", "command"] = "none"
    port: int = Field(default=0, ge=0, le=65535)
    path: str = Field(default="/", pattern=r"^/\S*$")
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    timeout_s: float = Field(default=0.0, ge=0, le=600)
    command: str = Field(default="", repr=False)
    tries: int = Field(default=0, ge=0)
    gpu: bool = False
    ssh_key: str = Field(default="", repr=False)
    ssh_key_file: str = ""

    def readiness(self) -> Readiness:
        """The same in the words of gpu_clouds.

        Raises:
            ValidationError: Its parts contradict each other.
        """
        return Readiness(
            kind=self.kind,
            port=self.port,
            path=self.path,
            headers=self.headers,
            timeout_s=self.timeout_s,
            command=self.command,
            tries=self.tries,
            gpu=self.gpu,
            ssh_key=self.ssh_key,
            ssh_key_file=self.ssh_key_file,
        )


class NodeTlsInput(Inputs):
    """TLS that the node's server speaks itself, on one of its http ports.

    Attributes:
        port: The port.
        pem: Key and certificate, PEM one after the other, in base64; secret.
    """

    port: int = Field(ge=1, le=65535)
    pem: str = Field(min_length=1, repr=False)


class NodeInputs(Inputs):
    """Inputs of a GpuNode.

    Attributes:
        guard: Id of the stack's LeakGuard, which is the stackId. A property dependency: the guard is made
            before the node and deleted after it.
        node: The node's slug, at most 24 characters.
        candidates: What may be rented, in order of preference.
        order: `listed` or `price`.
        image: Container image; exactly one of `image` and `templateId`.
        template_id: Id of a template that lives in the cloud.
        disk_gb: Scratch disk, GB.
        volume_gb: Disk that outlives a stop, GB.
        volume_path: Where it is mounted.
        weights_cache: Disk that the nodes of a class share in each place, by the class's name.
        ports: `8000/http`, `22/tcp`.
        env: Environment; secret.
        args: Arguments to the entry point.
        startup: Script at the first boot of a virtual machine.
        ssh_public_keys: Keys that may log in.
        readiness: When the node counts as usable.
        tls: TLS that its server speaks itself; the launch hands it key and certificate. Secret.
        keep_on_failure: Leave a node that never got ready, to look at it.
        max_hourly_usd: Cap on the node's price, USD per hour.
        budget_hourly_usd: Cap on the price of all nodes of its cluster, USD per hour.
        cluster_nodes: How many nodes share that budget.
        wait_for_capacity_min: How long to go round again while everything is sold out, minutes.
        provision_deadline_s: How long one launch may take, seconds.
        expires_at: When the node is no longer wanted; a cloud that can then ends it by itself.
        adopt_id: Take over this node of the cloud instead of launching one.
        replace_trigger: Any text; another text means another node.
    """

    guard: str = ""
    node: str
    candidates: tuple[CandidateInput, ...] = Field(min_length=1)
    order: Literal["listed", "price"] = "listed"
    image: str = ""
    template_id: str = ""
    disk_gb: int = Field(default=50, ge=1)
    volume_gb: int = Field(default=0, ge=0)
    volume_path: str = "/workspace"
    weights_cache: WeightsCacheInput | None = None
    ports: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    args: str = ""
    startup: str = Field(default="", repr=False)
    ssh_public_keys: tuple[str, ...] = ()
    readiness: ReadinessInput = ReadinessInput()
    tls: NodeTlsInput | None = Field(default=None, repr=False)
    keep_on_failure: bool = False
    max_hourly_usd: float | None = Field(default=None, gt=0)
    budget_hourly_usd: float | None = Field(default=None, gt=0)
    cluster_nodes: int = Field(default=1, ge=1)
    wait_for_capacity_min: float = Field(default=0.0, ge=0)
    provision_deadline_s: float | None = Field(default=None, gt=0)
    expires_at: AwareDatetime | None = None
    adopt_id: str = ""
    replace_trigger: str = ""

    @property
    def cap_hourly_usd(self) -> float | None:
        """The most that this node may cost: its own cap, or its share of its cluster's budget."""
        share = None if self.budget_hourly_usd is None else self.budget_hourly_usd / self.cluster_nodes
        return min((cap for cap in (self.max_hourly_usd, share) if cap is not None), default=None)

    def template(self) -> InstanceTemplate:
        """What runs on the node."""
        env, args = self.env, self.args
        if self.tls is not None:
            env, args = with_tls(env, args, self.tls.pem)
        return InstanceTemplate(
            image=self.image,
            template_id=self.template_id,
            disk_gb=self.disk_gb,
            volume_gb=self.volume_gb,
            volume_path=self.volume_path,
            ports=self.ports,
            env=env,
            args=args,
            startup=self.startup,
            ssh_public_keys=self.ssh_public_keys,
        )

    def request(self, run: RunFacts) -> NodeRequest:
        """What is asked of the provisioning algorithm.

        Args:
            run: What is not an input but belongs to this run or to the living node.
        """
        cap = self.cap_hourly_usd
        if cap is not None and run.paid_hourly_usd is not None:
            cap = max(cap, run.paid_hourly_usd)
        deadlines = [s for s in (self.provision_deadline_s, run.timeout_s) if s is not None]
        return NodeRequest(
            owner=marker.DECLARED,
            stack_id=self.guard,
            node=self.node,
            candidates=tuple(_limited(c.candidate(), run.timeout_s) for c in self.candidates),
            template=self.template(),
            order=self.order,
            replace_trigger=self.replace_trigger,
            readiness=self._readiness(),
            keep_on_failure=self.keep_on_failure,
            max_hourly_usd=cap,
            wait_for_capacity_min=self.wait_for_capacity_min,
            provision_deadline_s=min(deadlines, default=None),
            settle_s=run.settle_s,
            adopt_id=run.adopt_id or self.adopt_id,
            cache=self.weights_cache.request() if self.weights_cache else None,
            expires_at=self.expires_at,
            first_listing_once=run.first_listing_once,
        )

    def _readiness(self) -> Readiness:
        asked = self.readiness.readiness()
        if self.tls is None or (asked.kind, asked.port) != ("http", self.tls.port):
            return asked
        return replace(asked, certificate=certificate_of(self.tls.pem))


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a request takes from this run or from the living node.

    Attributes:
        settle_s: How long a request of a killed run may still take effect, seconds.
        timeout_s: The resource's custom time-out, seconds; it limits each launch.
        first_listing_once: This run has made the stack's LeakGuard.
        adopt_id: Id of the living node where its cloud-side name is not ours, so that it can't be found by
            name.
        paid_hourly_usd: What the living node costs already: no later, lower cap ends it.
    """

    settle_s: float
    timeout_s: float | None = None
    first_listing_once: bool = False
    adopt_id: str = ""
    paid_hourly_usd: float | None = None


def _limited(candidate: Candidate, timeout_s: float | None) -> Candidate:
    """The candidate, its own deadline within the resource's custom time-out."""
    if candidate.provision_deadline_s is None or timeout_s is None:
        return candidate
    return replace(candidate, provision_deadline_s=min(candidate.provision_deadline_s, timeout_s))


def candidate_from(value: Mapping[str, Any]) -> Candidate:
    """The candidate that an output `candidate` holds."""
    known = {to_camel(name) for name in CandidateInput.model_fields}
    return CandidateInput.model_validate({k: v for k, v in value.items() if k in known}).candidate()
