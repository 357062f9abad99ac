"""What clusters cost, from the one call that tells prices: the catalogue of accelerators."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from gpu_clouds.clock import Clock, utc_now
from gpu_clouds.models import Availability, Candidate, CapacityType, Offer
from gpu_clouds.single_flight import SingleFlight
from gpu_clouds.skypilot.accelerators import cloud_of, native_name
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.models import AcceleratorOffer
from gpu_clouds.skypilot.task import infra_of

SOURCE = "skypilot catalogue"
_KEPT_S = 60.0
_ANY_COUNT = frozenset({"slurm", "kubernetes", "ssh"})
"""Clouds of the user's own machines: they give any number of GPUs up to what a machine has, at a price for
each, while the catalogue lists powers of two (`sky/catalog/slurm_catalog.py`)."""


class Prices:
    """Prices of one server, each at most a minute old.

    Args:
        client: The server.
        clock: Time.
    """

    def __init__(self, client: SkyPilotClient, clock: Clock) -> None:
        self._client = client
        self._enabled: SingleFlight[list[str]] = SingleFlight(_KEPT_S, clock)
        self._rows: SingleFlight[list[AcceleratorOffer]] = SingleFlight(_KEPT_S, clock)

    def clouds(self) -> list[str]:
        """Clouds that the server can use, in lower case."""
        return self._enabled.get("", lambda: [each.lower() for each in self._client.enabled_clouds()])

    def offer(self, candidate: Candidate) -> Offer | None:
        """What a candidate costs; None where the server has no such machine."""
        infra = infra_of(candidate.region)
        native = native_name(candidate.gpu, infra)
        if native is None:
            return None
        rows = self._listed(native, infra)
        spot = candidate.capacity is CapacityType.SPOT
        fitting = [row for row in rows if _fits(row, candidate.gpu_count)]
        if not fitting:
            return None
        return Offer(
            candidate=candidate,
            hourly_usd=_cheapest(fitting, candidate.gpu_count, spot=spot),
            availability=Availability.UNKNOWN,  # the catalogue says what there is, not what is free
            source=SOURCE,
            as_of=utc_now(),
        )

    def hourly_usd(self, infra: str, native: str, count: float, *, spot: bool, nodes: int) -> float | None:
        """What a cluster costs, USD per hour; None where the server does not tell.

        Args:
            infra: Where it is: `slurm/hall1`.
            native: SkyPilot's name of its GPU.
            count: GPUs in each node.
            spot: It is interruptible.
            nodes: Its nodes.
        """
        rows = [row for row in self._listed(native, infra) if _fits(row, count)]
        price = _cheapest(rows, count, spot=spot)
        return None if price is None else round(price * nodes, 6)

    def _listed(self, native: str, infra: str) -> list[AcceleratorOffer]:
        wanted, region = cloud_of(infra), _region_of(infra)
        clouds = [cloud for cloud in self.clouds() if wanted in ("", cloud)]
        if not clouds:
            return []
        key = (native, region, *clouds)
        return self._rows.get(key, lambda: self._list(native, region, clouds))

    def _list(self, native: str, region: str, clouds: Sequence[str]) -> list[AcceleratorOffer]:
        own = all(cloud in _ANY_COUNT for cloud in clouds)
        found = self._client.list_accelerators(
            name=f"^{re.escape(native)}$",
            clouds=clouds,
            # The catalogues of clouds are searched, the user's own machines are asked by their name.
            region=(region if own else f"^{re.escape(region)}$") if region else None,
            all_regions=True,
            case_sensitive=False,
        )
        return [row for row in found if row.accelerator_name.lower() == native.lower()]


def _region_of(infra: str) -> str:
    region = [*infra.split("/"), ""][1].strip()
    return "" if region == "*" else region


def _fits(row: AcceleratorOffer, count: float) -> bool:
    listed = row.accelerator_count
    if listed is None:
        return False
    return count <= listed if row.cloud.lower() in _ANY_COUNT else math.isclose(listed, count)


def _cheapest(rows: Sequence[AcceleratorOffer], count: float, *, spot: bool) -> float | None:
    prices = []
    for row in rows:
        price = row.spot_price if spot else row.price
        if price is not None and math.isfinite(price) and row.accelerator_count:
            prices.append(price * count / row.accelerator_count)
    return round(min(prices), 6) if prices else None
