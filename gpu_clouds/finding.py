"""Steps 0 and 1: wait for what a killed run may have sent, then look what exists already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from gpu_clouds.attempts import ProvisioningError
from gpu_clouds.errors import (
    AuthError,
    BillingError,
    CancelledError,
    CircuitOpenError,
    GpuCloudError,
    PermissionRefusedError,
    RateLimitedError,
    RetiredError,
    TransientError,
    ValidationError,
)
from gpu_clouds.intents import ending, ending_objects
from gpu_clouds.marker import Marker
from gpu_clouds.models import Candidate, Instance, InstanceState
from gpu_clouds.operation import Match, Operation, Phase

FIRST_LISTINGS_APART_S = 5.0
_LIST_TRIES = 3
_FAILED = (InstanceState.FAILED, InstanceState.STOPPED, InstanceState.STOPPING)
_ENDING = (InstanceState.DELETING, InstanceState.GONE)
_FOR_GOOD = (AuthError, BillingError, PermissionRefusedError, RetiredError, ValidationError)
_T = TypeVar("_T")
_NO_DATE = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Found:
    """What exists of a node.

    Attributes:
        keep: The node to adopt.
        surplus: Healthy ones that are too many.
        failed: Ones that will not get ready.
    """

    keep: Match | None
    surplus: tuple[Match, ...]
    failed: tuple[Match, ...]


def sort_out(matches: Iterable[Match], preferred_id: str = "") -> Found:
    """Decides which node stays: the preferred one, else the oldest by time, then by id."""
    healthy = [m for m in matches if m.instance.state not in _FAILED + _ENDING]
    failed = tuple(m for m in matches if m.instance.state in _FAILED)
    healthy.sort(
        key=lambda m: (m.instance.id != preferred_id, m.instance.created_at or _NO_DATE, m.instance.id)
    )
    return Found(healthy[0] if healthy else None, tuple(healthy[1:]), failed)


def current(op: Operation, since: float | None = None) -> list[Match]:
    """Lists every account and gives the nodes that stand for this request, those given up left out.

    Args:
        op: The operation.
        since: A listing of the last seconds will do if it began then or later; None: only a new one.

    Raises:
        GpuCloudError: An account can't be listed; a node may run there.
    """
    found: dict[tuple[str, str], Match] = {}
    others: dict[tuple[str, str], str] = {}
    for cloud in op.accounts():
        instances = _list_node(op, cloud.credentials, since)
        mine = matching(op, cloud.credentials, instances, op.dead)
        for match in mine:
            found.setdefault(match.key, match)
        for instance in instances:
            if instance.state not in _ENDING and (cloud.name, instance.id) not in op.dead:
                others.setdefault((cloud.name, instance.id), instance.name)
    for (cloud_name, instance_id), name in others.items():
        text = f"{cloud_name} node {instance_id} ({name}) was made from other inputs: left for its own delete"
        if (cloud_name, instance_id) not in found and text not in op.notes:
            op.note(text)
    return list(found.values())


def matching(
    op: Operation, credentials: str, instances: Iterable[Instance], dead: Collection[tuple[str, str]]
) -> list[Match]:
    """Those of the instances whose marker is that of one of the request's candidates in this account."""
    by_spec = _candidates_by_spec(op, credentials)
    cloud = op.clouds[credentials]
    found = []
    for instance in instances:
        marker = Marker.parse(instance.name)
        candidate = by_spec.get(marker.spec8) if marker else None
        if candidate and instance.state not in _ENDING and (cloud.name, instance.id) not in dead:
            found.append(Match(cloud, candidate, instance))
    return found


def find(op: Operation, preferred_id: str = "", *, unseen: bool = False) -> Match | None:
    """Steps 0 and 1 of a create.

    Args:
        op: The operation.
        preferred_id: Where several exist, this one stays.
        unseen: No other operation of this run has been about this node.

    Returns:
        The node to adopt; None where one has to be launched.

    Raises:
        ProvisioningError: Whether a node exists can't be told, or a failed one can't be ended.
        CancelledError: Cancelled.
    """
    node = op.request.node
    settle_s = op.request.settle_s
    # A node that is about to end must not be adopted, and a key that is about to end must not be relied on.
    noted = (op.node_prefix, ending(op.node_prefix), ending_objects(op.stack))
    left = max(op.intents.settle_left(start, settle_s) for start in noted)
    if left > 0:
        op.say(Phase.QUEUED, f"a request of a killed run may still take effect: waiting {left:.0f} s")
        op.clock.sleep(left, op.cancel)
    try:
        if not op.intents.known_machine and not op.request.first_listing_once:
            # Another machine may have been killed in the middle of a launch, and its intents are there.
            first = max(
                _patiently(op, partial(op.run.first_listed_at, cloud, op.stack, op.cancel))
                for cloud in op.accounts()
            )
            wait = first + FIRST_LISTINGS_APART_S - op.clock.monotonic()
            if wait > 0:
                op.clock.sleep(wait, op.cancel)
        # Of a stack that this run has made, a node that nobody has launched needs no listing of its own.
        shares = unseen and left <= 0 and not preferred_id and not op.intents.answered(op.node_prefix)
        matches = [*current(op, op.run.new_since(op.stack) if shares else None)]
        matches += _not_listed_yet(op, preferred_id, {m.key for m in matches})
    except CancelledError:
        raise
    except GpuCloudError as error:
        # A refusal for good has a hint of its own.
        hint = "" if isinstance(error, _FOR_GOOD) else "; run again later"
        raise ProvisioningError(
            f"[{node}] nothing was launched, because a node of this name may exist and can't be looked "
            f"for{hint}: {error.message}",
            cause=error,
        ) from error
    op.intents.remember_machine()
    found = sort_out(matches, preferred_id)
    for match in found.failed:
        op.note(
            f"{match.cloud.name} node {match.instance.id} of this name is {match.instance.state}: ending it"
        )
        end_surplus(op, match, keep=None)
    for match in found.surplus:
        kept = found.keep.instance.id if found.keep else ""
        op.note(
            f"{match.cloud.name} node {match.instance.id} is one too many: keeping {kept}, ending this one"
        )
        end_surplus(op, match, keep=found.keep)
    return found.keep


def end_surplus(op: Operation, match: Match, keep: Match | None) -> None:
    """Ends a node that must not stay.

    Raises:
        ProvisioningError: It can't be ended; the caller then holds `keep`, or this node if nothing is kept.
    """
    op.dead.add(match.key)
    try:
        op.ender(op.cancel).end(match.cloud, match.instance.id)
    except CancelledError:
        raise
    except GpuCloudError as error:
        held = keep or match
        raise ProvisioningError(
            f"[{op.request.node}] {error.message}",
            cause=error,
            attempts=op.attempts,
            kept=held.instance,
            kept_candidate=held.candidate,
        ) from error


def _not_listed_yet(op: Operation, preferred_id: str, listed: Collection[tuple[str, str]]) -> list[Match]:
    """Nodes whose id is known although no listing shows them: just launched, or named by the caller."""
    known = [("", preferred_id)] if preferred_id else []
    known += [(answer.cloud, answer.instance_id) for answer in op.intents.answered(op.node_prefix)]
    found: dict[tuple[str, str], Match] = {}
    for cloud in op.accounts():
        for name, instance_id in known:
            key = (cloud.name, instance_id)
            if name in ("", cloud.name) and key not in listed and key not in found:
                for match in matching(op, cloud.credentials, [cloud.get(instance_id)], op.dead):
                    found[key] = match
    return list(found.values())


def _list_node(op: Operation, credentials: str, since: float | None) -> list[Instance]:
    feed = op.run.feed(op.clouds[credentials], op.stack)
    look = partial(feed.fresh, op.cancel) if since is None else partial(feed.recent, since, op.cancel)
    return _patiently(op, look).by_node.get(op.node_prefix, [])


def _patiently(op: Operation, look: Callable[[], _T]) -> _T:
    """Looks again where the cloud may just have a bad moment."""
    for _ in range(_LIST_TRIES - 1):
        try:
            return look()
        except (TransientError, RateLimitedError, CircuitOpenError):
            op.clock.sleep(FIRST_LISTINGS_APART_S, op.cancel)
    return look()


def _candidates_by_spec(op: Operation, credentials: str) -> dict[str, Candidate]:
    updatable = op.clouds[credentials].capabilities.updatable
    specs: dict[str, Candidate] = {}
    for candidate in op.request.candidates:
        if candidate.credentials == credentials:
            specs.setdefault(op.request.spec8(candidate, updatable), candidate)
    return specs
