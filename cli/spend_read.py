"""Asks the clouds, SkyPilot servers and gateways of a stack what its nodes have cost and who used them."""

from __future__ import annotations

import json
import os.path
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from cli.errors import CliError
from cli.session import Session
from cli.spend_lines import Reading, Use, line, total
from cli.spend_period import Period
from cli.spend_state import Gateway, Server, gateways_in, servers_in
from cli.spend_table import Spending
from cli.spend_use import UseUnknown, read_use
from cli.state import Node, nodes_in
from gpu_clouds.billing import Charge, ReportsBilling
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.errors import GpuCloudError
from gpu_clouds.marker import DECLARED, stack_prefix
from gpu_clouds.models import Instance, InstanceState

_AT_ONCE = 16
_STATE_CREATED = "runs since the state has it: its cloud does not say when it was made"
_OTHER_TIME = "the time of emulated clouds runs apart from that of whoever uses them"


@dataclass(frozen=True, slots=True)
class _Place:
    """Who tells of some nodes: a credential set, or a SkyPilot server of the stack."""

    credentials: str
    server: Server | None = None

    @property
    def name(self) -> str:
        return self.credentials if self.server is None else self.server.endpoint


@dataclass(frozen=True, slots=True)
class _Told:
    """What one place told."""

    at: datetime
    emulated: bool = False
    instances: Mapping[str, Instance] | None = None
    charges: Mapping[str, tuple[Charge, ...]] | None = None
    bill: str = ""
    uses: Mapping[str, Use] | None = None
    problem: str = ""


def read_spending(session: Session, period: Period, now: datetime) -> Spending:
    """Reads everything, the places side by side; what does not answer is told and keeps nobody waiting long.

    Args:
        session: The stack.
        period: What counts.
        now: The time by this machine's clock.
    """
    state = json.loads(session.pulumi.capture("stack", "export", "--show-secrets"))
    nodes, servers = nodes_in(state), servers_in(state)
    by_place: dict[_Place, list[Node]] = {}
    for node in nodes:
        by_place.setdefault(_Place(node.credentials, servers.get(node.cluster_name)), []).append(node)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        used = [pool.submit(_use, gateway, period) for gateway in gateways_in(state)]
        asked = [
            (place, pool.submit(_ask, session, place, some, period, now)) for place, some in by_place.items()
        ]
        told = {place: each.result() for place, each in asked}
        uses: dict[str, Use] = {}
        problems = {place.name: each.problem for place, each in told.items() if each.problem}
        for found, problem, url in (each.result() for each in used):
            uses |= found
            problems |= {url: problem} if problem else {}
    lines = {
        id(node): line(node, _reading(node, told[place], uses), period)
        for place, some in by_place.items()
        for node in some
    }
    return Spending(
        stack=session.pulumi.stack,
        period=period,
        read_at=now,
        lines=[lines[id(node)] for node in nodes],
        others=_others(told, nodes),
        problems=problems,
    )


def _ask(session: Session, place: _Place, nodes: Sequence[Node], period: Period, now: datetime) -> _Told:
    try:
        cloud = _connected(session, place)
        emulated = _emulated_now(session, place)
    except (GpuCloudError, CliError) as error:
        return _Told(now, problem=error.message)
    try:
        return _asked(session, cloud, nodes, period, _Told(emulated or now, emulated is not None))
    finally:
        if place.server is not None:
            cloud.close()


def _asked(session: Session, cloud: GpuCloud, nodes: Sequence[Node], period: Period, told: _Told) -> _Told:
    problem = ""
    try:
        told = replace(told, instances=_instances(session, cloud, nodes))
    except GpuCloudError as error:
        problem = error.message
    if isinstance(cloud, ReportsBilling):
        keys = [_key(node) for node in nodes]
        try:
            charges = cloud.charges(period.begin, period.end, told.at, keys)
            told = replace(told, charges=_by_node(charges), bill=cloud.bill)
        except GpuCloudError as error:
            problem = problem or error.message
    return replace(told, uses=_jobs(cloud, nodes, told), problem=problem)


def _by_node(charges: Sequence[Charge]) -> dict[str, tuple[Charge, ...]]:
    found: dict[str, list[Charge]] = {}
    for charge in charges:
        found.setdefault(charge.node, []).append(charge)
    return {node: tuple(some) for node, some in found.items()}


def _connected(session: Session, place: _Place) -> GpuCloud:
    if place.server is None:
        return session.shared.cloud(place.credentials)
    from gpu_clouds.credentials import CredentialSet
    from gpu_clouds.registry import connect

    server = place.server
    return connect(
        CredentialSet(
            server.endpoint,
            "skypilot",
            server.token,
            server.endpoint,
            user=server.user,
            ca_file=server.ca_file,
            allow_insecure=server.allow_insecure,
            workspace=server.workspace,
        ),
        clock=session.shared.clock,
    )


def _emulated_now(session: Session, place: _Place) -> datetime | None:
    """The time of an emulated cloud; None for one that lives by the real time."""
    from stack_config.models import EMULATOR

    if place.server is not None:
        return None
    source = session.shared.source(place.credentials)
    if source.endpoint != EMULATOR:
        return None
    from cli.emulated import now_of
    from dynamic_providers.accounts import emulator_address

    return now_of(emulator_address(place.credentials, source.cloud)[0])


def _instances(session: Session, cloud: GpuCloud, nodes: Sequence[Node]) -> dict[str, Instance]:
    """The stack's nodes by id; clusters by name."""
    from gpu_clouds.skypilot.cloud import SkyPilotCloud

    if isinstance(cloud, SkyPilotCloud):
        # Of the stack's own clusters alone: each that is looked at is asked of the cloud behind the server.
        names = [_key(node) for node in nodes]
        prefix = os.path.commonprefix(names)  # noqa: RUF071  # names have no path components
        return {name: seen for name, (seen, _) in cloud.look_all(prefix).items()}
    found = cloud.list(stack_prefix(DECLARED, session.config.stack_id))
    return {instance.id: instance for instance in found}


def _jobs(cloud: GpuCloud, nodes: Sequence[Node], told: _Told) -> dict[str, Use]:
    """When jobs ran on clusters; none for nodes that are no clusters."""
    from gpu_clouds.skypilot.cloud import SkyPilotCloud

    if not isinstance(cloud, SkyPilotCloud):
        return {}
    uses = {}
    for name in map(_key, nodes):
        seen = (told.instances or {}).get(name)
        if seen is None or seen.state is not InstanceState.READY:
            uses[name] = Use(source="only a cluster that is up tells of its jobs")
            continue
        try:
            uses[name] = Use(tuple(cloud.busy(name, told.at)), "time without a job x price")
        except GpuCloudError as error:
            uses[name] = Use(source=f"its jobs can not be read: {error.message}")
    return uses


def _use(gateway: Gateway, period: Period) -> tuple[dict[str, Use], str, str]:
    """When the nodes of a gateway were used; or why nobody knows."""
    try:
        return read_use(gateway, period), "", gateway.url
    except (UseUnknown, GpuCloudError) as error:
        why = Use(source=f"unknown: {error}")
        return dict.fromkeys(gateway.nodes, why), str(error), gateway.url


def _reading(node: Node, told: _Told, uses: Mapping[str, Use]) -> Reading:
    seen = (told.instances or {}).get(_key(node))
    state = None if told.instances is None else InstanceState.GONE if seen is None else seen.state
    begun, note = (seen.created_at if seen else None), ""
    if seen is not None and begun is None:
        begun, note = _time(node.created), _STATE_CREATED
        if told.emulated or begun is None:
            begun, note = None, "its cloud does not say since when it runs"
    use = (
        uses.get(node.id)
        or (told.uses or {}).get(_key(node))
        or Use(source="no gateway of this stack has it")
    )
    return Reading(
        at=told.at,
        state=state,
        begun=begun,
        note=note,
        hourly_usd=seen.hourly_usd if seen else None,
        charges=None if told.charges is None else told.charges.get(_key(node), ()),
        bill=told.bill,
        use=Use(source=_OTHER_TIME) if told.emulated and use.busy is not None else use,
        problem=told.problem,
    )


def _others(told: Mapping[_Place, _Told], nodes: Sequence[Node]) -> dict[str, Decimal]:
    ids = {_key(node) for node in nodes}
    return {
        place.name: total(
            charge.total_usd for node, some in each.charges.items() if node not in ids for charge in some
        )
        for place, each in told.items()
        if each.charges is not None and place.server is None
    }


def _key(node: Node) -> str:
    """What tells nodes apart in their cloud: the id; of what is on a SkyPilot server the cluster's name."""
    return node.id.partition("@")[0] if node.cloud == "skypilot" else node.id


def _time(text: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
