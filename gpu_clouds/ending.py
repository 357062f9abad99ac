"""The one way in which a node ends: deleted until gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

from gpu_clouds.clock import Clock
from gpu_clouds.cloud import GpuCloud, OwnsStackObjects
from gpu_clouds.errors import (
    AuthError,
    BillingError,
    CancelledError,
    DeadlineError,
    GpuCloudError,
    NotFoundError,
    PermissionRefusedError,
    RetiredError,
    ValidationError,
)
from gpu_clouds.intents import Intent, IntentLog, ending, ending_objects
from gpu_clouds.inventory import poll_interval
from gpu_clouds.marker import Marker, stack_prefix
from gpu_clouds.models import Instance, InstanceState
from gpu_clouds.request import SETTLE_S
from gpu_clouds.run import Run

DELETE_DEADLINE_S = 300.0
QUIET_S = 5.0
"""Without an open intent, a stack counts as empty after two empty listings this far apart."""
POLL_END_S = 5.0
"""How long at most between two looks at a single node that is being deleted, seconds."""
_RESEND_S = 20.0
"""A delete that was accepted and shows no effect for so long is sent again."""
_HARD = (AuthError, BillingError, PermissionRefusedError, RetiredError, ValidationError)
_HARD_TRIES = 3


@unique
class Ended(StrEnum):
    """What came of a delete."""

    GONE = "gone"
    SPARED = "spared"  # a create of this run returned this very id: it lives on under another resource


@dataclass(frozen=True, slots=True)
class Orphan:
    """A node of this stack that the program does not declare, or declares once while it exists twice.

    Attributes:
        instance: The node.
        credentials: Name of the credential set that shows it.
        reason: `not declared` or `exists twice`.
    """

    instance: Instance
    credentials: str
    reason: str


class Ender:
    """Ends nodes; made for one operation, cheap.

    Args:
        clock: Tells the time.
        cancel: Set when the user or the engine asks to stop; None for clean-up, which is not to be cancelled.
        progress: Gets the few lines that a user reads.
        may_send: Called before every call that changes a cloud; raises when the engine has ended.
        run: What all operations of one engine run in this process share; None for an operation on its own.
    """

    def __init__(
        self,
        clock: Clock,
        cancel: threading.Event | None,
        progress: Callable[[str], None],
        may_send: Callable[[], None],
        *,
        run: Run | None = None,
    ) -> None:
        self._clock = clock
        self._cancel = cancel
        self._progress = progress
        self._may_send = may_send
        self._run = run or Run(clock)

    def end(
        self,
        cloud: GpuCloud,
        instance_id: str,
        *,
        prefix: str = "",
        deadline_s: float = DELETE_DEADLINE_S,
        marker: str = "",
        intents: IntentLog | None = None,
    ) -> Ended:
        """Deletes a node until it is gone. Absent is success.

        Args:
            cloud: Where it is.
            instance_id: Its id.
            prefix: `stack_prefix(owner, stack_id)`: many deletes at once then share their listings; empty:
                the node is looked at by itself, which is the safer way for one that was launched seconds ago.
            deadline_s: When to give up, seconds.
            marker: The node's cloud-side name, where that is ours.
            intents: Where the delete is noted before it is sent, so that after a kill nobody keeps a node
                that is about to end; None: nowhere.

        Raises:
            DeadlineError: Still there; names the id.
            AuthError, BillingError, PermissionRefusedError, RetiredError, ValidationError: The cloud refuses
                for good; names the id.
            CancelledError: Cancelled while waiting; keep the id.
        """
        if self._run.handed_out(cloud, instance_id):
            self._progress(f"{cloud.name} node {instance_id} is kept: a create of this run has taken it over")
            return Ended.SPARED
        self._until_gone(cloud, instance_id, prefix, deadline_s, None, marker, intents)
        return Ended.GONE

    def _until_gone(
        self,
        cloud: GpuCloud,
        instance_id: str,
        prefix: str,
        deadline_s: float,
        asked_at: float | None,
        marker: str,
        intents: IntentLog | None,
    ) -> None:
        """As `end`; `asked_at` is when a delete was accepted before, if one was."""
        start = self._clock.monotonic()
        refusals = 0
        looks = 0
        sent_at: float | None = None
        deleting_since: float | None = None
        last = "no answer"
        note: Intent | None = None
        while True:
            if sent_at is None:
                note = note or self._note(cloud, marker, intents)
                self._may_send()
                try:
                    cloud.delete(instance_id)
                    _answered(note, intents)
                    note = None
                    sent_at = self._clock.monotonic()
                except NotFoundError:
                    sent_at = self._clock.monotonic()
                except CancelledError:
                    raise
                except GpuCloudError as error:
                    last = error.message
                    refusals += isinstance(error, _HARD)
                    refused = error
                except Exception as error:
                    # A fault in a client must not end a deletion: nobody would hold the id then.
                    last = f"the client failed ({type(error).__name__})"
            state = self._look(cloud, instance_id, prefix, start, looks, accepted=sent_at is not None)
            looks += 1
            now = self._clock.monotonic()
            if state is InstanceState.GONE:
                _answered(note, intents)  # a delete that comes too late hits nothing any more
                return
            if refusals >= _HARD_TRIES:
                raise type(refused)(
                    f"{cloud.name} refuses to delete node {instance_id}: {refused.message}; it may still "
                    f"cost "
                    f"money: check the key of credential set {cloud.credentials!r} and run again",
                    cloud=cloud.name,
                    status=refused.status,
                    request_id=refused.request_id,
                )
            if state is InstanceState.DELETING:
                if deleting_since is None:
                    deleting_since = now if asked_at is None else asked_at
                enough = cloud.capabilities.deleting_counts_as_gone_after_s
                if enough is not None and now - deleting_since >= enough:
                    return
            elif state is not None:
                deleting_since = asked_at = None
                last = f"it is {state}"
                if sent_at is not None and now - sent_at >= _RESEND_S:
                    sent_at = None
            if now - start >= deadline_s:
                raise DeadlineError(
                    f"{cloud.name} node {instance_id} is not gone {now - start:.0f} s after its delete "
                    f"({last}); "
                    "it may still cost money: run again, or end it in the cloud's console",
                    cloud=cloud.name,
                )
            if not prefix or sent_at is None:
                self._clock.sleep(min(POLL_END_S, float(2 ** min(looks - 1, 3))), self._cancel)

    def _look(
        self, cloud: GpuCloud, instance_id: str, prefix: str, since: float, looks: int, *, accepted: bool
    ) -> InstanceState | None:
        """The node's state now; None where it can't be read."""
        try:
            if prefix and accepted:
                feed = self._run.feed(cloud, prefix)
                listing = feed.next(since, self._cancel) if looks else feed.fresh(self._cancel)
                seen = listing.by_id.get(instance_id)
                # The cloud has accepted the delete and then lists the stack without the node: that is gone.
                return InstanceState.GONE if seen is None else seen.state
            return cloud.get(instance_id).state
        except NotFoundError:
            return InstanceState.GONE
        except CancelledError:
            raise
        except Exception:  # as above: what can't be read is looked at again
            return None

    def end_all(
        self,
        clouds: Mapping[str, GpuCloud],
        owner: str,
        stack_id: str,
        intents: IntentLog,
        *,
        settle_s: float = SETTLE_S,
    ) -> list[Instance]:
        """Ends every node of this owner and stack, listing again until nothing can appear any more.

        That is: until every open intent is older than `settle_s`; without one, until two empty listings 5 s
        apart.

        Args:
            clouds: One connected cloud for each credential set.
            owner: `p` or `o`.
            stack_id: The stack.
            intents: Its write-ahead intents.
            settle_s: How long a request of a killed run may still take effect, seconds.

        Returns:
            The nodes that were ended. What a cloud keeps for the stack as a whole has ended after them.

        Raises:
            GpuCloudError: A cloud can't be listed, or a node or object can't be ended; names what is left.
        """
        prefix = stack_prefix(owner, stack_id)
        ended: dict[tuple[str, str], Instance] = {}
        left = intents.settle_left(prefix, settle_s)
        if left > 0:
            self._progress(f"a launch of a killed run may still take effect: listing for {left:.0f} s more")
        quiet_at = self._clock.monotonic() + max(QUIET_S, left)
        while True:
            asked_at = self._clock.monotonic()
            found = self._living(clouds, prefix, intents, ended)
            # All are asked to end before the first is waited for.
            asked = [self._send_delete(cloud, instance, intents) for cloud, instance in found]
            for (cloud, instance), at in zip(found, asked, strict=True):
                self._until_gone(cloud, instance.id, prefix, DELETE_DEADLINE_S, at, instance.name, intents)
                ended[cloud.name, instance.id] = instance
                self._progress(f"ended {cloud.name} node {instance.id} ({instance.name})")
            if not found and asked_at >= quiet_at:
                for cloud in clouds.values():
                    # A node that was handed out in this run lives on, and needs them.
                    if isinstance(cloud, OwnsStackObjects) and not self._spares_any(cloud, prefix):
                        self._end_stack_objects(cloud, cloud, owner, stack_id, intents)
                return list(ended.values())
            now = self._clock.monotonic()
            if found:
                quiet_at = max(quiet_at, now + QUIET_S)
            self._clock.sleep(max(0.0, min(QUIET_S, quiet_at - now)), self._cancel)

    def _living(
        self,
        clouds: Mapping[str, GpuCloud],
        prefix: str,
        intents: IntentLog,
        ended: Mapping[tuple[str, str], Instance],
    ) -> list[tuple[GpuCloud, Instance]]:
        found: dict[tuple[str, str], tuple[GpuCloud, Instance]] = {}
        for cloud in clouds.values():
            listed = self._list(cloud, prefix)
            ids = {instance.id for instance in listed} | {i for _, i in ended}
            # A node that was launched a moment ago may be missing in the listing.
            new = {a.instance_id for a in intents.answered(prefix) if a.cloud == cloud.name}
            for instance in [*listed, *(cloud.get(i) for i in sorted(new - ids))]:
                key = (cloud.name, instance.id)
                # Some clouds go on showing a node that `end` has rightly taken for gone.
                done = key in ended and instance.state is InstanceState.DELETING
                gone = done or instance.state is InstanceState.GONE
                if not gone and not self._run.handed_out(cloud, instance.id):
                    # Two credential sets may belong to one account: the node is one all the same.
                    found.setdefault(key, (cloud, instance))
        return list(found.values())

    def _list(self, cloud: GpuCloud, prefix: str) -> list[Instance]:
        """Lists with patience: an unread cloud may hold nodes, so it can't be passed over."""
        start = self._clock.monotonic()
        while True:
            try:
                return list(self._run.feed(cloud, prefix).fresh(self._cancel).by_id.values())
            except CancelledError:
                raise
            except GpuCloudError as error:
                waited = self._clock.monotonic() - start
                if isinstance(error, _HARD) or waited >= DELETE_DEADLINE_S:
                    raise type(error)(
                        f"cannot list {cloud.name} with credential set {cloud.credentials!r}, so nodes "
                        f"of this stack "
                        f"may be left there: {error.message}",
                        cloud=cloud.name,
                        status=error.status,
                        request_id=error.request_id,
                    ) from error
                self._clock.sleep(poll_interval(waited), self._cancel)

    def _note(self, cloud: GpuCloud, marker: str, intents: IntentLog | None) -> Intent | None:
        """Puts a delete on disk before it is sent: it may take effect after this process has died."""
        return None if intents is None or not marker else self._open_note(cloud, ending(marker), intents)

    def _open_note(self, cloud: GpuCloud, marker: str, intents: IntentLog) -> Intent | None:
        try:
            return intents.open(marker, cloud.name)
        except ValidationError as error:
            self._progress(error.message)  # an end that can't be noted is better than none
            return None

    def _spares_any(self, cloud: GpuCloud, prefix: str) -> bool:
        return any(
            self._run.handed_out(cloud, instance.id) and instance.state is not InstanceState.GONE
            for instance in self._list(cloud, prefix)
        )

    def _end_stack_objects(
        self,
        cloud: GpuCloud,
        objects: OwnsStackObjects,
        owner: str,
        stack_id: str,
        intents: IntentLog,
    ) -> None:
        """Deletes what a cloud keeps for the stack as a whole; it may count as in use for a while."""
        start = self._clock.monotonic()
        # As long as this is not over, whoever brings the stack up again must not rely on what is listed.
        note = self._open_note(cloud, ending_objects(stack_prefix(owner, stack_id)), intents)
        while True:
            self._may_send()
            try:
                objects.delete_stack_objects(owner, stack_id)
                _answered(note, intents)
                return
            except CancelledError:
                raise
            except GpuCloudError as error:
                waited = self._clock.monotonic() - start
                if isinstance(error, _HARD) or waited >= DELETE_DEADLINE_S:
                    raise type(error)(
                        f"no node of this stack is left on {cloud.name}, credential set "
                        f"{cloud.credentials!r}, but what the stack keeps there can't be deleted: "
                        f"{error.message}",
                        cloud=cloud.name,
                        status=error.status,
                        request_id=error.request_id,
                    ) from error
            self._clock.sleep(poll_interval(waited), self._cancel)

    def _send_delete(self, cloud: GpuCloud, instance: Instance, intents: IntentLog) -> float | None:
        """One delete without waiting; when it was accepted, None if it was not."""
        note = self._note(cloud, instance.name, intents)
        self._may_send()
        try:
            cloud.delete(instance.id)
            _answered(note, intents)
        except CancelledError:
            raise
        except GpuCloudError:
            return None
        return self._clock.monotonic()


def _answered(note: Intent | None, intents: IntentLog | None) -> None:
    """The delete can take no effect any more that is not seen."""
    if note is not None and intents is not None:
        intents.close(note)


def orphans(
    clouds: Mapping[str, GpuCloud], owner: str, stack_id: str, declared: Iterable[str]
) -> list[Orphan]:
    """Nodes of this owner and stack whose name is not declared, or that exist twice. Ends nothing.

    Args:
        clouds: One connected cloud for each credential set.
        owner: `p` or `o`.
        stack_id: The stack.
        declared: Names (slugs) of the nodes that the program declares.

    Raises:
        GpuCloudError: A cloud can't be listed.
    """
    names = frozenset(declared)
    seen: dict[str, dict[tuple[str, str], tuple[Instance, str]]] = {}
    for cloud in clouds.values():
        for instance in cloud.list(stack_prefix(owner, stack_id)):
            marker = Marker.parse(instance.name)
            ending = instance.state in (InstanceState.DELETING, InstanceState.GONE)
            if marker is not None and not ending:
                nodes = seen.setdefault(marker.node, {})
                nodes.setdefault((cloud.name, instance.id), (instance, cloud.credentials))
    found = []
    for node, instances in sorted(seen.items()):
        reason = "not declared" if node not in names else "exists twice" if len(instances) > 1 else ""
        if reason:
            found += [Orphan(instance, credentials, reason) for instance, credentials in instances.values()]
    return found
