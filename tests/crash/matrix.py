"""Every HTTP call of an operation, cut at four points; host or engine die there; then the recovery."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamic_providers.host.registry import PROGRAM_FILE
from tests.crash.cutting_proxy import WRITING, Cut
from tests.crash.driven_engine import Declared, DrivenEngine
from tests.crash.host_process import Host, HostDiedError, StepFailedError, host_environment
from tests.crash.world import CANARY, SETTLE_REAL_S, Emulator, World, leaks, slugs

WORKERS = 3
FENCE_GRACE_S = 0.15
"""Real seconds between the engine's death and the last moment at which a write may still reach the cloud."""

Program = Sequence[Declared]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One operation.

    Attributes:
        name: For messages.
        before: What is up before the operation; None: nothing, not even the guard.
        after: What the operation makes true; None: it destroys.
        faults: Faults of the cloud that are set while the operation runs, not in the recovery.
    """

    name: str
    before: Program | None
    after: Program | None
    faults: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One cut point and what follows."""

    scenario: Scenario
    operation: str
    nth: int
    cut: Cut
    dies: str  # "host" (kill -9) or "engine" (its pipe closes; the host has to end itself)
    recovery: str  # "up" or "destroy"

    def __str__(self) -> str:
        what = f"{self.operation}#{self.nth} {self.cut}"
        return f"{self.scenario.name}: {what}, {self.dies} dies, then {self.recovery}"


@dataclass(slots=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: The case.
        reached: The call came, so that there was something to cut.
        failure: Empty when all went well.
    """

    case: Case
    reached: bool
    failure: str = ""


@dataclass(slots=True)
class Setup:
    """A state of the world that cases start from."""

    engine: DrivenEngine
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)  # pod id -> what makes the same pod again
    intents: Path | None = None


class Matrix:
    """Runs scenarios against the provider host.

    Args:
        emulator: The cloud.
        folder: For the cases' folders.
        config: Gives the project's configuration for an account key.
        wrap: What the SDK adds to a resource's inputs, by type token.
        providers: Providers of the project's own: type token -> `module:Class`.
    """

    def __init__(
        self,
        emulator: Emulator,
        folder: Path,
        config: Callable[[str], Mapping[str, object]],
        wrap: Callable[[str], Mapping[str, Any]],
        providers: Mapping[str, str] | None = None,
    ) -> None:
        self._emulator = emulator
        self._folder = folder
        self._config = config
        self._wrap = wrap
        self._providers = providers or {}
        self._serial = 0
        self._lock = threading.Lock()

    def run(self, scenario: Scenario) -> list[Outcome]:
        """Records one clean run, then cuts every call of it in every way."""
        setup = self._set_up(scenario)
        calls = self._record(scenario, setup)
        assert calls, f"{scenario.name}: no call at all"
        cases = cases_of(scenario, calls)
        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(lambda case: self._run_case(case, setup), cases))

    def _world(self, name: str) -> World:
        with self._lock:
            self._serial += 1
            number = self._serial
        return World.make(self._emulator, self._folder / f"{number:04d}-{name}")

    def _host(self, world: World) -> Host:
        if self._providers:
            (world.folder / PROGRAM_FILE).write_text(json.dumps(self._providers))
        return Host(host_environment(**world.variables), world.folder)

    def _set_up(self, scenario: Scenario) -> Setup:
        engine = DrivenEngine(self._wrap)
        if scenario.before is None:
            return Setup(engine)
        world = self._world(f"{scenario.name}-setup")
        host = self._host(world)
        try:
            host.connect(self._config(world.key))
            engine.up(host, scenario.before)
            bodies = {pod["id"]: body_of(pod) for pod in world.pods()}
            kept = self._folder / f"{scenario.name}-intents"
            if world.state_dir.exists():
                shutil.copytree(world.state_dir, kept)
            return Setup(engine, bodies, kept if kept.exists() else None)
        finally:
            host.close()
            world.close(keep=False)

    def _start(self, world: World, setup: Setup) -> DrivenEngine:
        """The world as the setup left it, in this world's account."""
        renamed = {old: self._emulator.launch(world.key, body)["id"] for old, body in setup.bodies.items()}
        if setup.intents is not None:
            shutil.copytree(setup.intents, world.state_dir)
        return setup.engine.copy(renamed)

    def _record(self, scenario: Scenario, setup: Setup) -> list[tuple[str, int]]:
        world = self._world(f"{scenario.name}-clean")
        host = self._host(world)
        passed = False
        try:
            engine = self._start(world, setup)
            for fault in scenario.faults:
                world.fault(**fault)
            host.connect(self._config(world.key))
            world.proxy.forget()
            _operate(engine, host, scenario.after)
            calls = [(call.operation, call.nth) for call in world.proxy.calls]
            problem = _wrong(world, engine, scenario.after)
            assert not problem, f"{scenario.name}, undisturbed: {problem}\n{_history(world)}\n{host.output()}"
            passed = True
            return calls
        except StepFailedError as error:
            raise AssertionError(
                f"{scenario.name}, undisturbed: {error}\n{_history(world)}\n{host.output()}"
            ) from None
        finally:
            host.close()
            world.close(keep=not passed)

    def _run_case(self, case: Case, setup: Setup) -> Outcome:
        for _ in range(3):
            outcome = self._try_case(case, setup)
            if outcome is not None:
                return outcome
        return Outcome(
            case, True, "the machine is too slow: late calls came after the settle time three times"
        )

    def _try_case(self, case: Case, setup: Setup) -> Outcome | None:
        """None: this machine was too slow for the case to mean anything."""
        world = self._world(case.scenario.name)
        first, second = self._host(world), self._host(world)
        outcome = Outcome(case, False, "did not finish")
        try:
            engine = self._start(world, setup)
            for fault in case.scenario.faults:
                world.fault(**fault)
            first.connect(self._config(world.key))
            world.proxy.arm(case.operation, case.nth, case.cut)
            problems: list[str] = []
            outcome.reached = self._cut(case, world, engine, first, problems)
            world.clear_faults()
            second.connect(self._config(world.key))
            program = _recovery_program(case)
            try:
                _operate(engine, second, program)
            except StepFailedError as error:
                problems.append(f"the recovery failed: {error}")
            world.proxy.settle()
            if outcome.reached and not self._in_time(world):
                return None
            if problem := _wrong(world, engine, program):
                problems.append(problem)
            if not problems and program is not None:
                problems += self._second_up(world, engine, second, program)
            if leaked := leaks(world.folder):
                problems.append(f"a secret is in plain text in {leaked}")
            said = "\n".join([*first.messages, *second.messages])
            if "Traceback" in said or CANARY in said:
                problems.append("a traceback or a secret was shown")
            outcome.failure = "\n".join(problems)
            if problems:
                outcome.failure += f"\n{_history(world)}\nfirst host: {first.output()}{first.messages}"
                outcome.failure += (
                    f"\nsecond host: {second.output()}{second.messages}\nfolder: {world.folder}"
                )
            return outcome
        finally:
            first.close()
            second.close()
            world.close(keep=bool(outcome.failure))

    def _cut(self, case: Case, world: World, engine: DrivenEngine, host: Host, problems: list[str]) -> bool:
        """Runs the operation until the cut and lets die what has to; gives whether the cut was reached."""
        ended = threading.Event()

        def operate() -> None:
            try:
                _operate(engine, host, case.scenario.after)
            except HostDiedError:
                pass
            except StepFailedError as error:
                problems.append(f"the operation failed before anything died: {error}")
            finally:
                ended.set()

        thread = threading.Thread(target=operate)
        thread.start()
        while not world.proxy.wait_cut(0.02):
            if ended.is_set():
                thread.join()
                return False
        died_at = time.monotonic()
        if case.dies == "host":
            host.kill()
        elif not host.lose_engine():
            problems.append("the host lives on although its engine is gone")
            host.kill()
        thread.join()
        late_writes = [
            str(call)
            for call in world.proxy.calls
            if call.after_cut and call.writes and call.at > died_at + FENCE_GRACE_S
        ]
        if late_writes:
            problems.append(f"the host wrote after its engine was gone: {late_writes}")
        world.proxy.thaw()
        return True

    def _in_time(self, world: World) -> bool:
        """Whether every late call reached the cloud within the settle time, as the promise asks for."""
        return all(
            call.landed_at is None or call.landed_at - call.at < SETTLE_REAL_S * 0.9
            for call in world.proxy.calls
            if call.operation in WRITING
        )

    def _second_up(self, world: World, engine: DrivenEngine, host: Host, program: Program) -> list[str]:
        """After a recovery there is nothing left to do."""
        world.proxy.forget()
        try:
            engine.up(host, program)
        except StepFailedError as error:
            return [f"the up after the recovery failed: {error}"]
        written = [str(call) for call in world.proxy.calls if call.writes]
        return [f"the up after the recovery still wrote: {written}"] if written else []


def cases_of(scenario: Scenario, calls: Sequence[tuple[str, int]]) -> list[Case]:
    """Every cut of every call.

    A call that writes is cut with either side dying and recovered both ways. One that only reads changes
    nothing, whatever becomes of it, so its cuts take turns in who dies and how it is recovered.
    """
    cases: list[Case] = []
    turn = 0
    for operation, nth in calls:
        for cut in Cut:
            if operation in WRITING:
                both = [("host", "up"), ("host", "destroy"), ("engine", "up"), ("engine", "destroy")]
            else:
                both = [(("host", "engine")[turn % 2], ("up", "destroy")[turn // 2 % 2])]
                turn += 1
            cases += [Case(scenario, operation, nth, cut, dies, recovery) for dies, recovery in both]
    return cases


def body_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What makes the same pod again."""
    body = {key: pod[key] for key in ("name", "image", "args", "disk", "ports", "env", "gpu", "cloud")}
    body["dataCenterIds"] = [pod["dataCenterId"]]
    if pod["mounts"]:
        body["mounts"] = pod["mounts"]
    return body


def _operate(engine: DrivenEngine, host: Host, program: Program | None) -> None:
    if program is None:
        engine.destroy(host)
    else:
        engine.up(host, program)


def _recovery_program(case: Case) -> Program | None:
    if case.recovery == "destroy":
        return None
    # After a destroy that was killed, `up` means to have again what there was.
    return case.scenario.after if case.scenario.after is not None else case.scenario.before


def _wrong(world: World, engine: DrivenEngine, program: Program | None) -> str:
    """How cloud and state differ from what the program declares; empty: not at all."""
    pods = world.pods()
    nodes = [declared for declared in program or () if declared.type.endswith(":GpuNode")]
    wanted = sorted(declared.inputs["name"] for declared in nodes)
    problems = []
    if slugs(pods) != wanted:
        problems.append(f"the cloud holds {[pod['name'] for pod in pods]} instead of {wanted}")
    kept = sorted(k.id for k in engine.kept if k.urn.split("::")[2].endswith(":GpuNode"))
    if kept != sorted(pod["id"] for pod in pods):
        problems.append(f"the state holds {kept}, the cloud {[pod['id'] for pod in pods]}")
    if [k for k in engine.kept if k.pending_replacement or k.to_delete or k.init_errors]:
        problems.append("the state holds something half done")
    if program is None and engine.kept:
        problems.append(f"the state still holds {[k.urn for k in engine.kept]}")
    for declared in nodes:
        for pod in pods:
            if slugs([pod]) == [declared.inputs["name"]] and pod["image"] != declared.inputs["image"]:
                problems.append(f"{pod['name']} runs {pod['image']}, not {declared.inputs['image']}")
    return "; ".join(problems)


def _history(world: World) -> str:
    return "calls: " + ", ".join(str(call) for call in world.proxy.calls)
