"""Finds nodes that no state has, and nodes that have expired; ends them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.backends import is_diy
from cli.errors import REFUSED, CliError
from cli.pulumi_cli import Pulumi
from cli.recovery import backend_url, describe, locks_of
from cli.state import Node, nodes_in
from gpu_clouds.ending import Ender
from gpu_clouds.errors import GpuCloudError
from gpu_clouds.marker import DECLARED, Marker, stack_prefix
from gpu_clouds.models import Instance, InstanceState

if TYPE_CHECKING:
    from cli.session import Session

_AT_ONCE = 16
NOT_DECLARED = "not declared"
NOT_IN_STATE = "declared, but not in the state: an up takes it over if it still fits"
ANOTHER = "the state has another node of this name"
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Found:
    """One node that should perhaps not be there.

    Attributes:
        instance: The node as its cloud shows it.
        credentials: Name of the credential set that shows it.
        node: Its slug.
        reason: Why it is here.
        expires_at: When it was no longer wanted; None where nobody knows.
    """

    instance: Instance
    credentials: str
    node: str
    reason: str
    expires_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells nodes apart, whichever credential set shows them."""
        return self.instance.cloud, self.instance.id


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found.

    Attributes:
        stack: Name of the stack.
        stack_id: Its id.
        nodes: The nodes.
        not_listed: Credential set -> why it could not be listed.
        expired: Whether nodes past their expiresAt were looked for.
    """

    stack: str
    stack_id: str
    nodes: tuple[Found, ...]
    not_listed: Mapping[str, str] = field(default_factory=dict)
    expired: bool = False

    def only(self, now: Findings) -> Findings:
        """Those of now that were there before: what a person has agreed to end and is still to be ended."""
        agreed = {found.key for found in self.nodes}
        return replace(now, nodes=tuple(found for found in now.nodes if found.key in agreed))


def find(session: Session, *, expired: bool = False, now: datetime | None = None) -> Findings:
    """Lists the clouds, then reads the state.

    Args:
        session: The stack.
        expired: Look for nodes of the state past their expiresAt instead.
        now: What counts as past; by default this moment.
    """
    config = session.config
    prefix = stack_prefix(DECLARED, config.stack_id)
    done, failed = session.in_each(list(config.credentials), lambda cloud: cloud.list(prefix))
    listed = {
        (instance.cloud, instance.id): (instance, credentials)
        for credentials, instances in reversed(done.items())
        for instance in instances
    }
    # In this order: a node that is made in between is not in the lists.
    state = nodes_in(session.pulumi.export())
    nodes = (
        _expired(listed, state, _file_says(session), now or datetime.now(UTC))
        if expired
        else _orphans(listed, state, [*config.node_names(), *config.skypilot_clusters])
    )
    return Findings(config.stack, config.stack_id, tuple(nodes), failed, expired)


def refuse_if_busy(session: Session) -> None:
    """Nodes that are just being made look like orphans.

    Raises:
        CliError: An engine works on the stack, or has left something that must be cleared first.
    """
    pulumi, config = session.pulumi, session.config
    working = [str(lock) for lock, ended in locks_of(pulumi) if not ended]
    if not working and not is_diy(backend_url(pulumi)) and _is_updating(pulumi):
        working = ["an update that is in progress"]
    if working:
        raise CliError(
            f"stack {pulumi.stack} is locked by {working[0]}: nodes that it is making look like orphans; "
            "wait for it to end",
            REFUSED,
        )
    pending = (pulumi.export().get("deployment") or {}).get("pending_operations") or []
    if pending:
        raise CliError(
            f"stack {pulumi.stack} has {len(pending)} unfinished operation(s) ({describe(pending[0])}, …): "
            "an up takes over what they made; run `gpuplane recover`, then up or destroy, and look again",
            REFUSED,
        )
    left = session.shared.intents(config.stack_id).settle_left(
        stack_prefix(DECLARED, config.stack_id), config.settings.settle_s
    )
    if left > 0:
        raise CliError(f"a launch of this machine may still take effect: look again in {left:.0f} s", REFUSED)


def end_all(session: Session, nodes: Sequence[Found], say: Callable[[str], None]) -> dict[str, str]:
    """Ends nodes, all at once, each until its cloud says that it is gone.

    Args:
        session: The stack.
        nodes: What to end.
        say: Gets a line for each.

    Returns:
        Id of the node -> `ended`, or why it was not.
    """
    ender = Ender(session.shared.clock, None, say, lambda: None)
    deadline = session.config.settings.delete_deadline_s
    intents = session.shared.intents(session.config.stack_id)

    def end(found: Found) -> str:
        try:
            ender.end(
                session.shared.cloud(found.credentials),
                found.instance.id,
                deadline_s=deadline,
                # Should this be killed, no up adopts a node that is about to end.
                marker=found.instance.name,
                intents=intents,
            )
        except GpuCloudError as error:
            return error.message
        say(f"ended {found.instance.cloud} node {found.instance.id} ({found.instance.name})")
        return "ended"

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return dict(zip((found.instance.id for found in nodes), pool.map(end, nodes), strict=True))


def _is_updating(pulumi: Pulumi) -> bool:
    """What the backend says; one that does not know says nothing."""
    listed = json.loads(pulumi.capture("stack", "ls", "--json", of_stack=False))
    name = pulumi.stack.rsplit("/", 1)[-1]
    return any(
        entry.get("updateInProgress") is True and str(entry.get("name", "")).rsplit("/", 1)[-1] == name
        for entry in listed
    )


Listed = Mapping[tuple[str, str], tuple[Instance, str]]


def _orphans(listed: Listed, state: Iterable[Node], declared: Iterable[str]) -> list[Found]:
    ids = {node.id for node in state}
    # Their ids change with the address of their server; their names don't.
    clusters = {node.cluster_name for node in state if node.cluster_name}
    named = {node.name for node in state if node.note != "ending"}
    wanted = frozenset(declared)
    found = []
    for instance, credentials in listed.values():
        marker = Marker.parse(instance.name)
        if marker is None or instance.id in ids or instance.name in clusters or _is_ending(instance):
            continue
        absent = NOT_IN_STATE if marker.node in wanted else NOT_DECLARED
        reason = ANOTHER if marker.node in named else absent
        found.append(Found(instance, credentials, marker.node, reason))
    return sorted(found, key=lambda each: (each.node, each.instance.id))


def _expired(
    listed: Listed, state: Iterable[Node], file_says: Mapping[str, datetime | None], now: datetime
) -> list[Found]:
    by_id = {instance.id: (instance, credentials) for instance, credentials in listed.values()}
    found = []
    for node in state:
        until = _time(node.expires_at)
        # The file may have been given a later time, or none, since the last up.
        later = node.name in file_says and _is_later(file_says[node.name], now)
        seen = by_id.get(node.id)
        if until is not None and until <= now and not later and seen is not None and not _is_ending(seen[0]):
            found.append(Found(seen[0], seen[1], node.name, EXPIRED, until))
    return found


def _file_says(session: Session) -> dict[str, datetime | None]:
    """Node name -> expiresAt of its cluster, by the stack file."""
    from stack_config import node_names

    return {
        name: cluster.expires_at
        for slug, cluster in session.config.clusters.items()
        for name in node_names(slug, cluster.nodes)
    }


def _is_later(until: datetime | None, now: datetime) -> bool:
    return until is None or until > now


def _is_ending(instance: Instance) -> bool:
    return instance.state in (InstanceState.DELETING, InstanceState.GONE)


def _time(text: Any) -> datetime | None:
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
