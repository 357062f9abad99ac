"""Step 4: a node that exists becomes a node that is ready, or the reason why not."""

from __future__ import annotations

from gpu_clouds.errors import (
    CancelledError,
    CapacityError,
    CircuitOpenError,
    DeadlineError,
    GpuCloudError,
    NotFoundError,
    RateLimitedError,
    TransientError,
)
from gpu_clouds.models import Instance, InstanceState
from gpu_clouds.operation import Match, Operation, Phase

LISTING_LAG_S = 30.0
"""For so long after a launch a listing, or even a status call, may not show the node yet."""
_ODD_ANSWERS = 3
_PASSING = (TransientError, RateLimitedError, CircuitOpenError)


class NodeFailedError(GpuCloudError):
    """The cloud says that the node will not get ready."""

    @property
    def kind(self) -> str:
        """`failed`."""
        return "failed"


def wait_until_ready(op: Operation, match: Match) -> Instance:
    """Waits for state, address and probe.

    Args:
        op: The operation.
        match: The node as it was seen last.

    Returns:
        The node, ready.

    Raises:
        DeadlineError: Not in time.
        CapacityError: The cloud had accepted it without having a machine for it.
        NodeFailedError, NotFoundError: It failed or vanished.
        CancelledError: Cancelled.
    """
    request, cloud = op.request, match.cloud
    start = op.clock.monotonic()
    deadline = start + request.deadline_s(match.candidate, cloud.capabilities)
    feed = op.run.feed(cloud, op.stack)
    marked = match.instance.name.startswith(op.node_prefix)
    instance: Instance | None = match.instance
    seen = match.instance
    reachable_since: float | None = None
    odd = 0
    why = f"state {seen.native_state or seen.state}"
    while True:
        if instance is not None:
            seen = instance
            _check_alive(instance)
            why = f"state {instance.native_state or instance.state}"
            if instance.state is InstanceState.READY:
                if reachable_since is None:
                    reachable_since = op.clock.monotonic()
                    op.say(Phase.INSTANCE_READY, f"{cloud.name} node {instance.id}")
                    if request.readiness.kind != "none":
                        op.say(Phase.HEALTH_CHECK, f"{request.readiness.kind} port {request.readiness.port}")
                answer = op.ask(instance, request.readiness)
                if answer:
                    return instance
                why = answer.detail
        op.check_cancel()
        if op.clock.monotonic() >= deadline:
            raise DeadlineError(
                f"not ready after {op.clock.monotonic() - start:.0f} s ({why}{_said(seen)})", cloud=cloud.name
            )
        since = start if reachable_since is None else reachable_since
        try:
            if marked:
                instance = feed.next(since, op.cancel).by_id.get(seen.id)
            else:
                op.clock.sleep(5.0, op.cancel)
                instance = cloud.get(seen.id)
            if instance is None:
                instance = _missing(op, match, start)
            odd = 0
        except CancelledError:
            raise
        except _PASSING as error:
            instance, why = None, error.message
        except GpuCloudError as error:
            instance, why = None, error.message
            odd += 1
            if odd >= _ODD_ANSWERS or isinstance(error, NotFoundError):
                raise


def _check_alive(instance: Instance) -> None:
    state, said = instance.state, _said(instance)
    if state is InstanceState.GONE:
        raise NotFoundError(f"the node vanished while it was starting{said}", cloud=instance.cloud)
    if state is InstanceState.FAILED and instance.sold_out:
        raise CapacityError(f"no free machine{said}", cloud=instance.cloud)
    if state in (InstanceState.FAILED, InstanceState.STOPPING, InstanceState.STOPPED, InstanceState.DELETING):
        raise NodeFailedError(
            f"the node is {instance.native_state or state} instead of getting ready{said}",
            cloud=instance.cloud,
        )


def _missing(op: Operation, match: Match, start: float) -> Instance | None:
    """A node that is not in the listing: None while that may be lag, else the cloud's own word."""
    if op.clock.monotonic() - start < LISTING_LAG_S:
        return None
    return match.cloud.get(match.instance.id)


def _said(instance: Instance) -> str:
    return f": {' '.join(instance.detail.split())}" if instance.detail else ""
