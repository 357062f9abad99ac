"""Find or launch: the one way in which a node comes to be.

0  wait for what a killed run may have sent        finding.py
1  look what exists: adopt, end what is too many   finding.py
2  launch the candidates in order                  launching.py
3  tell a bad request from a drought               attempts.py
4  wait until ready, or clean up and go on         waiting.py, ending.py
5  go round again while all is sold out            here
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from gpu_clouds.attempts import Attempt, ProvisioningError, is_request_fault, verdict
from gpu_clouds.avoiding import LAUNCHES_OF_ONE, avoid_place_of, has_other_place, take_next, why_last
from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.ending import DELETE_DEADLINE_S
from gpu_clouds.errors import (
    CancelledError,
    CapacityError,
    GpuCloudError,
    NotFoundError,
    PriceCapExceededError,
    ValidationError,
)
from gpu_clouds.finding import current, end_surplus, find
from gpu_clouds.intents import Intent, IntentLog
from gpu_clouds.launching import check_cap, in_order, launch, settle, tries_next
from gpu_clouds.marker import Marker
from gpu_clouds.models import Candidate, Instance, InstanceState
from gpu_clouds.operation import Match, Operation, Phase
from gpu_clouds.probing import NodeProbe
from gpu_clouds.readiness import Probe, ProbeResult, Readiness
from gpu_clouds.request import NodeRequest, Provisioned
from gpu_clouds.run import Run
from gpu_clouds.waiting import UnusableError, wait_until_ready

__all__ = [
    "Attempt",
    "Intent",
    "IntentLog",
    "NodeRequest",
    "ProbeResult",
    "Provisioned",
    "Provisioner",
    "ProvisioningError",
    "Readiness",
    "Run",
]

ROUND_PAUSE_S = 30.0
"""Pause between two rounds over candidates that are all sold out."""
CANCELLED_DELETE_DEADLINE_S = 60.0
"""After a cancel somebody waits for the end: what is not gone by then is kept in the state instead."""

_KEPT_BY_WISH = "the node is kept (keepOnFailure) and costs money: up waits for it again, destroy ends it"


class Provisioner:
    """Brings up single nodes; made for one operation, cheap.

    Args:
        clouds: One connected cloud for each credential set, by the set's name.
        intents: Write-ahead intents of the stack.
        clock: Tells the time.
        cancel: Set when the user or the engine asks to stop.
        progress: Gets the few lines that a user reads.
        may_send: Called before every call that changes a cloud; raises when the engine has ended. Whatever it
            raises goes through as it is, and nothing is cleaned up: the next run adopts.
        run: What all operations of one engine run in this process share; None for an operation on its own.
        ask: Asks a node whether it is usable; None for the real probes.
    """

    def __init__(
        self,
        clouds: Mapping[str, GpuCloud],
        intents: IntentLog,
        clock: Clock,
        cancel: threading.Event,
        progress: Callable[[str], None],
        may_send: Callable[[], None],
        *,
        run: Run | None = None,
        ask: Probe | None = None,
    ) -> None:
        self._clouds = clouds
        self._intents = intents
        self._clock = clock
        self._cancel = cancel
        self._progress = progress
        self._may_send = may_send
        self._run = run or Run(clock)
        self._probe = NodeProbe(intents.folder / "ssh", cancel)
        self._ask: Probe = ask or self._probe

    def find_or_launch(self, request: NodeRequest) -> Provisioned:
        """Gives the node of this request: the one that exists, or a new one.

        Raises:
            ProvisioningError: It did not work; `.kept` is a node that the caller has to hold.
            CancelledError: Cancelled, and no node is left whose id is known.
            ValidationError: The request contradicts itself, or this machine can't probe what it asks for.
        """
        return self._bring_up(request, "")

    def ensure_ready(self, request: NodeRequest, instance_id: str) -> Provisioned:
        """The same for a node whose create failed half way: waits for it again, or replaces it if it failed.

        Args:
            request: The request as it is now.
            instance_id: The node that the failed create left. Where several exist, this one stays.

        Returns:
            The node; its id is another one if the old one had failed.

        Raises:
            ProvisioningError, CancelledError, ValidationError: As `find_or_launch`.
        """
        self._probe.forget(instance_id)  # it may have been started anew
        return self._bring_up(request, instance_id)

    def _bring_up(self, request: NodeRequest, preferred_id: str) -> Provisioned:
        op = Operation(
            request=request,
            clouds=self._clouds,
            intents=self._intents,
            clock=self._clock,
            cancel=self._cancel,
            progress=self._progress,
            may_send=self._may_send,
            run=self._run,
            ask=self._ask,
        )
        if not request.candidates:
            raise ValidationError(f"[{request.node}] no candidate: name at least one cloud and GPU")
        self._probe.check(request.readiness)
        with self._run.claim(op.node_prefix) as first:
            op.say(Phase.QUEUED)
            try:
                op.accounts()
                op.check_cancel()
                done = _take_over(op) if request.adopt_id else _find_or_launch(op, preferred_id, first)
            except GpuCloudError:
                op.say(Phase.FAILED)
                raise
            self._run.hand_out(self._clouds[done.candidate.credentials], done.instance.id)
            op.say(Phase.ACTIVE, f"{done.candidate} node {done.instance.id}")
            return done


def _find_or_launch(op: Operation, preferred_id: str, first: bool) -> Provisioned:
    match = find(op, preferred_id, unseen=first)
    if match is not None:
        op.say(Phase.PROVISIONING, f"adopting {match.cloud.name} node {match.instance.id}")
        done = _finish(op, _with_image(op, match), adopted=True)
        if done is not None:
            return done
    give_up_at = op.clock.monotonic() + op.request.wait_for_capacity_min * 60
    while True:
        done = _one_round(op)
        if done is not None:
            return done
        sold_out = any(isinstance(a.error, CapacityError) for a in op.attempts)
        if not sold_out or is_request_fault(op.attempts) or op.clock.monotonic() + ROUND_PAUSE_S > give_up_at:
            raise _given_up(op)
        op.say(Phase.QUEUED, f"all candidates are sold out: again in {ROUND_PAUSE_S:.0f} s")
        op.clock.sleep(ROUND_PAUSE_S, op.cancel)
        # The last round is the one to report; ids of nodes that were made are told in any case.
        op.attempts[:] = [a for a in op.attempts if a.instance_id]


def _one_round(op: Operation) -> Provisioned | None:
    """Tries every candidate once; None if none worked but none forbids to go on."""
    waiting = in_order(op)
    launched: Counter[Candidate] = Counter()
    while waiting:
        priced = take_next(op.run, waiting)
        candidate = priced.candidate
        launched[candidate] += 1
        try:
            check_cap(op, candidate, priced.hourly_usd if priced.binding else None)
            op.say(Phase.PROVISIONING, f"launching {candidate} {priced.price}")
            match = launch(op, candidate)
        except CancelledError as error:
            raise _after_cancel(op, error) from error
        except GpuCloudError as error:
            remark = why_last(op.run, candidate)
            op.attempts.append(Attempt(candidate, error, price=priced.price, remark=remark))
            op.progress(f"[{op.request.node}] {candidate}: {error.kind}")
            if tries_next(error):
                continue
            late = _late_arrival(op)
            if late is not None:
                return late
            raise ProvisioningError(
                f"[{op.request.node}] {candidate}: {error.message}", cause=error, attempts=op.attempts
            ) from error
        done = _finish(op, match, adopted=False, price=priced.price)
        if done is not None:
            return done
        again = isinstance(op.attempts[-1].error, UnusableError) and has_other_place(op.run, candidate)
        if again and launched[candidate] < LAUNCHES_OF_ONE:
            waiting.insert(0, priced)
    return _late_arrival(op)


def _late_arrival(op: Operation) -> Provisioned | None:
    """A node of an unanswered launch that appeared after all: better than a failure or a second one."""
    if not op.unanswered:
        return None
    match, surplus = _settled(op, None)
    for other in surplus:
        end_surplus(op, other, match)
    return None if match is None else _finish(op, match, adopted=False)


def _settled(op: Operation, keep: Match | None) -> tuple[Match | None, tuple[Match, ...]]:
    try:
        return settle(op, keep)
    except CancelledError as error:
        if keep is not None:
            return keep, ()
        raise _after_cancel(op, error) from error
    except GpuCloudError as error:
        if keep is not None:
            op.note(
                f"an unanswered launch could not be looked for: {error.message}; a refresh will show a "
                f"second node"
            )
            return keep, ()
        raise ProvisioningError(
            f"[{op.request.node}] a launch got no answer and can't be looked for: run again later",
            cause=error,
            attempts=op.attempts,
        ) from error


def _finish(op: Operation, match: Match, *, adopted: bool, price: str = "") -> Provisioned | None:
    """Waits until the node is ready; None where it failed, is ended, and the next candidate may be tried."""
    hourly_usd: float | None = match.instance.hourly_usd
    try:
        check_cap(op, match.candidate, hourly_usd)
        ready = wait_until_ready(op, match)
        hourly_usd = hourly_usd if ready.hourly_usd is None else ready.hourly_usd
        check_cap(op, match.candidate, hourly_usd)
    except CancelledError as error:
        if adopted:
            # It may be somebody's running service whose state was lost: the caller holds it from here.
            raise _kept(op, match, error, "cancelled; the node that was found is kept") from error
        raise _after_cancel(op, error, match) from error
    except GpuCloudError as error:
        if isinstance(error, UnusableError):
            avoid_place_of(op, match, error)
        _clean_up(op, match, error, price)
        return None
    _, surplus = _settled(op, match)
    for other in surplus:
        op.note(f"{other.cloud.name} node {other.instance.id} appeared late: ending it")
        end_surplus(op, other, match)
    notes = (*op.notes, *(str(a) for a in op.attempts))
    return Provisioned(ready, match.candidate, adopted, hourly_usd, match.instance.name, notes)


def _clean_up(op: Operation, match: Match, error: GpuCloudError, price: str) -> None:
    """Ends a node that did not get ready.

    Raises:
        ProvisioningError: It is kept, by wish or because its end is not confirmed.
    """
    node_id = match.instance.id
    if op.request.keep_on_failure and not isinstance(error, PriceCapExceededError):
        raise _kept(op, match, error, _KEPT_BY_WISH)
    op.dead.add(match.key)
    op.note(f"{match.candidate} node {node_id}: {error.message}: ending it")
    try:
        op.ender().end(match.cloud, node_id, deadline_s=DELETE_DEADLINE_S)
    except GpuCloudError as failure:
        raise _kept(op, match, error, f"its deletion is not confirmed: {failure.message}") from failure
    remark = "" if isinstance(error, UnusableError) else why_last(op.run, match.candidate)
    op.attempts.append(Attempt(match.candidate, error, node_id, "deleted", price, remark))


def _after_cancel(op: Operation, error: CancelledError, match: Match | None = None) -> GpuCloudError:
    """Ends what this operation has launched, as far as it is known, and gives the error to raise."""
    mine = [match] if match is not None else _appeared(op)
    for made in mine:
        if op.request.keep_on_failure:
            return _kept(op, made, error, f"cancelled; {_KEPT_BY_WISH}")
        op.dead.add(made.key)
        try:
            op.ender().end(made.cloud, made.instance.id, deadline_s=CANCELLED_DELETE_DEADLINE_S)
        except GpuCloudError as failure:
            return _kept(op, made, error, f"cancelled; its deletion is not confirmed: {failure.message}")
        op.note(f"cancelled: {made.cloud.name} node {made.instance.id} is deleted")
    unclear = "; one launch got no answer: the next up or destroy looks for its node" if op.unanswered else ""
    return CancelledError(f"[{op.request.node}] cancelled{unclear}")


def _appeared(op: Operation) -> list[Match]:
    """After a cancel: the nodes of unanswered launches that can be seen by now; their intents stay open."""
    if not op.unanswered:
        return []
    try:
        return current(replace(op, cancel=threading.Event()))
    except GpuCloudError:
        return []


def _given_up(op: Operation) -> ProvisioningError:
    head, cause = verdict(op.attempts, op.request.max_hourly_usd)
    return ProvisioningError(f"[{op.request.node}] {head}", cause=cause, attempts=op.attempts)


def _with_image(op: Operation, match: Match) -> Match:
    """An adopted node may have been launched with an image that was changed since.

    No cloud shows more of the template than that, so nothing else is compared.
    """
    wanted, has = op.request.template.image, match.instance.image
    updatable = match.cloud.capabilities.updatable
    if not wanted or not has or wanted == has or "image" not in updatable:
        return match
    op.note(f"{match.cloud.name} node {match.instance.id} runs {has}: changing it to {wanted}")
    op.may_send()
    try:
        spec = op.request.spec(match.candidate, updatable)
        return replace(match, instance=match.cloud.update(match.instance.id, spec))
    except GpuCloudError as error:
        raise _kept(op, match, error, "its image can't be changed") from error


def _kept(op: Operation, match: Match, error: GpuCloudError, why: str) -> ProvisioningError:
    attempt = Attempt(match.candidate, error, match.instance.id, "kept")
    return ProvisioningError(
        f"[{op.request.node}] {match.candidate} node {match.instance.id} is not ready; {why}",
        cause=error,
        attempts=[*op.attempts, attempt],
        kept=match.instance,
        kept_candidate=match.candidate,
    )


def _take_over(op: Operation) -> Provisioned:
    """`adoptId`: the user names a node. It is never ended here, and keeps its name.

    A node that is not called by our marker is found again by its id alone: after a lost state it has to be
    named again, and LeakGuard does not see it.
    """
    request = op.request
    match = _named_node(op)
    op.say(Phase.PROVISIONING, f"taking over {match.cloud.name} node {match.instance.id}")
    try:
        check_cap(op, match.candidate, match.instance.hourly_usd)
        ready = wait_until_ready(op, match)
        check_cap(op, match.candidate, ready.hourly_usd)
    except CancelledError:
        raise
    except GpuCloudError as error:
        raise ProvisioningError(
            f"[{request.node}] adoptId {request.adopt_id}: {error.message}; the node is left as it is",
            cause=error,
        ) from error
    return Provisioned(ready, match.candidate, True, ready.hourly_usd, ready.name, tuple(op.notes))


def _named_node(op: Operation) -> Match:
    request = op.request
    head = f"[{request.node}] adoptId {request.adopt_id}"
    for cloud in op.accounts():
        try:
            instance = cloud.get(request.adopt_id)
        except NotFoundError:
            continue
        if instance.state is InstanceState.GONE:
            continue
        marker = Marker.parse(instance.name)
        ours = (request.owner, request.stack_id, request.node)
        if marker is not None and (marker.owner, marker.stack_id, marker.node) != ours:
            raise ValidationError(f"{head} is {instance.name}, which belongs to another node or stack")
        for candidate in request.candidates:
            if candidate.credentials == cloud.credentials and _fits(instance, candidate):
                return Match(cloud, candidate, instance)
        has = f"{instance.gpu} x{instance.gpu_count}"
        raise ValidationError(f"{head} has {has}, which is none of the candidates; add it to them")
    raise ValidationError(f"{head} is in none of the candidates' accounts; remove it to launch a new node")


def _fits(instance: Instance, candidate: Candidate) -> bool:
    same_gpu = instance.gpu in ("", candidate.gpu)
    return same_gpu and instance.gpu_count in (0, candidate.gpu_count)
