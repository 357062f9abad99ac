"""What is asked of the provisioning algorithm, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Literal

from gpu_clouds.cloud import Capabilities
from gpu_clouds.marker import Marker, spec_hash
from gpu_clouds.models import CacheMount, Candidate, Instance, InstanceSpec, InstanceTemplate
from gpu_clouds.readiness import Readiness
from gpu_clouds.weights_cache import CacheRequest

SETTLE_S = 60.0
"""How long after its sending a launch request may still take effect, seconds."""

Order = Literal["listed", "price"]


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """One node that shall exist, and every way that is allowed to get it.

    Attributes:
        owner: `p` (declared) or `o` (orchestrated), see `gpu_clouds.marker`.
        stack_id: The stack's 8 characters.
        node: The node's slug.
        candidates: What may be rented, in order of preference; GPU names are canonical already.
        template: What runs on the node.
        order: `listed` tries the candidates as they stand, `price` the cheapest first.
        replace_trigger: Any text; another text means another node.
        readiness: When the node counts as usable.
        keep_on_failure: Leave a node that never got ready, to look at it; it costs money.
        max_hourly_usd: Refuse a node that costs more, USD per hour; None for no cap.
        wait_for_capacity_min: How long to go round again while everything is sold out, minutes.
        provision_deadline_s: How long a launch may take until ready, seconds; None for the cloud's own
            figure. A candidate's own figure goes first.
        settle_s: How long a request of a killed run may still take effect, seconds.
        adopt_id: Take over this very node of the cloud instead of launching one.
        cache: The weights cache that the node mounts; every candidate then names one place.
        expires_at: When the cloud shall end the node by itself, where it can.
        first_listing_once: The stack is known to be new (its LeakGuard was made in this same run), so one
            first listing is enough on a machine that has never seen it.
    """

    owner: str
    stack_id: str
    node: str
    candidates: tuple[Candidate, ...]
    template: InstanceTemplate
    order: Order = "listed"
    replace_trigger: str = ""
    readiness: Readiness = field(default_factory=Readiness)
    keep_on_failure: bool = False
    max_hourly_usd: float | None = None
    wait_for_capacity_min: float = 0.0
    provision_deadline_s: float | None = None
    settle_s: float = SETTLE_S
    adopt_id: str = ""
    expires_at: datetime | None = None
    cache: CacheRequest | None = None
    first_listing_once: bool = False

    def spec8(self, candidate: Candidate, updatable: frozenset[str]) -> str:
        """Hash of everything whose change means another node, had this candidate won.

        It is a hash for each candidate, not for the list, so that a further fallback never replaces a living
        node while removing the candidate that won does. The credential set is no part of it: the same
        account may be renamed.

        Args:
            candidate: One of `candidates`.
            updatable: `capabilities.updatable` of the candidate's cloud: what it can change in place.
        """
        template = {
            f.name: _plain(getattr(self.template, f.name))
            for f in fields(self.template)
            if f.name not in updatable
        }
        # Only where there is one: nodes without a cache keep the hash that they have always had.
        cache = {"cache": {"name": self.cache.name, "path": self.cache.path}} if self.cache else {}
        return spec_hash(
            {
                "stackId": self.stack_id,
                "node": self.node,
                "cloud": candidate.cloud,
                "region": candidate.region,
                "gpu": candidate.gpu,
                "gpuCount": candidate.gpu_count,
                "capacity": str(candidate.capacity),
                "replaceTrigger": self.replace_trigger,
                "template": template,
                **cache,
            }
        )

    def marker(self, candidate: Candidate, updatable: frozenset[str]) -> Marker:
        """The name that this candidate's node carries."""
        return Marker(self.owner, self.stack_id, self.node, self.spec8(candidate, updatable))

    def spec(
        self, candidate: Candidate, updatable: frozenset[str], cache: CacheMount | None = None
    ) -> InstanceSpec:
        """The launch of this candidate, with the weights cache that was found or made for it."""
        name = str(self.marker(candidate, updatable))
        return InstanceSpec(name, candidate, self.template, self.expires_at, self.max_hourly_usd, cache)

    def deadline_s(self, candidate: Candidate, capabilities: Capabilities) -> float:
        """How long this candidate may take until ready, seconds."""
        if candidate.provision_deadline_s is not None:
            return candidate.provision_deadline_s
        if self.provision_deadline_s is not None:
            return self.provision_deadline_s
        big = candidate.gpu_count >= 8
        return capabilities.provision_deadline_8_gpus_s if big else capabilities.provision_deadline_s


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A node that is ready.

    Attributes:
        instance: The node as its cloud shows it.
        candidate: The candidate that won.
        adopted: It existed before; nothing was launched for it.
        hourly_usd: What it costs, USD per hour; None if the cloud does not tell.
        marker: Its cloud-side name; not ours where it was taken over by `adopt_id`.
        notes: What the user should hear: other nodes ended or left, candidates that were refused.
    """

    instance: Instance
    candidate: Candidate
    adopted: bool
    hourly_usd: float | None
    marker: str
    notes: tuple[str, ...] = ()


def _plain(value: object) -> object:
    """The value as JSON can hold it."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
