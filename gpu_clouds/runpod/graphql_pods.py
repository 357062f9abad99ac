"""Pods that are rented through GraphQL: by bid, or with a set end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from gpu_clouds import errors
from gpu_clouds.clock import utc_now
from gpu_clouds.connection import Connection
from gpu_clouds.models import (
    AccountStatus,
    Availability,
    Candidate,
    CapacityType,
    Instance,
    InstanceSpec,
    InstanceState,
    Offer,
)
from gpu_clouds.runpod.graphql import LaunchedPod, RunPodGraphQL, SpotPrice
from gpu_clouds.single_flight import SingleFlight

_PRICES_KEPT_S = 30.0
_ROOM_USD = 0.001
_STOCK = {"high": Availability.HIGH, "medium": Availability.MEDIUM, "low": Availability.LOW}


@dataclass(frozen=True, slots=True)
class _Price:
    price: SpotPrice
    as_of: datetime


class GraphqlPods:
    """What RunPod's old API adds to the new one.

    Args:
        connection: Account, endpoint, clock, cancel.
        transport: Takes the network's place in tests.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self._client = RunPodGraphQL(connection, transport)
        self._prices: SingleFlight[_Price] = SingleFlight(_PRICES_KEPT_S, connection.clock)

    def account(self, machines_in_use: int) -> AccountStatus:
        """The account's money, besides what is known already."""
        found = self._client.account()
        return AccountStatus(
            balance_usd=found.client_balance,
            spend_hourly_usd=found.current_spend_per_hr,
            spend_limit_hourly_usd=found.spend_limit,
            machines_in_use=machines_in_use,
        )

    def spot_offer(self, candidate: Candidate, native: str, centers: Sequence[str]) -> Offer | None:
        """What a spot candidate costs now; None where RunPod names no price.

        A bid below the least that RunPod takes is an offer of which nothing is free.

        Args:
            candidate: Spot.
            native: RunPod's id of its GPU.
            centers: Its data centres; none for any.
        """
        found = self._price(native, candidate.gpu_count, centers[0] if len(centers) == 1 else "")
        least = found.price.minimum_bid_price
        bid = least if candidate.bid_per_gpu_usd is None else candidate.bid_per_gpu_usd
        if bid is None:
            return None
        free = _STOCK.get(found.price.stock_status.lower(), Availability.NONE)
        return Offer(
            candidate=candidate,
            hourly_usd=round(bid * candidate.gpu_count, 6),
            availability=free if least is not None and bid >= least else Availability.NONE,
            source="runpod minimum bid" if candidate.bid_per_gpu_usd is None else "bid",
            as_of=found.as_of,
        )

    def launch(
        self,
        spec: InstanceSpec,
        native: str,
        body: Callable[[str], dict[str, object]],
        centers: Sequence[str],
    ) -> Instance:
        """One launch for each data centre until one has room: the old API takes only one at a time.

        A refusal for want of machines has made nothing, so the next may be asked; after any other answer, or
        none, nothing more is sent.

        Args:
            spec: The launch.
            native: RunPod's id of the GPU.
            body: Makes the input of the mutation for a data centre, or for any (empty).
            centers: Data centres, preferred first; none for any.

        Raises:
            CapacityError, PriceCapExceededError: Nowhere.
        """
        last: errors.GpuCloudError | None = None
        for center in centers or ("",):
            try:
                asked = body(center)
                if spec.candidate.capacity is CapacityType.SPOT:
                    asked["bidPerGpu"] = self._bid(spec, native, center)
                if spec.expires_at is not None:
                    asked["terminateAfter"] = spec.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                return _instance(self._client.launch(asked, spec.template.env.values()), spec, center)
            except (errors.CapacityError, errors.PriceCapExceededError) as error:
                last = error
        assert last is not None  # there is at least one place to try
        raise last

    def close(self) -> None:
        """Gives connections back."""
        self._client.close()

    def _bid(self, spec: InstanceSpec, native: str, center: str) -> float:
        """What is offered for one GPU: as asked, else the least that is taken; never above the cap."""
        candidate, cap = spec.candidate, spec.max_hourly_usd
        bid = candidate.bid_per_gpu_usd
        if bid is None:
            bid = self._price(native, candidate.gpu_count, center).price.minimum_bid_price
        if bid is None:
            raise errors.CapacityError(
                f"RunPod names no minimum bid for {candidate.gpu} x{candidate.gpu_count}"
                f"{f' in {center}' if center else ''}: none is free as spot",
                cloud="runpod",
            )
        if cap is not None and bid * candidate.gpu_count > cap + _ROOM_USD:
            raise errors.PriceCapExceededError(
                f"the bid of {bid * candidate.gpu_count:.3f} USD/h is above maxHourlyUsd {cap:.3f}",
                cloud="runpod",
            )
        return bid

    def _price(self, native: str, count: int, center: str) -> _Price:
        return self._prices.get(
            (native, count, center), lambda: _Price(self._client.spot_price(native, count, center), utc_now())
        )


def _instance(pod: LaunchedPod, spec: InstanceSpec, center: str) -> Instance:
    """A pod that has just been accepted; REST v2 shows the rest."""
    return Instance(
        id=pod.id,
        name=spec.name,
        cloud="runpod",
        state=InstanceState.PENDING,
        native_state=pod.desired_status,
        region=center,
        gpu=spec.candidate.gpu,
        gpu_count=spec.candidate.gpu_count,
        hourly_usd=pod.cost_per_hr,
        image=spec.template.image,
    )
