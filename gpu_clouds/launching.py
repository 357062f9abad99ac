"""Step 2: one candidate is launched, and an answer that never came is looked up by the marker."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpu_clouds import catalog
from gpu_clouds.caching import mounted
from gpu_clouds.cloud import GpuCloud, PreparesLaunches
from gpu_clouds.errors import (
    AmbiguousError,
    CancelledError,
    CapacityError,
    CircuitOpenError,
    ConflictError,
    GpuCloudError,
    PermissionRefusedError,
    PriceCapExceededError,
    RateLimitedError,
    TransientError,
    ValidationError,
)
from gpu_clouds.finding import current, matching, sort_out
from gpu_clouds.models import Candidate, Instance, InstanceSpec
from gpu_clouds.noting import UNANSWERED, noted
from gpu_clouds.operation import Match, Operation, Phase

RECONCILE_AFTER_S = (2.0, 4.0, 6.0, 8.0, 10.0)
"""Pauses before the five listings that look for an unanswered launch: 30 s in all."""
_MOST_PLACES = 10
"""Places of one candidate that are tried, one after another."""
_RATE_LIMIT_TRIES = 3
_RATE_LIMIT_S = 10.0
_RATE_LIMIT_MAX_S = 120.0


class LookUpFailedError(GpuCloudError):
    """It can't be told whether a launch took effect; stops the request."""

    @property
    def kind(self) -> str:
        """`ambiguous`."""
        return "ambiguous"


@dataclass(frozen=True, slots=True)
class Priced:
    """A candidate with its price.

    Attributes:
        candidate: The candidate.
        hourly_usd: USD per hour for the node; None where nobody tells it beforehand.
        live: Its cloud asks that now; otherwise it is the list price.
        binding: The cap holds against it. Not so for the list price of a cloud that tells its own ones: the
            real price is looked at as soon as there is one.
    """

    candidate: Candidate
    hourly_usd: float | None
    live: bool
    binding: bool

    @property
    def price(self) -> str:
        """The price in words."""
        if self.hourly_usd is None:
            return "at an unknown price"
        return f"at {self.hourly_usd:.2f} USD/h{'' if self.live else ' (list price)'}"


def tries_next(error: GpuCloudError) -> bool:
    """Whether another candidate may still work after this error; otherwise the whole request stops."""
    if isinstance(error, PriceCapExceededError):
        return True
    if isinstance(error, ValidationError):
        # RunPod answers 400 for what one place can't do; its docs say to go on to the next.
        return error.status == 400
    return isinstance(
        error,
        (
            CapacityError,
            PermissionRefusedError,
            ConflictError,
            CircuitOpenError,
            RateLimitedError,
            *UNANSWERED,
        ),
    )


def in_order(op: Operation) -> list[Priced]:
    """The candidates in the order in which they are tried.

    Prices are those of this minute where the request needs them and the cloud tells them, else list prices;
    by price, what has none comes last.
    """
    request = op.request
    live: dict[Candidate, float] = {}
    if request.order == "price" or request.max_hourly_usd is not None:
        for cloud in op.accounts():
            if cloud.capabilities.price_before_create:
                live |= _live_prices(op, cloud)
    priced = [
        Priced(c, live[c], True, True)
        if c in live
        else Priced(c, _list_price(c), False, not op.cloud_of(c).capabilities.price_before_create)
        for c in request.candidates
    ]
    if request.order == "price":
        priced.sort(key=lambda p: float("inf") if p.hourly_usd is None else p.hourly_usd)
    return priced


def _live_prices(op: Operation, cloud: GpuCloud) -> dict[Candidate, float]:
    wanted = [c for c in op.request.candidates if c.credentials == cloud.credentials]
    try:
        offers = op.run.offers(cloud, wanted)
    except CancelledError:
        raise
    except GpuCloudError as error:
        # The cap is checked against the real price too, and an order is only a wish.
        what = f"{cloud.name} ({cloud.credentials}) tells no prices now ({error.kind})"
        op.note(f"{what}: its list prices are used")
        return {}
    return {offer.candidate: offer.hourly_usd for offer in offers if offer.hourly_usd is not None}


def _list_price(candidate: Candidate) -> float | None:
    offer = catalog.list_price(candidate)
    return None if offer is None else offer.hourly_usd


def check_cap(op: Operation, candidate: Candidate, hourly_usd: float | None) -> None:
    """Refuses a price above the request's cap.

    Raises:
        PriceCapExceededError: It is above.
    """
    cap = op.request.max_hourly_usd
    # A tenth of a cent of room: prices are sums of rounded numbers.
    if cap is not None and hourly_usd is not None and hourly_usd > cap + 0.001:
        raise PriceCapExceededError(
            f"costs {hourly_usd:.3f} USD/h, above maxHourlyUsd {cap:.3f}", cloud=candidate.cloud
        )


def launch(op: Operation, candidate: Candidate) -> Match:
    """Launches one candidate; at most twice, if the first launch stays without an answer.

    Returns:
        The node, not ready yet.

    Raises:
        GpuCloudError: It was refused, or stayed unanswered; `tries_next` says whether to go on.
        CancelledError: Cancelled; a node that appeared meanwhile is among the listed ones.
    """
    cloud = op.cloud_of(candidate)
    rate_limited = unanswered = places = 0
    while True:
        op.check_cancel()
        try:
            instance = _send(op, cloud, candidate)
            return Match(cloud, candidate, instance)
        except CapacityError as error:
            # Each place is a launch that is written down anew: how long it may take effect counts from then.
            places += 1
            if not error.elsewhere or places >= _MOST_PLACES:
                raise
        except RateLimitedError as error:
            rate_limited += 1
            if rate_limited >= _RATE_LIMIT_TRIES:
                raise
            wait = _RATE_LIMIT_S if error.retry_after_s is None else error.retry_after_s
            op.clock.sleep(min(_RATE_LIMIT_MAX_S, wait), op.cancel)
        except UNANSWERED as error:
            op.say(
                Phase.PROVISIONING, f"no clear answer from {cloud.name} ({error.kind}): looking for the node"
            )
            found = _reconcile(op, cloud, error)
            if found is not None:
                return found
            unanswered += 1
            if unanswered >= 2:
                raise


def settle(op: Operation, keep: Match | None) -> tuple[Match | None, tuple[Match, ...]]:
    """Waits until no unanswered launch of this operation can take effect any more, then looks once more.

    Args:
        op: The operation.
        keep: The node that stays whatever appears; None to take what appears.

    Returns:
        The node that stays, and those that are too many or failed.

    Raises:
        GpuCloudError: The listing failed.
        CancelledError: Cancelled.
    """
    if not op.unanswered:
        return keep, ()
    wait = max(sent for _, sent in op.unanswered) + op.request.settle_s - op.clock.monotonic()
    if wait > 0:
        op.say(Phase.PROVISIONING, f"an unanswered launch may still take effect: waiting {wait:.0f} s")
        op.clock.sleep(wait, op.cancel)
    found = sort_out(current(op), keep.instance.id if keep else "")
    for intent, _ in op.unanswered:
        op.intents.close(intent)
    op.unanswered.clear()
    if keep is None:
        return found.keep, found.surplus + found.failed
    everything = (found.keep, *found.surplus, *found.failed)
    return keep, tuple(m for m in everything if m is not None and m.key != keep.key)


def _send(op: Operation, cloud: GpuCloud, candidate: Candidate) -> Instance:
    """One launch, with the weights cache that it mounts."""
    with mounted(op, cloud, candidate) as cache:
        spec = op.request.spec(candidate, cloud.capabilities.updatable, cache)
        return _send_spec(op, cloud, replace(spec, avoid_regions=frozenset(op.run.avoided(cloud.name))))


def _send_spec(op: Operation, cloud: GpuCloud, spec: InstanceSpec) -> Instance:
    """One launch call between its intent and the closing of it."""
    if isinstance(cloud, PreparesLaunches):
        cloud.prepare(spec, lambda name: noted(op.intents, name, cloud.name, op.may_send))
    intent = op.intents.open(spec.name, cloud.name)
    try:
        op.may_send()
    except BaseException:
        op.intents.close(intent)
        raise
    try:
        instance = cloud.create(spec)
    except UNANSWERED:
        op.unanswered.append((intent, op.clock.monotonic()))
        raise
    except GpuCloudError:
        op.intents.close(intent)
        raise
    except Exception as error:
        # A fault in a client must not lose a node: it counts as a launch without an answer.
        op.unanswered.append((intent, op.clock.monotonic()))
        # Unless the engine has ended, which a client may have noticed first: then this goes through.
        op.may_send()
        raise AmbiguousError(
            f"the client of {cloud.name} failed after sending ({type(error).__name__})", cloud=cloud.name
        ) from error
    op.intents.close(intent, instance.id)
    return instance


def _reconcile(op: Operation, cloud: GpuCloud, error: GpuCloudError) -> Match | None:
    """Lists five times in 30 s.

    Raises:
        GpuCloudError: No listing worked, and the launch may have been: going on could make a second node.
    """
    feed = op.run.feed(cloud, op.stack)
    looked = False
    for pause in RECONCILE_AFTER_S:
        op.clock.sleep(pause, op.cancel)
        try:
            instances = feed.fresh(op.cancel).by_node.get(op.node_prefix, [])
        except CancelledError:
            raise
        except GpuCloudError:
            continue
        looked = True
        matches = matching(op, cloud.credentials, instances, op.dead)
        found = sort_out(matches)
        # What an earlier launch has left behind is no answer to this one; `settle` ends it.
        failed = [match for match in found.failed if not match.instance.remains]
        keep = found.keep or (failed[0] if failed else None)
        if keep is not None:
            if len(matches) == len(op.unanswered) == 1:
                intent, _ = op.unanswered.pop()
                op.intents.close(intent, keep.instance.id)
            # Otherwise another one may still appear: `settle` ends it.
            return keep
    if not looked and not isinstance(error, TransientError):
        raise LookUpFailedError(
            f"a launch got no answer and {cloud.name} can't be listed, so nothing more is launched: run "
            f"again later "
            f"({error.message})",
            cloud=cloud.name,
            status=error.status,
        ) from error
    return None
