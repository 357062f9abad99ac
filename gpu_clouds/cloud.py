"""The one protocol that every GPU cloud speaks here.

A cloud is a folder with `client.py` (HTTP), `models.py` (its JSON) and `cloud.py` (this protocol on both).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gpu_clouds.models import AccountStatus, Candidate, Instance, InstanceSpec, LogLine, Offer


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a cloud can do; decides at preview what is refused.

    Attributes:
        spot: Rents interruptible nodes.
        stop: Can stop a node and start it again.
        tags: Nodes carry tags besides a name.
        ttl: Can end a node by itself at a set time.
        logs: Shows a node's log.
        updatable: Fields of InstanceTemplate that `update` changes in place. All others mean replace.
        price_before_create: `offers` carries live prices.
        provision_deadline_s: How long a launch may take until ready, seconds.
        provision_deadline_8_gpus_s: The same for nodes of 8 GPUs.
        deleting_counts_as_gone_after_s: A node seen DELETING for this long is taken for gone; None: never.
        weights_cache: Has disks that outlive nodes (`gpu_clouds.weights_cache.KeepsCaches`).
    """

    spot: bool
    stop: bool
    tags: bool
    ttl: bool
    logs: bool
    updatable: frozenset[str]
    price_before_create: bool
    provision_deadline_s: float
    provision_deadline_8_gpus_s: float
    deleting_counts_as_gone_after_s: float | None = None
    weights_cache: bool = False


class GpuCloud(Protocol):
    """One cloud seen with one credential set.

    Every method may raise any error of `gpu_clouds.errors`; the docstrings name those that carry a meaning.
    All methods may be called from many threads at once.
    """

    @property
    def name(self) -> str:
        """Name of the cloud: `runpod`."""

    @property
    def credentials(self) -> str:
        """Name of the credential set."""

    @property
    def capabilities(self) -> Capabilities:
        """What this cloud can do."""

    def account(self) -> AccountStatus:
        """One cheap authenticated read.

        Raises:
            AuthError: The key is bad.
        """

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        """Price and availability of these candidates now, in the same order.

        A candidate that this cloud does not sell is left out.
        """

    def create(self, spec: InstanceSpec) -> Instance:
        """Sends one launch call, once, and returns as soon as the cloud has accepted it.

        Raises:
            CapacityError, PermissionRefusedError: Try the next candidate.
            AmbiguousError: The node may have been made all the same: list by name before anything else.
            ValidationError, AuthError, BillingError, QuotaError: Nothing was made; trying again is useless.
            CancelledError: Cancelled before it was sent; nothing was made.
        """

    def get(self, instance_id: str) -> Instance:
        """The node as it is now; state GONE instead of an error where the cloud knows no such id."""

    def list(self, name_prefix: str) -> list[Instance]:
        """Every node whose name starts with the prefix, those ending included, followed over all pages."""

    def update(self, instance_id: str, spec: InstanceSpec) -> Instance:
        """Changes in place what `capabilities.updatable` names.

        Raises:
            NotFoundError: The node is gone.
        """

    def delete(self, instance_id: str) -> None:
        """Asks for the end of the node and of what belongs to it alone. Absent is success. Does not wait."""

    def stop(self, instance_id: str) -> None:
        """Stops the node. Raises ValidationError where the cloud can not."""

    def start(self, instance_id: str) -> None:
        """Starts a stopped node.

        Raises:
            CapacityError: The cloud has no GPU for it now.
        """

    def logs(self, instance_id: str, *, tail: int = 100, cursor: str = "") -> Iterator[LogLine]:
        """Streams the node's log: `tail` lines back, or from a cursor on. Ends when the cloud ends it."""

    def close(self) -> None:
        """Gives connections back."""


Note = Callable[[str], AbstractContextManager[None]]
"""Writes down, under the name of what is about to be made, that a call is on its way."""


def unnoted(name: str) -> AbstractContextManager[None]:
    """Writes nothing down."""
    return nullcontext()


@runtime_checkable
class PreparesLaunches(Protocol):
    """A cloud where much time may pass before a launch can be sent: it lets so few through.

    A launch is written down before it is sent, and for how long it may still take effect is counted from
    then. So all waiting comes before that.
    """

    def prepare(self, spec: InstanceSpec, note: Note) -> None:
        """Does what comes before `create`, which follows in the same thread. Launches nothing.

        Args:
            spec: The launch.
            note: Is around each call that makes something for the stack as a whole, with its name: it may
                take effect after this process has died, and whoever ends the stack waits for that.

        Raises:
            GpuCloudError: As `create`, where it is known already that it would be refused.
        """


@runtime_checkable
class OwnsStackObjects(Protocol):
    """A cloud that keeps objects for a stack as a whole, besides its nodes: SSH keys, firewall rules."""

    def delete_stack_objects(self, owner: str, stack_id: str) -> None:
        """Deletes them all, once the stack's last node is gone. Absent is success.

        Args:
            owner: `p` or `o`, see `gpu_clouds.marker`.
            stack_id: The stack.

        Raises:
            ConflictError: One is still in use: clouds go on counting a node for a while after its end.
        """
