"""One declared cluster as the provisioning algorithm sees it, on the connection that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dynamic_providers.sky_pilot_estimate import SOURCE, Estimate
from dynamic_providers.sky_pilot_inputs import SkyPilotClusterInputs, split_accelerator
from gpu_clouds.clock import utc_now
from gpu_clouds.marker import DECLARED
from gpu_clouds.models import (
    Availability,
    Candidate,
    CapacityType,
    Instance,
    InstanceState,
    InstanceTemplate,
    Offer,
)
from gpu_clouds.request import NodeRequest
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from gpu_clouds.skypilot.cluster_cloud import DeclaredClusterCloud
from gpu_clouds.skypilot.errors import CLOUD


class StackCluster(DeclaredClusterCloud):
    """Launches, looks at and ends one declared cluster.

    Args:
        server: The connected server; what it knows of launches, prices and clusters is shared.
        inputs: The cluster.
        estimate: What it will most likely cost.
    """

    def __init__(
        self, server: SkyPilotCloud, inputs: SkyPilotClusterInputs, estimate: Estimate | None = None
    ) -> None:
        super().__init__(
            server.client,
            # A name of its own: the listings that nodes and guards share by account name tell GPUs, and what
            # is one of several choices here would be taken for a wrong one.
            f"{server.credentials}:clusters",
            inputs.launch_task(),
            retry_until_up=inputs.retry_until_up,
            secrets=frozenset(text for text in (inputs.setup, inputs.run) if text),
            beside=server,
        )
        self._hourly_usd = None if estimate is None else estimate.hourly_usd

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        """The estimate, which is for the whole cluster."""
        if self._hourly_usd is None:
            return []
        known = (self._hourly_usd, Availability.UNKNOWN, SOURCE, utc_now())
        return [Offer(each, *known) for each in candidates]

    def list(self, name_prefix: str) -> list[Instance]:
        """As its base; steps of a launch are left out, because they are told as events."""
        pending = InstanceState.PENDING
        listed = super().list(name_prefix)
        return [replace(each, detail="") if each.state is pending else each for each in listed]


def cluster_request(
    inputs: SkyPilotClusterInputs,
    account: str,
    *,
    settle_s: float,
    timeout_s: float | None = None,
    first_listing_once: bool = False,
    paid_hourly_usd: float | None = None,
) -> NodeRequest:
    """What is asked of the provisioning algorithm.

    Its one candidate stands for the whole task, in which SkyPilot chooses itself.

    Args:
        inputs: The cluster.
        account: Name of the connection: `SkyPilotCloud.credentials`.
        settle_s: How long a request of a killed run may still take effect, seconds.
        timeout_s: The resource's custom time-out, seconds.
        first_listing_once: This run has made the stack's guard.
        paid_hourly_usd: What the living cluster costs already: no later, lower cap ends it.
    """
    name, count = split_accelerator(inputs.accelerators[0] if inputs.accelerators else "")
    cap = inputs.max_hourly_usd
    if cap is not None and paid_hourly_usd is not None:
        cap = max(cap, paid_hourly_usd)
    deadlines = [s for s in (inputs.deadline_s, timeout_s) if s is not None]
    candidate = Candidate(
        CLOUD,
        account,
        "",
        name or "CPU",
        max(1, int(count)),
        CapacityType.SPOT if inputs.spot else CapacityType.ON_DEMAND,
    )
    return NodeRequest(
        owner=DECLARED,
        stack_id=inputs.guard,
        node=inputs.node,
        candidates=(candidate,),
        template=InstanceTemplate(),
        order="price",  # of one candidate: so that its price is asked for, and told
        replace_trigger=inputs.spec(),
        keep_on_failure=inputs.keep_on_failure,
        max_hourly_usd=cap,
        provision_deadline_s=min(deadlines, default=None),
        settle_s=settle_s,
        first_listing_once=first_listing_once,
    )
