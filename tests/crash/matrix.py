"""Every HTTP call of an operation, cut at four points; host or engine die there; then the recovery.

Some cases run at once. Each place where one runs has a cloud account and a folder of intents, and each case a
stack of its own: what they are about is one process that is killed and another that recovers. The killed host
is a new process for each case. One setup host in each place brings up what was there before, and one recovery
host, which has seen nothing of it, recovers.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dynamic_providers.host.registry import PROGRAM_FILE
from tests.crash.cutting_proxy import Cut
from tests.crash.driven_engine import Declared, DrivenEngine
from tests.crash.forked_host import Forker
from tests.crash.host_process import Host, HostDiedError, StepFailedError, host_environment, to_plain
from tests.crash.operations import WRITING
from tests.crash.world import CANARY, SETTLE_REAL_S, Emulator, Node, World, leaks, slugs, stray

WORKERS = 6
"""Cases at once: they wait for most of their time."""
FENCE_GRACE_S = 0.15
"""Real seconds from the engine's death until no write may reach the cloud any more."""

T = TypeVar("T")
Program = Callable[[str], Sequence[Declared]]
"""What is declared, for a stackId."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One operation.

    Attributes:
        name: For messages.
        before: What is up before the operation; None: nothing, not even the guard.
        after: What the operation makes true; None: it destroys.
        forgets: Names of resources that are lost from the state before the operation.
        clouds: Where its nodes may be.
        recoveries: What is tried after the kill.
        every_read: Cut the calls that only read in all four ways; else in two, which take turns.
        faults: Faults of the cloud while the operation runs, not in the recovery; for this stack's nodes.
    """

    name: str
    before: Program | None
    after: Program | None
    clouds: tuple[str, ...] = ("runpod",)
    forgets: tuple[str, ...] = ()
    recoveries: tuple[str, ...] = ("up", "destroy")
    every_read: bool = True
    faults: tuple[Mapping[str, Any], ...] = ()

    def wanted(self, recovery: str) -> Program | None:
        """What `up` or `destroy` has to make true. After a killed destroy, `up` means: as it was before."""
        if recovery == "destroy":
            return None
        return self.after if self.after is not None else self.before


@dataclass(frozen=True, slots=True)
class Case:
    """One cut point and what follows.

    Attributes:
        scenario: The operation.
        operation: Name of the call that is cut.
        nth: Which of them, from 1.
        cut: Where.
        dies: "host" by kill -9, or "engine": its pipe closes, and the host has to end itself.
        recovery: "up" or "destroy".
    """

    scenario: Scenario
    operation: str
    nth: int
    cut: Cut
    dies: str
    recovery: str

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
class _Shared:
    """What the cases that run one after another in one place have together."""

    world: World
    setup: Host
    recovery: Host


class Matrix:
    """Runs scenarios against the provider host.

    Args:
        emulator: The cloud.
        forker: Starts hosts.
        folder: For the cases' folders.
        config: Gives the project's configuration for an account key.
        wrap: What the SDK adds to a resource's inputs, by type token.
        providers: Providers of the project's own: type token -> `module:Class`.
    """

    def __init__(
        self,
        emulator: Emulator,
        forker: Forker,
        folder: Path,
        config: Callable[[str], Mapping[str, object]],
        wrap: Callable[[str], Mapping[str, Any]],
        providers: Mapping[str, str] | None = None,
    ) -> None:
        self._emulator = emulator
        self._forker = forker
        self._folder = folder
        self._config = config
        self._wrap = wrap
        self._providers = providers or {}
        self._serials = itertools.count(1)

    def run(self, scenario: Scenario) -> list[Outcome]:
        """Records one clean run, then cuts every call of it in every way."""
        places: queue.SimpleQueue[_Shared] = queue.SimpleQueue()
        with contextlib.ExitStack() as stack:
            for number in range(WORKERS):
                places.put(self._place(stack, number, scenario.clouds))
            calls = self._in_place(places, lambda shared: self._record(scenario, shared))
            assert calls, f"{scenario.name}: no call at all"

            def run(case: Case) -> Outcome:
                return self._in_place(places, lambda shared: self._run_case(case, shared))

            with ThreadPoolExecutor(WORKERS) as pool:
                return list(pool.map(run, cases_of(scenario, calls)))

    def _in_place(self, places: queue.SimpleQueue[_Shared], work: Callable[[_Shared], T]) -> T:
        shared = places.get()
        try:
            return work(shared)
        finally:
            places.put(shared)

    def _place(self, stack: contextlib.ExitStack, number: int, clouds: Sequence[str]) -> _Shared:
        world = World.make(self._emulator, self._folder / f"place-{number}", clouds=clouds)
        stack.callback(world.close, keep=True)
        hosts = [self._host(world), self._host(world)]
        for host in hosts:
            stack.callback(host.close)
            host.connect(self._config(world.key))
        return _Shared(world, *hosts)

    def _host(self, world: World) -> Host:
        if self._providers:
            (world.folder / PROGRAM_FILE).write_text(json.dumps(self._providers))
        return Host(self._forker, host_environment(**world.variables), world.folder)

    def _start(self, scenario: Scenario, shared: _Shared) -> tuple[str, World, DrivenEngine]:
        """A stack as it is before the operation, and a world for the process that will die."""
        number = next(self._serials)
        stack_id = f"c{number:07d}"
        world = World.make(self._emulator, self._folder / f"{number:04d}", shared.world)
        engine = DrivenEngine(self._wrap)
        if scenario.before is not None:
            engine.up(shared.setup, scenario.before(stack_id))
            engine.forget(scenario.forgets)
        for fault in scenario.faults:
            world.fault(name=f"gp-p-{stack_id}-*", **fault)
        return stack_id, world, engine

    def _record(self, scenario: Scenario, shared: _Shared) -> list[tuple[str, int]]:
        stack_id, world, engine = self._start(scenario, shared)
        host = self._host(world)
        passed = False
        try:
            host.connect(self._config(world.key))
            world.proxy.forget()
            _operate(engine, host, scenario.after, stack_id)
            calls = [(call.operation, call.nth) for call in world.proxy.calls]
            problem = wrong(world, engine, scenario.after, stack_id)
            assert not problem, f"{scenario.name}, undisturbed: {problem}\n{_history(world)}\n{_said(host)}"
            passed = True
            return calls
        except StepFailedError as error:
            text = f"{scenario.name}, undisturbed: {error}\n{_history(world)}\n{_said(host)}"
            raise AssertionError(text) from None
        finally:
            host.close()
            world.close(keep=not passed, stack_id=stack_id)

    def _run_case(self, case: Case, shared: _Shared) -> Outcome:
        for _ in range(3):
            outcome = self._try_case(case, shared)
            if outcome is not None:
                return outcome
        return Outcome(
            case, True, "this machine is too slow: late calls came after the settle time, three times"
        )

    def _try_case(self, case: Case, shared: _Shared) -> Outcome | None:
        """None: this machine was too slow for the case to mean anything."""
        stack_id, world, engine = self._start(case.scenario, shared)
        host = self._host(world)
        outcome = Outcome(case, False, "did not finish")
        try:
            host.connect(self._config(world.key))
            world.proxy.arm(case.operation, case.nth, case.cut)
            problems: list[str] = []
            outcome.reached = self._cut(case, world, engine, host, stack_id, problems)
            world.clear_faults()
            program = case.scenario.wanted(case.recovery)
            problems += self._recover(world, engine, shared.recovery, program, stack_id)
            if outcome.reached and not in_time(world):
                return None
            said = "\n".join([*host.messages, *shared.recovery.messages])
            if leaked := leaks(world.folder):
                problems.append(f"a secret is in plain text in {leaked}")
            if "Traceback" in said or CANARY in said:
                problems.append("a traceback or a secret was shown")
            outcome.failure = "\n".join(problems)
            if problems:
                outcome.failure += f"\nstack {stack_id}; {_history(world)}\nkilled host: {_said(host)}"
                outcome.failure += (
                    f"\nrecovery host: {_said(shared.recovery, stack_id)}\nfolder: {world.folder}"
                )
            return outcome
        finally:
            host.close()
            world.close(keep=bool(outcome.failure), stack_id=stack_id)

    def _cut(
        self,
        case: Case,
        world: World,
        engine: DrivenEngine,
        host: Host,
        stack_id: str,
        problems: list[str],
    ) -> bool:
        """Runs the operation until the cut and lets die what has to; gives whether the cut was reached."""

        def operate() -> None:
            try:
                _operate(engine, host, case.scenario.after, stack_id)
            except HostDiedError:
                return
            except StepFailedError as error:
                problems.append(f"the operation failed before anything died: {error}")

        thread = threading.Thread(target=operate)
        thread.start()
        while not world.proxy.wait_cut(0.02):
            if not thread.is_alive():
                return world.proxy.was_cut
        died_at = time.monotonic()
        if case.dies == "host":
            host.kill()
        elif not host.lose_engine():
            problems.append("the host lives on although its engine is gone")
            host.kill()
        thread.join()
        wrote = [c for c in world.proxy.calls if c.after_cut and c.writes and c.at > died_at + FENCE_GRACE_S]
        if wrote:
            problems.append(f"the host wrote after its engine was gone: {[str(call) for call in wrote]}")
        world.proxy.thaw()
        return True

    def _recover(
        self, world: World, engine: DrivenEngine, host: Host, program: Program | None, stack_id: str
    ) -> list[str]:
        """`up` or `destroy` by another process; gives what is not as it should be."""
        try:
            _operate(engine, host, program, stack_id)
        except (StepFailedError, HostDiedError) as error:
            return [f"the recovery failed: {error}"]
        finally:
            world.proxy.settle()
        if problem := wrong(world, engine, program, stack_id):
            return [problem]
        if program is None:
            return []
        # A late change of a living node makes it start anew; that is no second node and nothing to repair.
        world.wait_ready(stack_id)
        before = len(engine.steps)
        try:
            _operate(engine, host, program, stack_id)
        except (StepFailedError, HostDiedError) as error:
            return [f"the up after the recovery failed: {error}"]
        again = engine.steps[before:]
        return [f"the up after the recovery still had something to do: {again}"] if again else []


def cases_of(scenario: Scenario, calls: Sequence[tuple[str, int]]) -> list[Case]:
    """Every cut of every call.

    Where a call that writes is cut, the host dies and is recovered both ways, and the engine dies with the
    recoveries in turn. One that only reads changes nothing, whatever becomes of it, so its cuts take turns in
    who dies and how it is recovered.
    """
    cases: list[Case] = []
    turn = 0
    for number, (operation, nth) in enumerate(calls):
        every = scenario.every_read or operation in WRITING
        for cut in Cut if every else (*Cut,)[number % 2 :: 2]:
            if operation in WRITING:
                ways = [("host", recovery) for recovery in scenario.recoveries]
                ways.append(("engine", scenario.recoveries[turn % len(scenario.recoveries)]))
            else:
                recovery = scenario.recoveries[turn // 2 % len(scenario.recoveries)]
                ways = [(("host", "engine")[turn % 2], recovery)]
            turn += 1
            cases += [Case(scenario, operation, nth, cut, dies, recovery) for dies, recovery in ways]
    return cases


def in_time(world: World) -> bool:
    """Whether every late write reached the cloud within the settle time, as the promise asks for."""
    return all(
        call.landed_at - call.at < SETTLE_REAL_S * 0.9
        for call in world.proxy.calls
        if call.landed_at is not None and call.operation in WRITING
    )


def wrong(world: World, engine: DrivenEngine, program: Program | None, stack_id: str) -> str:
    """How clouds and state differ from what the program declares; empty: not at all."""
    there = world.nodes(stack_id)
    declared = program(stack_id) if program is not None else ()
    nodes = {one.inputs["node"]: one for one in declared if one.type.endswith(":GpuNode")}
    problems = []
    if slugs(there) != sorted(nodes):
        problems.append(f"the clouds hold {[node.name for node in there]} instead of {sorted(nodes)}")
    # A resource keeps its id when its node was made anew; `instanceId` is the node's.
    states = [k for k in engine.kept if k.urn.split("::")[2].endswith(":GpuNode")]
    kept = sorted(to_plain(k.outputs).get("instanceId") or k.id for k in states)
    if kept != sorted(node.id for node in there):
        problems.append(f"the state holds {kept}, the clouds {[node.id for node in there]}")
    if [k for k in engine.kept if k.pending_replacement or k.to_delete or k.init_errors]:
        problems.append("the state holds something half done")
    if program is None and engine.kept:
        problems.append(f"the state still holds {[k.urn for k in engine.kept]}")
    for node in there:
        one = nodes.get(slugs([node])[0])
        if one is not None and not as_declared(node, one.inputs):
            problems.append(f"{node.name} is not as declared: {node.row}")
    problems += stray(there, world.belongings(stack_id))
    return "; ".join(problems)


def as_declared(node: Node, inputs: Mapping[str, Any]) -> bool:
    """Whether a node has what can be changed in place."""
    if node.cloud == "runpod":
        return bool(node.row["image"] == inputs["image"])
    if node.cloud == "paperspace":
        return bool(node.row["storageTotal"] == inputs.get("diskGb", 50) * 1024**3)
    return True


def _operate(engine: DrivenEngine, host: Host, program: Program | None, stack_id: str) -> None:
    if program is None:
        engine.destroy(host)
    else:
        engine.up(host, program(stack_id))


def _history(world: World) -> str:
    return "calls: " + ", ".join(str(call) for call in world.proxy.calls)


def _said(host: Host, about: str = "") -> str:
    return "\n".join([host.output(), *(line for line in host.messages if about in line)])
