"""How many GPUs are free where, what they cost, and where a new pod is placed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from emulators.runpod.catalogue import Catalogue, Gpu, collapse
from emulators.runpod.settings import Settings


class Stock:
    """Counts the GPUs in use. What is free follows from the settings at that moment."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._used: Counter[tuple[str, str]] = Counter()

    def hold(self, gpu: str, data_center: str, count: int) -> None:
        """Takes GPUs; a negative count gives them back."""
        self._used[(collapse(gpu), data_center)] += count

    def free(self, settings: Settings, gpu: Gpu, data_center: str) -> int | None:
        """GPUs free in a data centre; None: as many as you like.

        The most exact entry of the setting `capacity` counts; without one, the catalogue's places have no
        limit and others have none.
        """
        name = collapse(gpu.id)
        for key in (f"{name}|{data_center}", f"{name}|*", f"*|{data_center}", "*|*"):
            for place, total in settings.capacity.items():
                left, _, right = place.partition("|")
                if f"{collapse(left)}|{right.strip()}" == key:
                    return None if total is None else max(0, total - self._used[(name, data_center)])
        return None if data_center in gpu.data_centers else 0

    def places(self, settings: Settings, gpu: Gpu, cloud: str) -> list[str]:
        """Data centres that have this GPU at all, free or not."""
        if not gpu.max_count[cloud]:
            return []
        named = {
            place.partition("|")[2].strip()
            for place in settings.capacity
            if collapse(place.partition("|")[0]) == collapse(gpu.id)
        }
        return [
            center
            for center in dict.fromkeys([*gpu.data_centers, *sorted(named)])
            if center in self.catalogue.data_centers
        ]

    def level(self, settings: Settings, gpu: Gpu, data_center: str, count: int) -> str:
        """NONE, LOW, MEDIUM or HIGH, for pods of `count` GPUs."""
        free = self.free(settings, gpu, data_center)
        if free is None or free >= 8 * count:
            return "HIGH"
        if free < count:
            return "NONE"
        return "LOW" if free < 2 * count else "MEDIUM"

    def place(
        self, settings: Settings, gpu: Gpu, cloud: str, count: int, wanted: Sequence[str]
    ) -> str | None:
        """Where a pod goes: the first wanted data centre with enough free; None: nowhere.

        The API's description calls the wanted ones preferred; recorded answers show that others are not
        tried.
        """
        places = self.places(settings, gpu, cloud)
        order = [center for center in wanted if center in places]
        if not wanted or not settings.observed:
            order += [center for center in places if center not in order]
        for center in order:
            free = self.free(settings, gpu, center)
            if free is None or free >= count:
                return center
        return None

    def price(self, settings: Settings, gpu: Gpu, cloud: str) -> float:
        """USD per GPU-hour now."""
        for name, tiers in settings.prices.items():
            if collapse(name) == collapse(gpu.id) and cloud in tiers:
                return tiers[cloud]
        return gpu.price[cloud]
