"""What can be rented: which candidates to ask for, asking, and the answer as a table and as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.errors import CliError
from cli.table import table, usd
from gpu_clouds import catalog
from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Availability, Candidate, CapacityType, Offer
from gpu_clouds.registry import cloud_info
from stack_config.errors import listing, nearest

if TYPE_CHECKING:
    from cli.session import Session
    from gpu_clouds.cloud import GpuCloud
    from stack_config import StackConfig

HOURS_A_MONTH = 730


@dataclass(frozen=True, slots=True)
class Filters:
    """What a person wants to see.

    Attributes:
        gpus: GPU names as written; empty for all.
        count: GPUs in the node; None for 1, or for what a cluster's candidates say.
        region: A region group or a cloud's own id; empty for any.
        clouds: Names of clouds; empty for all.
        capacity: `on_demand` or `spot`; None for the first, or for what a cluster's candidates say.
        max_usd: Highest price of the node, USD per hour.
        available: Leave out what is sold out.
    """

    gpus: tuple[str, ...] = ()
    count: int | None = None
    region: str = ""
    clouds: tuple[str, ...] = ()
    capacity: str | None = None
    max_usd: float | None = None
    available: bool = False


def candidates_of(config: StackConfig, filters: Filters, cluster: str = "") -> list[Candidate]:
    """What to ask the clouds for.

    Args:
        config: The stack.
        filters: What is wanted.
        cluster: Only the candidates of this cluster; empty for all that the clouds are known to sell.

    Raises:
        CliError: A name is unknown, or nothing is left to ask for.
        ValidationError: A GPU or region is unknown; the message has the nearest.
    """
    for name in filters.clouds:
        known = {source.cloud for source in config.credentials.values()}
        if cloud_info(name).name not in known:
            raise CliError(f"stack {config.stack} has no credential set of {name}; it has {listing(known)}")
    wanted = {name for gpu in filters.gpus for name in catalog.resolve_gpu(gpu)}
    candidates = list(_of_cluster(config, cluster) if cluster else _of_clouds(config, filters))
    kept = [
        candidate
        for candidate in dict.fromkeys(candidates)
        if (not wanted or candidate.gpu in wanted)
        and (not filters.clouds or candidate.cloud in filters.clouds)
        and (filters.count is None or candidate.gpu_count == filters.count)
        and (filters.capacity is None or candidate.capacity == filters.capacity)
        and (not cluster or _is_in(candidate, filters.region))
    ]
    if not kept:
        raise CliError(
            "nothing to ask for: no candidate fits --gpu, --count, --capacity, --cloud and --region together"
        )
    return kept


def find_offers(session: Session, candidates: Sequence[Candidate]) -> tuple[list[Offer], dict[str, str]]:
    """Asks all clouds at once.

    Args:
        session: The stack.
        candidates: What to ask for.

    Returns:
        The offers, and for each credential set that could not be asked why.
    """

    def ask(cloud: GpuCloud) -> list[Offer]:
        wanted = [candidate for candidate in candidates if candidate.credentials == cloud.credentials]
        live = {offer.candidate: offer for offer in cloud.offers(wanted)}
        if cloud.capabilities.price_before_create:
            return list(live.values())
        # Without a live price the list price is the best that there is.
        listed = {candidate: catalog.list_price(candidate) for candidate in wanted}
        return [
            offer
            for candidate in wanted
            if (offer := _with_price(live.get(candidate), listed[candidate])) is not None
        ]

    names = list(dict.fromkeys(candidate.credentials for candidate in candidates))
    done, failed = session.in_each(names, ask)
    return [offer for offers in done.values() for offer in offers], failed


def shown(offers: Sequence[Offer], filters: Filters) -> list[Offer]:
    """The offers that pass the filters, cheapest first; an unknown price comes last, and above any cap."""
    kept = [
        offer
        for offer in offers
        if (filters.max_usd is None or (offer.hourly_usd is not None and offer.hourly_usd <= filters.max_usd))
        and not (filters.available and offer.availability is Availability.NONE)
    ]

    def order(offer: Offer) -> tuple[bool, float, str]:
        return offer.hourly_usd is None, offer.hourly_usd or 0.0, str(offer.candidate)

    return sorted(kept, key=order)


def as_data(stack: str, offers: Sequence[Offer], problems: Mapping[str, str]) -> dict[str, Any]:
    """Offers as plain data; an unknown price is null."""
    return {
        "stack": stack,
        "offers": [
            {
                "cloud": offer.candidate.cloud,
                "credentials": offer.candidate.credentials,
                "region": offer.candidate.region,
                "gpu": offer.candidate.gpu,
                "gpuCount": offer.candidate.gpu_count,
                "memoryGb": catalog.memory_gb(offer.candidate.gpu),
                "capacity": str(offer.candidate.capacity),
                "hourlyUsd": offer.hourly_usd,
                "monthlyUsd": None
                if offer.hourly_usd is None
                else round(offer.hourly_usd * HOURS_A_MONTH, 2),
                "availability": str(offer.availability),
                "source": offer.source,
                "asOf": offer.as_of.isoformat(),
            }
            for offer in offers
        ],
        "notAsked": dict(problems),
    }


def as_table(offers: Sequence[Offer]) -> str:
    """The same for a person."""
    if not offers:
        return "nothing on offer fits"
    rows = [
        (
            "CLOUD",
            "CREDENTIALS",
            "REGION",
            "GPU",
            "MEMORY",
            "USD/HOUR",
            "USD/MONTH",
            "AVAILABLE",
            "PRICE FROM",
        )
    ]
    for offer in offers:
        candidate, memory = offer.candidate, catalog.memory_gb(offer.candidate.gpu)
        capacity = "" if candidate.capacity is CapacityType.ON_DEMAND else f" {candidate.capacity}"
        month = None if offer.hourly_usd is None else offer.hourly_usd * HOURS_A_MONTH
        rows.append(
            (
                candidate.cloud,
                candidate.credentials,
                candidate.region or "any",
                f"{candidate.gpu} x{candidate.gpu_count}{capacity}",
                "" if memory is None else f"{memory * candidate.gpu_count} GB",
                usd(offer.hourly_usd),
                usd(month, 2),
                str(offer.availability),
                f"{offer.source}, {offer.as_of.date()}",
            )
        )
    return table(rows, right=(4, 5, 6))


def _of_cluster(config: StackConfig, cluster: str) -> Iterator[Candidate]:
    if cluster not in config.clusters:
        guess = nearest(cluster, config.clusters)
        hint = f'did you mean "{guess}"?' if guess else f"use {listing(config.clusters)}"
        raise CliError(f'stack {config.stack} has no cluster "{cluster}"; {hint}')
    for spec in config.candidates(cluster):
        for gpu in catalog.resolve_gpu(spec.gpu):
            if catalog.native_gpu(spec.cloud, gpu) is not None:
                yield Candidate(
                    spec.cloud,
                    spec.credentials,
                    spec.region,
                    gpu,
                    spec.gpu_count,
                    CapacityType(spec.capacity),
                )


def _of_clouds(config: StackConfig, filters: Filters) -> Iterator[Candidate]:
    reasons = []
    asked = [
        (name, source.cloud)
        for name, source in config.credentials.items()
        if not filters.clouds or source.cloud in filters.clouds
    ]
    for name, cloud in asked:
        try:
            catalog.resolve_region(cloud, filters.region)
        except ValidationError as error:
            # Only where no cloud knows the region is it a mistake.
            reasons.append(error)
            continue
        for gpu in catalog.native_gpus(cloud):
            capacity = CapacityType(filters.capacity or CapacityType.ON_DEMAND)
            yield Candidate(cloud, name, filters.region, gpu, filters.count or 1, capacity)
    if reasons and len(reasons) == len(asked):
        raise reasons[0]


def _is_in(candidate: Candidate, region: str) -> bool:
    """Whether a candidate may end up in a region."""
    if not region:
        return True
    try:
        wanted = set(catalog.resolve_region(candidate.cloud, region))
    except ValidationError:
        return False
    own = catalog.resolve_region(candidate.cloud, candidate.region)
    return not own or not wanted.isdisjoint(own)


def _with_price(live: Offer | None, listed: Offer | None) -> Offer | None:
    if live is None or listed is None or live.hourly_usd is not None:
        return live or listed
    return Offer(listed.candidate, listed.hourly_usd, live.availability, listed.source, listed.as_of)
