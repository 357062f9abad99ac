"""One name for each GPU and region on all clouds, and what machines cost when it was last written down.

The table is an alias layer: what a cloud really has, and at what price, is read from the cloud
(`GpuCloud.offers`). Names are compared without regard to case, spaces and punctuation. A name never stands
for another GPU: where it fits several form factors of one GPU it resolves to all of them, in order, and the
caller says which was taken.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources

from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Availability, Candidate, CapacityType, Offer

NATIVE = "native:"
"""Prefix of a region that is passed to the cloud as it is, for one that is newer than the table."""
_PLACE = re.compile(r"[A-Za-z*][^\s/]*(/[^\s/]+){0,2}")


@dataclass(frozen=True, slots=True)
class _ListPrice:
    cloud: str
    gpu: str
    gpu_count: int | None
    hourly_usd: float
    as_of: datetime


@dataclass(frozen=True, slots=True)
class _Catalog:
    memory: Mapping[str, int]
    names: Mapping[str, tuple[str, ...]]  # folded name -> canonical names
    spelled: tuple[str, ...]  # what to suggest
    native: Mapping[str, Mapping[str, str]]  # cloud -> canonical -> native
    canonical: Mapping[str, Mapping[str, str]]  # cloud -> folded native -> canonical
    regions: Mapping[str, Mapping[str, tuple[str, ...]]]  # group -> cloud -> native ids
    free_regions: frozenset[str]  # clouds whose places no table can list
    counts: Mapping[str, Mapping[str, tuple[int, ...]]]  # cloud -> canonical -> GPUs in a node
    prices: tuple[_ListPrice, ...]


def resolve_gpu(name: str) -> tuple[str, ...]:
    """The canonical names that a name stands for.

    Args:
        name: `H100-SXM`, `h100 sxm`, `RTX 4090`, RunPod's `NVIDIA H100 80GB HBM3`, or an ambiguous `H100`.

    Returns:
        One name; several, the first to be tried first, where the form factor is left open.

    Raises:
        ValidationError: The name is unknown; the message has the nearest one.
    """
    data = _catalog()
    if found := data.names.get(_fold(name)):
        return found
    raise ValidationError(f"GPU {name!r} is unknown; nearest: {_nearest(name, data.spelled)}")


def gpu_names() -> tuple[str, ...]:
    """Every canonical name."""
    return tuple(_catalog().memory)


def memory_gb(canonical: str) -> int | None:
    """Memory of one GPU, GB; None where the name is not canonical."""
    return _catalog().memory.get(canonical)


def native_gpu(cloud: str, canonical: str) -> str | None:
    """What a cloud calls this GPU; None where it does not sell it.

    RunPod: the `gpu.id`; Lambda: the suffix of the instance type; Paperspace: the label; SkyPilot: the name
    that most of its clouds use (`skypilot/accelerators.py` has the others).
    """
    return _catalog().native.get(cloud, {}).get(canonical)


def canonical_gpu(cloud: str, native: str) -> str | None:
    """The canonical name of what a cloud calls so; None where the table does not know it.

    Where a cloud has one word for several GPUs (SkyPilot's `H100`) it is the first of them in the table.
    """
    return _catalog().canonical.get(cloud, {}).get(_fold(native))


def gpu_counts(cloud: str, canonical: str) -> tuple[int, ...]:
    """How many of a GPU a node of a cloud can have; empty where the table leaves it to the live catalogue."""
    return _catalog().counts.get(cloud, {}).get(canonical, ())


def native_gpus(cloud: str) -> tuple[str, ...]:
    """Canonical names of what the table knows a cloud to sell."""
    return tuple(_catalog().native.get(cloud, {}))


def resolve_region(cloud: str, region: str) -> tuple[str, ...]:
    """The cloud's own ids of a region.

    Args:
        cloud: Name of the cloud.
        region: A group (`eu-central`), an own id of the cloud (`EU-RO-1`, in any case), `native:<id>` for
            one that the table does not know yet, or empty for any. SkyPilot has no groups: its own words
            for a place (`slurm/a`, `aws/us-east-1`) are taken as they are.

    Returns:
        Own ids; empty where any will do.

    Raises:
        ValidationError: The region is unknown, or the cloud has nothing in that group.
    """
    region = region.strip()
    if not region:
        return ()
    if region.startswith(NATIVE):
        if not (own := region.removeprefix(NATIVE).strip()):
            raise ValidationError(f"region {region!r} has no id after {NATIVE!r}", cloud=cloud)
        return (own,)
    regions = _catalog().regions
    if cloud in _catalog().free_regions:
        return (_own_words(cloud, region),)
    groups = [group for group, clouds in regions.items() if cloud in clouds]
    if region.lower() in regions:
        if own_ids := regions[region.lower()].get(cloud):
            return own_ids
        raise ValidationError(f"{cloud} has nothing in {region!r}; it has: {', '.join(groups)}", cloud=cloud)
    ids = [own for group in groups for own in regions[group][cloud]]
    if match := next((own for own in ids if own.lower() == region.lower()), None):
        return (match,)
    nearest = _nearest(region, [*groups, *ids])
    raise ValidationError(
        f"region {region!r} is unknown on {cloud}; nearest: {nearest}; "
        f"if {cloud} has it by that very id, write {NATIVE}{region}",
        cloud=cloud,
    )


def places(cloud: str, region: str, avoid: Collection[str]) -> tuple[str, ...]:
    """The cloud's own ids of a region, without those to avoid.

    Args:
        cloud: Name of the cloud.
        region: As for `resolve_region`.
        avoid: Own ids where nothing is to be launched, if anything else will do.

    Returns:
        Own ids; empty where any will do. All of the region where none would be left.

    Raises:
        ValidationError: As `resolve_region`.
    """
    wanted = resolve_region(cloud, region)
    if not any(own in avoid for own in wanted or avoid):
        return wanted
    known = wanted or tuple(own for clouds in _catalog().regions.values() for own in clouds.get(cloud, ()))
    return tuple(own for own in known if own not in avoid) or wanted


def region_group(cloud: str, native: str) -> str | None:
    """The group that one of the cloud's own ids belongs to; None where the table does not know it."""
    for group, clouds in _catalog().regions.items():
        if native in clouds.get(cloud, ()):
            return group
    return None


def list_price(candidate: Candidate) -> Offer | None:
    """The price that was last written down; None where there is none. For a live one ask the cloud.

    Returns:
        An offer for the whole node, of unknown availability, with the date of the price.
    """
    if candidate.capacity is not CapacityType.ON_DEMAND:
        return None
    for price in _catalog().prices:
        if (price.cloud, price.gpu) != (candidate.cloud, candidate.gpu):
            continue
        if price.gpu_count in (None, candidate.gpu_count):
            each = candidate.gpu_count if price.gpu_count is None else 1
            return Offer(
                candidate=candidate,
                hourly_usd=round(price.hourly_usd * each, 4),
                availability=Availability.UNKNOWN,
                source=f"{price.cloud} list price",
                as_of=price.as_of,
            )
    return None


def _own_words(cloud: str, region: str) -> str:
    """A place in the words of a cloud that has more of them than any table: `aws/us-east-1`, `slurm/a`."""
    if region.lower() in _catalog().regions:
        raise ValidationError(
            f"{cloud} has nothing in {region!r}: write a place as it calls them, like aws/us-east-1 or slurm",
            cloud=cloud,
        )
    if not _PLACE.fullmatch(region):
        raise ValidationError(
            f"region {region!r} is unknown on {cloud}; nearest: a place as it calls them: cloud, "
            "cloud/region or cloud/region/zone",
            cloud=cloud,
        )
    return region


def _fold(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _nearest(name: str, known: Iterable[str]) -> str:
    by_fold = {_fold(each): each for each in known}
    near = difflib.get_close_matches(_fold(name), by_fold, n=1, cutoff=0.0)
    return by_fold[near[0]] if near else "none"


@lru_cache(maxsize=1)
def _catalog() -> _Catalog:
    """Reads the table at its first use (about a millisecond)."""
    raw = json.loads(resources.files("gpu_clouds").joinpath("catalog_data.json").read_text("utf-8"))
    gpus = raw["gpus"]
    names: dict[str, tuple[str, ...]] = {}
    native: dict[str, dict[str, str]] = {}
    canonical: dict[str, dict[str, str]] = {}
    for name, gpu in gpus.items():
        # RunPod's ids name a GPU completely, so they are accepted anywhere; the short words of the others do
        # not.
        for spelling in (name, *gpu["aliases"], *gpu["native"].get("runpod", ())):
            names[_fold(spelling)] = (name,)
        for cloud, own_names in gpu["native"].items():
            native.setdefault(cloud, {})[name] = own_names[0]
            for own in own_names:
                canonical.setdefault(cloud, {}).setdefault(_fold(own), name)
    names.update({_fold(name): tuple(order) for name, order in raw["ambiguous"].items()})
    return _Catalog(
        memory={name: gpu["memory_gb"] for name, gpu in gpus.items()},
        names=names,
        spelled=(*gpus, *raw["ambiguous"]),
        native=native,
        canonical=canonical,
        regions={
            group: {cloud: tuple(ids) for cloud, ids in clouds.items()}
            for group, clouds in raw["regions"].items()
        },
        free_regions=frozenset(raw["free_regions"]),
        counts={
            cloud: {gpu: tuple(numbers) for gpu, numbers in by_gpu.items()}
            for cloud, by_gpu in raw["gpu_counts"].items()
        },
        prices=tuple(
            _ListPrice(
                price["cloud"],
                price["gpu"],
                price["gpu_count"],
                price["hourly_usd"],
                datetime.fromisoformat(price["as_of"]).replace(tzinfo=UTC),
            )
            for price in raw["list_prices"]
        ),
    )
