"""Weights caches that cost money and that the stack file does not declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpu_clouds.caching import list_caches
from gpu_clouds.errors import GpuCloudError
from gpu_clouds.marker import DECLARED
from gpu_clouds.weights_cache import CacheOrphan, KeepsCaches, orphans, slug

if TYPE_CHECKING:
    from cli.session import Session

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class CachesFound:
    """What was found.

    Attributes:
        caches: Caches that are not declared, or exist twice in one place.
        not_listed: Credential set -> why it could not be listed.
    """

    caches: tuple[CacheOrphan, ...] = ()
    not_listed: Mapping[str, str] = field(default_factory=dict)

    def only(self, now: CachesFound) -> CachesFound:
        """Those of now that were there before: what a person has agreed to end."""
        agreed = {(found.volume.cloud, found.volume.id) for found in self.caches}
        caches = tuple(found for found in now.caches if (found.volume.cloud, found.volume.id) in agreed)
        return CachesFound(caches, now.not_listed)


def find_caches(session: Session) -> CachesFound:
    """Asks every credential set of the stack."""
    config = session.config
    declared = [slug(name) for name in config.weights_caches()]
    done, failed = session.in_each(
        list(config.credentials),
        lambda cloud: list_caches({cloud.credentials: cloud}, DECLARED, config.stack_id, declared=declared),
    )
    return CachesFound(tuple(orphans((pair for found in done.values() for pair in found), declared)), failed)


def end_caches(session: Session, caches: Sequence[CacheOrphan], say: Callable[[str], None]) -> dict[str, str]:
    """Ends caches, each asked once: one that a node mounts is refused by its cloud.

    Args:
        session: The stack.
        caches: What to end.
        say: Gets a line for each.

    Returns:
        Id of the cache -> `ended`, or why it was not.
    """
    came_of: dict[str, str] = {}
    for found in caches:
        volume = found.volume
        try:
            cloud = session.shared.cloud(found.credentials)
            assert isinstance(cloud, KeepsCaches)  # it has listed this one
            cloud.delete_cache(volume.id)
        except GpuCloudError as error:
            came_of[volume.id] = error.message
        else:
            came_of[volume.id] = "ended"
            say(f"ended weights cache {volume.id} ({volume.name})")
    return came_of


def caches_as_data(found: CachesFound, ended: Mapping[str, str] = _NOTHING) -> list[dict[str, Any]]:
    """The caches as plain data."""
    return [
        {
            "id": each.volume.id,
            "name": each.volume.name,
            "cloud": each.volume.cloud,
            "credentials": each.credentials,
            "region": each.volume.region,
            "sizeGb": each.volume.size_gb,
            "reason": each.reason,
            "cameOf": ended.get(each.volume.id),
        }
        for each in found.caches
    ]


def caches_as_lines(found: CachesFound, ended: Mapping[str, str] = _NOTHING) -> list[str]:
    """The same for a person."""
    return [
        f"weights cache {each.volume.id} ({each.volume.name}) in {each.volume.cloud} {each.volume.region} "
        f"({each.credentials}), {f'{size} GB' if (size := each.volume.size_gb) else 'size not told'}: "
        f"{ended.get(each.volume.id, each.reason)}"
        for each in found.caches
    ]
