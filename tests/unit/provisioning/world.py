"""Clouds in memory whose faults are written down beforehand, and a run of the engine against them."""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpu_clouds import catalog
from gpu_clouds.cloud import Capabilities
from gpu_clouds.ending import Ender
from gpu_clouds.errors import GpuCloudError, ValidationError
from gpu_clouds.intents import IntentLog
from gpu_clouds.models import (
    AccountStatus,
    Availability,
    Candidate,
    Endpoint,
    Instance,
    InstanceSpec,
    InstanceState,
    InstanceTemplate,
    LogLine,
    Offer,
)
from gpu_clouds.provisioning import NodeRequest, Provisioned, Provisioner
from gpu_clouds.readiness import Probe, ProbeResult, Readiness
from gpu_clouds.run import Run
from tests.unit.provisioning.virtual_clock import VirtualClock

STACK = "abcd1234"
FOREVER = float("inf")
RUNPOD = Capabilities(
    spot=False,
    stop=True,
    tags=False,
    ttl=False,
    logs=True,
    updatable=frozenset({"image", "env", "args", "ports"}),
    price_before_create=True,
    provision_deadline_s=900.0,
    provision_deadline_8_gpus_s=1200.0,
)
LAMBDA = replace(RUNPOD, updatable=frozenset(), deleting_counts_as_gone_after_s=180.0)
H100 = Candidate("runpod", "main", "eu-central", "H100-SXM")
A100 = Candidate("runpod", "main", "us-east", "A100-80GB-SXM")
L40S = Candidate("lambda", "spare", "us-west", "L40S")


class Killed(BaseException):
    """The process ends here; what comes after in this run does not happen."""


@dataclass(frozen=True)
class Launch:
    """How one launch call goes: a fault to raise, whether and when a node comes of it, and how it fares."""

    error: GpuCloudError | None = None
    makes: bool = True
    effect_after: float = 0.0
    visible_after: float = 0.0
    boot: float = 20.0
    becomes: InstanceState = InstanceState.READY
    price: float | None = 2.0
    gpus: int | None = None
    gpu: str = ""


@dataclass
class Node:
    id: str
    spec: InstanceSpec
    launch: Launch
    effect_at: float
    deleted_at: float = FOREVER


@dataclass
class Backend:
    """What one cloud really holds."""

    name: str
    clock: VirtualClock
    capabilities: Capabilities = RUNPOD
    script: list[Launch] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    prices: dict[Candidate, float] = field(default_factory=dict)
    list_faults: list[GpuCloudError | None] = field(default_factory=list)
    delete_faults: list[GpuCloudError | None] = field(default_factory=list)
    deleting_for: float = 0.0
    latency: float = 0.0
    calls: list[str] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def plant(self, spec: InstanceSpec, launch: Launch | None = None) -> Node:
        launch = launch or Launch(boot=0)
        node = Node(f"{self.name}{next(self.ids)}", spec, launch, self.clock.time() + launch.effect_after)
        self.nodes[node.id] = node
        return node

    def living(self) -> list[Node]:
        """All that costs money now, or will once what was sent has taken effect."""
        return [n for n in self.nodes.values() if n.deleted_at == FOREVER]

    def show(self, node: Node, credentials: str) -> Instance:
        now = self.clock.time()
        booted = now >= node.effect_at + node.launch.boot
        state = node.launch.becomes if booted else InstanceState.PENDING
        if now >= node.deleted_at:
            state = InstanceState.DELETING
        candidate = node.spec.candidate
        return Instance(
            id=node.id,
            name=node.spec.name,
            cloud=self.name,
            state=state,
            native_state=state.lower(),
            region=place_of(node.spec),
            gpu=node.launch.gpu or candidate.gpu,
            gpu_count=candidate.gpu_count if node.launch.gpus is None else node.launch.gpus,
            hourly_usd=node.launch.price,
            endpoints=(Endpoint(8000, "http", f"https://{node.id}.example"),),
            image=node.spec.template.image,
            created_at=datetime.fromtimestamp(node.effect_at, UTC),
        )

    def exists(self, node: Node) -> bool:
        return node.effect_at <= self.clock.time() < node.deleted_at + self.deleting_for


def place_of(spec: InstanceSpec) -> str:
    """Where a cloud puts a node: the first of its places that is not to be avoided."""
    candidate = spec.candidate
    try:
        places = catalog.places(candidate.cloud, candidate.region, spec.avoid_regions)
    except ValidationError:
        return candidate.region
    return places[0] if places else ""


class FakeCloud:
    """A `GpuCloud` in front of a backend. `before` and `after` see every call and may raise `Killed`."""

    def __init__(
        self,
        backend: Backend,
        credentials: str,
        before: Callable[[str], None] = lambda call: None,
        after: Callable[[str], None] = lambda call: None,
    ) -> None:
        self.backend = backend
        self.credentials = credentials
        self._before = before
        self._after = after

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def capabilities(self) -> Capabilities:
        return self.backend.capabilities

    def _call(self, what: str, effect: Callable[[], Any]) -> Any:
        self._before(what)
        self.backend.calls.append(what)
        result = effect()
        if self.backend.latency:
            self.backend.clock.sleep(self.backend.latency)
        self._after(what)
        return result

    def account(self) -> AccountStatus:
        return AccountStatus()

    def offers(self, candidates: Sequence[Candidate]) -> list[Offer]:
        at, prices = datetime(2026, 1, 1, tzinfo=UTC), self.backend.prices
        answer = [Offer(c, prices[c], Availability.HIGH, "test", at) for c in candidates if c in prices]
        return list(self._call("offers", lambda: answer))

    def create(self, spec: InstanceSpec) -> Instance:
        launch = self.backend.script.pop(0) if self.backend.script else Launch()

        def effect() -> Node | None:
            return self.backend.plant(spec, launch) if launch.makes else None

        node = self._call("create", effect)
        if launch.error is not None:
            raise launch.error
        assert node is not None
        return self.backend.show(node, self.credentials)

    def get(self, instance_id: str) -> Instance:
        def effect() -> Instance:
            node = self.backend.nodes.get(instance_id)
            if node is None or not self.backend.exists(node):
                return Instance(instance_id, "", self.name, InstanceState.GONE, "404")
            return self.backend.show(node, self.credentials)

        found: Instance = self._call("get", effect)
        return found

    def list(self, name_prefix: str) -> list[Instance]:
        def effect() -> list[Instance]:
            fault = self.backend.list_faults.pop(0) if self.backend.list_faults else None
            if fault is not None:
                raise fault
            now = self.backend.clock.time()
            return [
                self.backend.show(n, self.credentials)
                for n in tuple(self.backend.nodes.values())
                if self.backend.exists(n)
                and n.spec.name.startswith(name_prefix)
                and now >= n.effect_at + n.launch.visible_after
            ]

        return list(self._call("list", effect))

    def update(self, instance_id: str, spec: InstanceSpec) -> Instance:
        def effect() -> Instance:
            node = self.backend.nodes[instance_id]
            node.spec = spec
            return self.backend.show(node, self.credentials)

        changed: Instance = self._call("update", effect)
        return changed

    def delete(self, instance_id: str) -> None:
        def effect() -> None:
            fault = self.backend.delete_faults.pop(0) if self.backend.delete_faults else None
            if fault is not None:
                raise fault
            node = self.backend.nodes.get(instance_id)
            if node is not None:
                node.deleted_at = min(node.deleted_at, self.backend.clock.time())

        self._call("delete", effect)

    def stop(self, instance_id: str) -> None:
        raise NotImplementedError

    def start(self, instance_id: str) -> None:
        raise NotImplementedError

    def logs(self, instance_id: str, *, tail: int = 100, cursor: str = "") -> Iterator[LogLine]:
        raise NotImplementedError

    def close(self) -> None:
        return


@dataclass
class World:
    """Two clouds, this machine's folder of intents, and runs of the engine against them."""

    folder: Path
    clock: VirtualClock = field(default_factory=VirtualClock)
    ready: Callable[[Instance], bool] = lambda instance: True
    lines: list[str] = field(default_factory=list)
    answer: Probe | None = None
    """Answers probes in the place of `ready`."""

    def __post_init__(self) -> None:
        self.runpod = Backend("runpod", self.clock)
        self.other = Backend("lambda", self.clock, LAMBDA)

    def living(self) -> list[Node]:
        return self.runpod.living() + self.other.living()

    def names(self) -> list[str]:
        """Slugs of the nodes that cost money."""
        return sorted(n.spec.name.split("-", 3)[3].rsplit("-", 1)[0] for n in self.living())

    def start(self, **hooks: Any) -> "EngineRun":
        return EngineRun(self, **hooks)


class EngineRun:
    """One process that lives for one run of the engine."""

    def __init__(
        self,
        world: World,
        before: Callable[[str], None] = lambda call: None,
        after: Callable[[str], None] = lambda call: None,
        may_send: Callable[[], None] = lambda: None,
    ) -> None:
        self.world = world
        self.clouds: Mapping[str, FakeCloud] = {
            "main": FakeCloud(world.runpod, "main", before, after),
            "spare": FakeCloud(world.other, "spare", before, after),
        }
        self.intents = IntentLog(STACK, world.folder, world.clock)
        self.run = Run(world.clock, world.clock.condition)
        self.cancel = threading.Event()
        self._may_send = may_send

    def _ask(self, instance: Instance, readiness: Readiness) -> ProbeResult:
        if self.world.answer is not None:
            return self.world.answer(instance, readiness)
        return ProbeResult(self.world.ready(instance), "port 8000 / answers HTTP 503")

    def provisioner(self) -> Provisioner:
        return Provisioner(
            self.clouds,
            self.intents,
            self.world.clock,
            self.cancel,
            self.world.lines.append,
            self._may_send,
            run=self.run,
            ask=self._ask,
        )

    def up(self, request: NodeRequest) -> Provisioned:
        return self.provisioner().find_or_launch(request)

    def ender(self) -> Ender:
        clock, lines = self.world.clock, self.world.lines
        return Ender(clock, self.cancel, lines.append, self._may_send, run=self.run)

    def end_all(self) -> list[Instance]:
        return self.ender().end_all(self.clouds, "p", STACK, self.intents)


def request(node: str = "n0", *candidates: Candidate, **changes: Any) -> NodeRequest:
    return NodeRequest(
        owner="p",
        stack_id=STACK,
        node=node,
        candidates=candidates or (H100, L40S),
        template=changes.pop("template", InstanceTemplate(image="vllm:1", ports=("8000/http",))),
        **changes,
    )


def spec_of(asked: NodeRequest, candidate: Candidate = H100) -> InstanceSpec:
    """What this request launches for one of its candidates."""
    return asked.spec(candidate, (RUNPOD if candidate.cloud == "runpod" else LAMBDA).updatable)
