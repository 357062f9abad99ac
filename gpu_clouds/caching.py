"""Makes, finds and ends weights caches.

A cache is made right before the launch of the first node that needs it, between an intent and its closing
as a node is, and only where the cloud does not say that nothing is free. If that launch is refused and
nothing else uses the new cache, it ends at once: a drought leaves no paid disks in places without a node.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from gpu_clouds import catalog
from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.errors import (
    AuthError,
    CancelledError,
    CapacityError,
    DeadlineError,
    GpuCloudError,
    PermissionRefusedError,
    RateLimitedError,
    RetiredError,
    ValidationError,
)
from gpu_clouds.intents import IntentLog, ending_objects
from gpu_clouds.inventory import poll_interval
from gpu_clouds.marker import Marker, stack_prefix
from gpu_clouds.models import Availability, CacheMount, CacheVolume, Candidate
from gpu_clouds.noting import UNANSWERED, noted
from gpu_clouds.operation import Operation, Phase
from gpu_clouds.weights_cache import CacheRequest, CacheSlot, KeepsCaches, cache_name, cache_prefix

_HARD = (AuthError, PermissionRefusedError, RetiredError)
END_DEADLINE_S = 300.0
"""How long the end of all caches of a stack may take, seconds."""


@contextmanager
def mounted(op: Operation, cloud: GpuCloud, candidate: Candidate) -> Iterator[CacheMount | None]:
    """The cache for one launch; None where the request has none.

    Leaving the block with an error by which nothing was launched gives the cache back.

    Raises:
        CapacityError: It would have to be made, and the cloud says that it has no machine there.
        GpuCloudError: It can't be found or made.
    """
    request = op.request.cache
    if request is None:
        yield None
        return
    store = _store(cloud)
    region = _place(candidate)
    name = cache_name(op.request.owner, op.request.stack_id, request.name, cloud.name, region)
    slot = op.run.caches.slot(cloud, name)
    with slot.lock:
        if slot.volume is None:
            found = _find(op, store, name)
            slot.volume, slot.new = (
                found or _make(op, cloud, store, candidate, request, name, region),
                not found,
            )
        slot.users += 1
        volume = slot.volume
    refused = again = False
    try:
        yield CacheMount(volume, request.path)
    except GpuCloudError as error:
        again = isinstance(error, RateLimitedError)  # the same launch is sent once more in a moment
        refused = not isinstance(error, UNANSWERED)
        raise
    finally:
        with slot.lock:
            slot.users -= 1
            slot.new = slot.new and refused
            if slot.new and slot.users == 0 and not again:
                _end_unused(op, store, slot, name)


def _place(candidate: Candidate) -> str:
    places = catalog.resolve_region(candidate.cloud, candidate.region)
    if len(places) != 1:
        raise ValidationError(f"{candidate}: a weights cache lives in one place; give one region")
    return places[0]


def _store(cloud: GpuCloud) -> KeepsCaches:
    if not isinstance(cloud, KeepsCaches):
        raise ValidationError(f"{cloud.name} has no weights cache: remove it from the node class")
    return cloud


def _find(op: Operation, store: KeepsCaches, name: str) -> CacheVolume | None:
    """The cache of this name; of several the first by id, so that every node takes the same."""
    left = op.intents.settle_left(name, op.request.settle_s)
    if left > 0:
        op.say(Phase.QUEUED, f"a weights cache may still appear: waiting {left:.0f} s")
        op.clock.sleep(left, op.cancel)
    found = sorted((v for v in store.list_caches(name) if v.name == name), key=lambda volume: volume.id)
    return found[0] if found else None


def _make(
    op: Operation,
    cloud: GpuCloud,
    store: KeepsCaches,
    candidate: Candidate,
    request: CacheRequest,
    name: str,
    region: str,
) -> CacheVolume:
    offers = op.run.offers(cloud, [candidate]) if cloud.capabilities.price_before_create else []
    if any(offer.availability is Availability.NONE for offer in offers):
        raise CapacityError(f"none is free in {region}, so no weights cache was made there", cloud=cloud.name)
    # Unanswered, its intent stays open: the next look waits until nothing can appear any more.
    with noted(op.intents, name, cloud.name, op.may_send):
        volume = store.create_cache(name, region, request.size_gb)
    op.note(f"made weights cache {volume.id} ({name}, {request.size_gb} GB) in {region}")
    return volume


def _end_unused(op: Operation, store: KeepsCaches, slot: CacheSlot, name: str) -> None:
    """Ends a cache that was made for a launch that was refused."""
    volume = slot.volume
    assert volume is not None  # only somebody who took it gives it back
    try:
        with noted(op.intents, ending_objects(op.stack), volume.cloud, op.may_send, required=False):
            store.delete_cache(volume.id)
        slot.volume = None
        op.note(f"ended weights cache {volume.id} ({name}): nothing was launched with it")
    except GpuCloudError as error:
        op.note(f"weights cache {volume.id} ({name}) is empty and stays until a destroy: {error.message}")


def list_caches(
    clouds: Mapping[str, GpuCloud], owner: str, stack_id: str, *, declared: Collection[str]
) -> list[tuple[str, CacheVolume]]:
    """Every cache of a stack, with the credential set that shows it.

    Args:
        clouds: One connected cloud for each credential set.
        owner: `p` or `o`.
        stack_id: The stack.
        declared: Names of the caches that the program declares; without any, an account that may not list
            disks has made none either, and is passed over.

    Raises:
        GpuCloudError: An account can't be listed.
    """
    found: dict[tuple[str, str], tuple[str, CacheVolume]] = {}
    for credentials, cloud in clouds.items():
        if isinstance(cloud, KeepsCaches):
            try:
                volumes = cloud.list_caches(cache_prefix(owner, stack_id))
            except PermissionRefusedError:
                if declared:
                    raise
                continue
            for volume in volumes:
                # Two credential sets may belong to one account.
                found.setdefault((volume.cloud, volume.id), (credentials, volume))
    return list(found.values())


def end_caches(
    clouds: Mapping[str, GpuCloud],
    owner: str,
    stack_id: str,
    *,
    declared: Mapping[str, bool],
    intents: IntentLog,
    clock: Clock,
    cancel: threading.Event | None,
    may_send: Callable[[], None],
) -> tuple[list[CacheVolume], list[CacheVolume]]:
    """Ends every cache of a stack but those to be kept, once no node is left and no launch can take effect.

    Args:
        clouds: One connected cloud for each credential set.
        owner: `p` or `o`.
        stack_id: The stack.
        declared: Name of each declared cache -> whether it is kept.
        intents: The stack's write-ahead intents.
        clock: Tells the time.
        cancel: Set when the user or the engine asks to stop.
        may_send: Called before every delete; raises when the engine has ended.

    Returns:
        Those that ended, and those that were kept.

    Raises:
        DeadlineError: One is still there; names it.
        GpuCloudError: An account can't be listed, or its key may not delete.
    """
    start = clock.monotonic()
    ends = ending_objects(stack_prefix(owner, stack_id))
    ended: dict[tuple[str, str], CacheVolume] = {}
    while True:
        left: list[tuple[GpuCloud, CacheVolume]] = []
        kept: list[CacheVolume] = []
        for credentials, volume in list_caches(clouds, owner, stack_id, declared=declared):
            marker = Marker.parse(volume.name)
            if marker is not None and declared.get(marker.node, False):
                kept.append(volume)
            elif marker is not None:
                left.append((clouds[credentials], volume))
        if not left:
            return list(ended.values()), kept
        why = "it is still listed"
        for cloud, volume in left:
            try:
                # Until that is over, an `up` after a kill must not mount what it sees.
                with noted(intents, ends, volume.cloud, may_send, required=False):
                    _store(cloud).delete_cache(volume.id)
                ended[volume.cloud, volume.id] = volume
            except (CancelledError, *_HARD):
                raise
            except GpuCloudError as error:  # clouds go on counting a node for a while after its end
                why = error.message
        waited = clock.monotonic() - start
        if waited >= END_DEADLINE_S:
            _, volume = left[0]
            raise DeadlineError(
                f"weights cache {volume.id} ({volume.name}) of {volume.cloud} is not gone after "
                f"{waited:.0f} s: {why}; it costs money: run destroy again, or end it in the cloud's console",
                cloud=volume.cloud,
            )
        clock.sleep(poll_interval(waited), cancel)
