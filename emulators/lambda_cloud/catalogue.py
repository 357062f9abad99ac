"""What the emulated Lambda rents: instance types, regions and images, from `catalogue.json`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from emulators.lambda_cloud.settings import Settings

_PUBLISHED_AT = 1778000000.0
"""When the images are said to have been made."""


@dataclass(frozen=True, slots=True)
class Kind:
    """An instance type; the price is in cents per hour for the whole of it."""

    name: str
    description: str
    gpu_description: str
    cents: int
    gpus: int
    vcpus: int
    memory_gib: int
    storage_gib: int
    architecture: str
    regions: tuple[str, ...]

    def view(self, settings: Settings) -> dict[str, object]:
        """As the API shows it."""
        return {
            "name": self.name,
            "description": self.description,
            "gpu_description": self.gpu_description,
            "price_cents_per_hour": settings.prices.get(self.name, self.cents),
            "specs": {
                "vcpus": self.vcpus,
                "memory_gib": self.memory_gib,
                "storage_gib": self.storage_gib,
                "gpus": self.gpus,
            },
        }


@dataclass(frozen=True, slots=True)
class Image:
    """An operating system image in one region."""

    id: str
    family: str
    name: str
    version: str
    architecture: str
    region: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it, by name."""

    kinds: Mapping[str, Kind]
    regions: Mapping[str, str]
    images: tuple[Image, ...]
    published_at: float = _PUBLISHED_AT

    def region(self, name: str) -> dict[str, str]:
        """A region as the API shows it."""
        return {"name": name, "description": self.regions[name]}


def free(settings: Settings, kind: Kind, region: str, used: Counter[tuple[str, str]]) -> int | None:
    """Instances of a type that are free in a region; None: as many as you like.

    The most exact entry of the setting `capacity` counts; without one, the catalogue's places have no limit
    and others have none.
    """
    for key in (f"{kind.name}|{region}", f"{kind.name}|*", f"*|{region}", "*|*"):
        if key in settings.capacity:
            total = settings.capacity[key]
            return None if total is None else max(0, total - used[kind.name, region])
    return None if region in kind.regions else 0


@cache
def load() -> Catalogue:
    """Reads the file."""
    raw = json.loads((Path(__file__).parent / "catalogue.json").read_text())
    kinds = {one["name"]: Kind(**{**one, "regions": tuple(one["regions"])}) for one in raw["types"]}
    images = tuple(
        Image(
            id=hashlib.sha256(f"{one['family']}/{region}/{architecture}".encode()).hexdigest()[:32],
            family=one["family"],
            name=one["name"],
            version=one["version"],
            architecture=architecture,
            region=region,
        )
        for one in raw["images"]
        for region in raw["regions"]
        for architecture in ("x86_64", "arm64")
    )
    return Catalogue(kinds, raw["regions"], images)
