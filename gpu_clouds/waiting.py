"""Step 4: a node that exists becomes a node that is ready, or the reason why not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpu_clouds import catalog
from gpu_clouds.attempts import one_line
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
from gpu_clouds.models import Candidate, Instance, InstanceState
from gpu_clouds.operation import Match, Operation, Phase
from gpu_clouds.readiness import ProbeResult

LISTING_LAG_S = 30.0
"""For so long after a launch a listing, or even a status call, may not show the node yet."""
_ODD_ANSWERS = 3
GPU_REFUSALS = 3
GPU_REFUSED_FOR_S = 60.0
"""GPUs that do not work right after a boot may just not be initialised: they get three tries and a minute."""
_LONGEST_STEP = 120
_PASSING = (TransientError, RateLimitedError, CircuitOpenError)


class NodeFailedError(GpuCloudError):
    """The cloud says that the node will not get ready."""

    @property
    def kind(self) -> str:
        """`failed`."""
        return "failed"


class UnusableError(NodeFailedError):
    """The cloud calls the node ready and its own answer is no: broken GPUs, or a command that fails.

    Another machine of the same place is likely to be no better.

    Args:
        message: As for the base class.
        region: The cloud's own id of where it is; empty if not told.
        cloud: As for the base class.
    """

    def __init__(self, message: str, *, region: str, cloud: str) -> None:
        super().__init__(message, cloud=cloud)
        self.region = region

    @property
    def kind(self) -> str:
        """`unusable`."""
        return "unusable"


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
        UnusableError: It runs, and is no good.
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
    readiness = replace(request.readiness, gpus=match.candidate.gpu_count)
    refusals = _Refusals(request.readiness.tries)
    reachable_since: float | None = None
    odd = 0
    told = ""
    why = f"state {seen.native_state or seen.state}"
    while True:
        if instance is not None:
            seen = instance
            _check_alive(instance)
            why = f"state {instance.native_state or instance.state}"
            if instance.state is InstanceState.PENDING and instance.detail not in ("", told):
                told = instance.detail
                op.say(Phase.PROVISIONING, f"{cloud.name}: {one_line(told, _LONGEST_STEP)}")
            if instance.state is InstanceState.READY:
                _check_gpus(instance, match.candidate)
                if reachable_since is None:
                    reachable_since = op.clock.monotonic()
                    op.say(Phase.INSTANCE_READY, f"{cloud.name} node {instance.id}")
                    if readiness.gpu:
                        op.say(Phase.HEALTH_CHECK, f"trying {readiness.gpus} GPU(s)")
                    if readiness.kind != "none":
                        op.say(Phase.HEALTH_CHECK, readiness.what)
                answer = op.ask(instance, readiness)
                if answer:
                    return instance
                why = answer.detail
                if refusals.enough(answer, op.clock.monotonic()):
                    raise UnusableError(why, region=instance.region, cloud=cloud.name)
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


@dataclass(slots=True)
class _Refusals:
    """How often in a row, and since when, the node's own answer has been no.

    Attributes:
        tries: `Readiness.tries`.
    """

    tries: int
    by: str = ""
    count: int = 0
    since: float = 0.0

    def enough(self, answer: ProbeResult, now: float) -> bool:
        """Takes an answer; True where the node is to be given up."""
        if answer.refused_by != self.by:
            self.by, self.count, self.since = answer.refused_by, 0, now
        self.count += 1
        if self.by == "gpu":
            return self.count >= GPU_REFUSALS and now - self.since >= GPU_REFUSED_FOR_S
        return self.by == "command" and 0 < self.tries <= self.count


def _check_gpus(instance: Instance, candidate: Candidate) -> None:
    """A cloud may give fewer GPUs than asked for, or none; never is another GPU taken for the one asked."""
    if not instance.gpu:
        return  # not told
    if instance.gpu_count != candidate.gpu_count:
        raise NodeFailedError(
            f"the node has {instance.gpu_count} GPU(s), not {candidate.gpu_count}", cloud=instance.cloud
        )
    if instance.gpu != candidate.gpu and catalog.memory_gb(instance.gpu) is not None:
        raise NodeFailedError(f"the node has {instance.gpu}, not {candidate.gpu}", cloud=instance.cloud)


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
