"""The same cuts through the whole engine: `pulumi` runs the real program, is killed, and recovers."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.cutting_proxy import Cut
from tests.crash.engine_stack import Ended, EngineStack, Running
from tests.crash.operations import WRITING
from tests.crash.world import CANARY, SETTLE_REAL_S, Emulator, World, leaks, slugs, stray

WORKERS = 3
COMMAND_EVERY = 8
"""In each so many cases the recovery is `gpuplane recover` and not the same code in this process."""
Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EngineScenario:
    """One run of the engine.

    Attributes:
        name: For messages.
        before: Stack file while it was set up; None: nothing was.
        after: Stack file of the run; None: it destroys.
        args: More arguments of the run.
        extra: More environment of the run and its recovery.
        faults: Faults of the cloud during the run, not in the recovery.
        clouds: Where its nodes may be.
    """

    name: str
    before: Config | None
    after: Config | None
    args: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    clouds: tuple[str, ...] = ("runpod",)

    @property
    def copies_nodes(self) -> bool:
        """Whether what was there before can be made by copying: elsewhere an id stands in too many places."""
        return self.before is not None and self.clouds == ("runpod",)


@dataclass(frozen=True, slots=True)
class EngineCase:
    """One cut point and what follows.

    Attributes:
        dies: "both", "engine" or "host" by kill -9; "interrupt": ^C, nothing is cut.
    """

    scenario: EngineScenario
    operation: str
    nth: int
    cut: Cut
    dies: str
    recovery: str

    def __str__(self) -> str:
        what = f"{self.operation}#{self.nth} {self.cut}"
        return f"engine {self.scenario.name}: {what}, {self.dies}, then {self.recovery}"


@dataclass(slots=True)
class EngineOutcome:
    """What became of a case."""

    case: EngineCase
    reached: bool
    failure: str = ""


@dataclass(slots=True)
class _Template:
    stack: EngineStack
    bodies: dict[str, dict[str, Any]]


class EngineMatrix:
    """Runs cases through the engine.

    Args:
        emulator: The cloud.
        folder: For the cases' folders.
    """

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self._emulator = emulator
        self._folder = folder
        self._serial = 0
        self._lock = threading.Lock()
        self._templates: dict[str, _Template] = {}

    def calls(self, scenario: EngineScenario) -> list[tuple[str, int]]:
        """What an undisturbed run calls; it must end well."""
        world, stack = self._start(scenario)
        passed = False
        try:
            world.proxy.forget()
            ended = self._begin(scenario, stack).wait()
            calls = [(call.operation, call.nth) for call in world.proxy.calls]
            problem = wrong(world, stack, scenario.after)
            assert ended.status == 0 and not problem, (
                f"{scenario.name}, undisturbed: {problem}\n{ended.output}"
            )
            passed = True
            return calls
        finally:
            world.close(keep=not passed)

    def run(self, cases: Sequence[EngineCase]) -> list[EngineOutcome]:
        """Runs cases, some at a time."""
        for scenario in {id(case.scenario): case.scenario for case in cases}.values():
            self._template(scenario)
        with ThreadPoolExecutor(WORKERS) as pool:
            numbers = range(len(cases))
            return list(pool.map(self._run_case, cases, (n % COMMAND_EVERY == 0 for n in numbers)))

    def adopts_all(self, config: Config) -> None:
        """Deletes a stack's state file altogether: `up` has to find every node again and launch none."""
        world, stack = self._start(EngineScenario("lost-state", config, config))
        passed = False
        try:
            before = sorted(node.id for node in world.nodes())
            shutil.rmtree(stack.state_path().parent)
            stack.init()
            world.proxy.forget()
            ended = stack.up()
            launches = [str(call) for call in world.proxy.calls if call.writes]
            assert ended.status == 0, ended.output
            assert not wrong(world, stack, config)
            assert sorted(node.id for node in world.nodes()) == before
            assert not launches
            assert stack.destroy().status == 0
            assert not wrong(world, stack, None)
            passed = True
        finally:
            world.close(keep=not passed)

    def _world(self, name: str, clouds: Sequence[str]) -> World:
        with self._lock:
            self._serial += 1
            number = self._serial
        return World.make(self._emulator, self._folder / f"{number:03d}-{name}", clouds=clouds)

    def _template(self, scenario: EngineScenario) -> _Template:
        """A stack as it is before the run; made once for each stack file."""
        key = json.dumps([scenario.before, scenario.after if scenario.before is None else {}], sort_keys=True)
        if key not in self._templates:
            world = self._world("template", scenario.clouds)
            try:
                stack = EngineStack(
                    world.folder, scenario.before or scenario.after or {}, world.emulator_dir, world.variables
                )
                stack.init()
                if scenario.copies_nodes:
                    ended = stack.up()
                    problem = wrong(world, stack, scenario.before)
                    assert ended.status == 0 and not problem, f"set-up: {problem}\n{ended.output}"
                bodies = {node.id: body_of(node.row) for node in world.nodes() if node.cloud == "runpod"}
            finally:
                world.close(keep=True)
            self._templates[key] = _Template(stack, bodies)
        return self._templates[key]

    def _start(self, scenario: EngineScenario) -> tuple[World, EngineStack]:
        template = self._template(scenario)
        world = self._world(scenario.name, scenario.clouds)
        variables = {**world.variables, **scenario.extra}
        stack = template.stack.clone(world.folder, world.emulator_dir, variables)
        path = stack.state_path()
        text = path.read_text()
        for old, body in template.bodies.items():
            text = text.replace(old, self._emulator.launch(world.key, body))
        path.write_text(text)
        if scenario.before is not None and not scenario.copies_nodes:
            stack.configure(scenario.before)
            ended = stack.up()
            assert ended.status == 0, f"set-up: {ended.output}"
        for fault in scenario.faults:
            world.fault(**fault)
        if scenario.after is not None:
            stack.configure(scenario.after)
        return world, stack

    def _begin(self, scenario: EngineScenario, stack: EngineStack) -> Running:
        verb = "destroy" if scenario.after is None else "up"
        return stack.start(verb, "--yes", "--skip-preview", *scenario.args)

    def _run_case(self, case: EngineCase, by_command: bool) -> EngineOutcome:
        for _ in range(3):
            outcome = self._try_case(case, by_command)
            if outcome is not None:
                return outcome
        return EngineOutcome(
            case, True, "the machine is too slow: late calls came after the settle time three times"
        )

    def _try_case(self, case: EngineCase, by_command: bool) -> EngineOutcome | None:
        world, stack = self._start(case.scenario)
        outcome = EngineOutcome(case, False, "did not finish")
        problems: list[str] = []
        try:
            world.proxy.arm(case.operation, case.nth, case.cut, kills=case.dies != "interrupt")
            running = self._begin(case.scenario, stack)
            ended = self._cut(case, world, running, problems)
            outcome.reached = world.proxy.was_cut
            said = ended.output
            world.clear_faults()
            if outcome.reached and case.dies == "interrupt":
                problems += self._after_interrupt(case, world, stack)
            if problem := stack.recover(by_command=by_command):
                problems.append(f"recover failed: {problem}")
            config = recovery_config(case)
            second = stack.destroy() if config is None else self._up(stack, config)
            said += second.output
            world.proxy.settle()
            late = [c for c in world.proxy.calls if c.landed_at and c.operation in WRITING]
            if outcome.reached and any(c.landed_at - c.at > SETTLE_REAL_S * 0.9 for c in late if c.landed_at):
                return None
            if second.status:
                problems.append(f"{case.recovery} after the recovery ended with {second.status}")
            if problem := wrong(world, stack, config):
                problems.append(problem)
            if "Traceback" in said:
                problems.append("a traceback was shown")
            if CANARY in said or (leaked := leaks(world.folder)):
                problems.append(f"a secret is in plain text, in the output or in {leaked}")
            outcome.failure = "\n".join(problems)
            if problems:
                history = ", ".join(str(call) for call in world.proxy.calls)
                outcome.failure += f"\ncalls: {history}\n{said[-5000:]}\nfolder: {world.folder}"
            return outcome
        finally:
            world.close(keep=bool(outcome.failure))

    def _up(self, stack: EngineStack, config: Config) -> Ended:
        stack.configure(config)
        return stack.up()

    def _cut(self, case: EngineCase, world: World, running: Running, problems: list[str]) -> Ended:
        """Waits for the cut, lets die what has to, and sees to it that nothing outlives it."""
        while not world.proxy.wait_cut(0.05):
            if running.ended:
                return running.wait()
        if case.dies == "interrupt":
            running.interrupt()
            world.proxy.thaw()
            ended = running.wait()
        else:
            running.kill(engine=case.dies in ("both", "engine"), host=case.dies in ("both", "host"))
            if case.dies == "host":
                world.proxy.thaw()
            ended = running.wait()
        if left := running.left():
            problems.append(f"processes outlived the engine: {left}")
        world.proxy.thaw()
        return ended

    def _after_interrupt(self, case: EngineCase, world: World, stack: EngineStack) -> list[str]:
        """A create that ^C ended has cleaned up behind itself: there is no node that the state does not know.

        The state may know one more: that of a delete that had been sent.
        """
        there = {node.id for node in world.nodes()}
        kept = {one["id"] for one in stack.resources(":GpuNode") if one.get("id")}
        return [] if there <= kept else [f"after ^C the cloud holds {there}, the state {kept}"]


def body_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the same pod again."""
    body = {key: pod[key] for key in ("name", "image", "args", "disk", "ports", "env", "gpu", "cloud")}
    body["dataCenterIds"] = [pod["dataCenterId"]]
    if pod["mounts"]:
        body["mounts"] = pod["mounts"]
    return body


def recovery_config(case: EngineCase) -> Config | None:
    """The stack file of the recovery; None: destroy."""
    if case.recovery == "destroy":
        return None
    return case.scenario.after if case.scenario.after is not None else case.scenario.before


def wrong(world: World, stack: EngineStack, config: Config | None) -> str:
    """How cloud and state differ from what the stack file declares; empty: not at all."""
    there = world.nodes()
    clusters: Mapping[str, Mapping[str, Any]] = (config or {}).get("clusters", {})
    wanted = sorted(f"{name}-{n}" for name, cluster in clusters.items() for n in range(cluster["nodes"]))
    problems = []
    if slugs(there) != wanted:
        problems.append(f"the cloud holds {[node.name for node in there]} instead of {wanted}")
    nodes = stack.resources(":GpuNode")
    kept = sorted(one.get("outputs", {}).get("instanceId") or one.get("id", "") for one in nodes)
    if kept != sorted(node.id for node in there):
        problems.append(f"the state holds {kept}, the cloud {[node.id for node in there]}")
    if half := [
        one["urn"]
        for one in nodes
        if one.get("delete") or one.get("pendingReplacement") or one.get("initErrors")
    ]:
        problems.append(f"half done in the state: {half}")
    if config is None and stack.state().get("resources"):
        problems.append(f"the state still holds {[one['urn'] for one in stack.state()['resources']]}")
    if pending := stack.pending():
        problems.append(f"pending operations: {pending}")
    for node in there:
        image = clusters.get(slugs([node])[0].rpartition("-")[0], {}).get("image")
        if node.cloud == "runpod" and image not in (None, node.row["image"]):
            problems.append(f"{node.name} runs {node.row['image']}")
    problems += stray(there, world.belongings())
    return "; ".join(problems)


def every_cut(scenario: EngineScenario, calls: Sequence[tuple[str, int]]) -> list[EngineCase]:
    """Every call of a run, cut.

    A call that writes is cut in all four ways, and recovered both ways where its effect is not known. For one
    that only reads, the first two cuts are the same to cloud and state, and so are the last two: one of each
    is taken. Where there is one recovery only, the two take turns.
    """
    cases: list[EngineCase] = []
    for operation, nth in calls:
        for cut in Cut if operation in WRITING else (Cut.BEFORE, Cut.ANSWERED):
            unknown = operation in WRITING and cut in (Cut.LATE, Cut.UNANSWERED)
            recoveries = ["up", "destroy"] if unknown else [("up", "destroy")[len(cases) % 2]]
            for recovery in recoveries:
                cases.append(EngineCase(scenario, operation, nth, cut, "both", recovery))
    return cases
