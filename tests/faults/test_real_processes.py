"""The same with real processes, sockets and kills: the provider host against the emulators' own server."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.crash.driven_engine import DrivenEngine
from tests.crash.forked_host import Forker
from tests.crash.host_process import Host, HostDiedError, StepFailedError, host_environment
from tests.crash.matrix import Program, wrong
from tests.crash.programs import LAMBDA, PAPERSPACE, RUNPOD, VAST, config, program, wrap
from tests.crash.world import CANARY, Emulator, World, leaks
from tests.faults.counting import COUNTED

CANDIDATES: Mapping[str, Mapping[str, str]] = {
    "runpod": RUNPOD,
    "lambda": LAMBDA,
    "paperspace": PAPERSPACE,
    "vast": VAST,
}
THREE = ("runpod", "lambda", "paperspace")
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "runpod": {"ready_after_s": 8},
    "lambda": {"boot_s": 8, "ip_after_s": 1, "terminating_s": 2, "terminated_visible_s": 5},
    "paperspace": {
        "provision_s": 2,
        "starting_s": 2,
        "serviceready_s": 1,
        "delete_s": 2,
        "event_start_s": 0.5,
        "capacity_fails_after_s": 4,
        "availability_lies": True,
    },
    "vast": {"created_s": 1, "ready_after_s": 8},
}
KINDS = ("create_then_500", "delete_refused", "delete_5xx_but_deleted", "error", "error_after", "no_capacity")
LONGEST_S = 2.0
"""By then a run of three nodes is over; a kill that comes later hits nothing, which is a story too."""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    made = Emulator(tmp_path_factory.mktemp("emulator"), SETTINGS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    made = Forker(host_environment())
    yield made
    made.close()


class Machine:
    """A world of its own and the hosts that run there."""

    def __init__(self, emulator: Emulator, forker: Forker, folder: Path, clouds: Sequence[str]) -> None:
        self.world = World.make(emulator, folder, clouds=clouds)
        self._forker = forker
        self._hosts: list[Host] = []

    def host(self) -> Host:
        host = Host(self._forker, host_environment(**self.world.variables), self.world.folder)
        self._hosts.append(host)
        host.connect(config(self.world.key))
        return host

    def said(self) -> str:
        """All that hosts have shown."""
        return "\n".join(line for host in self._hosts for line in [*host.messages, host.output()])

    def close(self) -> None:
        for host in self._hosts:
            host.close()
        self.world.close(keep=True)


@pytest.fixture
def machine(emulator: Emulator, forker: Forker, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(emulator, forker, tmp_path / "world", tuple(CANDIDATES))
    yield made
    made.close()


def _ends(machine: Machine, engine: DrivenEngine, stack_id: str) -> None:
    """The destroy of another process leaves nothing, and nobody has told a secret."""
    engine.destroy(machine.host())
    assert not wrong(machine.world, engine, None, stack_id)
    assert not leaks(machine.world.folder)
    assert "Traceback" not in machine.said() and CANARY not in machine.said()


@pytest.mark.parametrize("cloud", CANDIDATES)
def test_a_lost_answer_gives_what_is_declared(cloud: str, machine: Machine) -> None:
    engine = DrivenEngine(wrap)
    declared = program("a", candidates=[CANDIDATES[cloud]])
    machine.world.fault(kind="create_then_500", cloud=cloud, count=1)
    engine.up(machine.host(), declared("f0000001"))
    assert not wrong(machine.world, engine, declared, "f0000001")
    _ends(machine, engine, "f0000001")
    COUNTED.add("real processes")


@pytest.mark.parametrize("cloud", CANDIDATES)
def test_a_drought_is_one_clear_error_and_leaves_nothing(cloud: str, machine: Machine) -> None:
    engine = DrivenEngine(wrap)
    declared = program("a", candidates=[CANDIDATES[cloud]])
    machine.world.fault(kind="no_capacity", cloud=cloud)
    with pytest.raises(StepFailedError, match="no candidate has a free machine now; add candidates") as told:
        engine.up(machine.host(), declared("f0000002"))
    assert told.value.partial is None
    assert machine.world.nodes() == []
    machine.world.clear_faults()
    engine.up(machine.host(), declared("f0000002"))
    assert not wrong(machine.world, engine, declared, "f0000002")
    _ends(machine, engine, "f0000002")
    COUNTED.add("real processes")


@pytest.mark.parametrize("seed", range(6))
def test_random_faults_and_kills_of_real_processes(seed: int, machine: Machine) -> None:
    """Three nodes on three clouds; each run is killed somewhere, and the last one is not."""
    chance = random.Random(seed)
    stack_id = f"g{seed:07d}"
    engine = DrivenEngine(wrap)
    declared = _three(chance)
    for _ in range(2):
        for _ in range(chance.randint(0, 4)):
            path = {"method": "POST"} if chance.random() < 0.5 else {}
            machine.world.fault(
                kind=chance.choice(KINDS), cloud=chance.choice(THREE), count=chance.randint(1, 2), **path
            )
        _killed(machine, engine, declared, stack_id, chance.uniform(0.0, LONGEST_S))
        machine.world.clear_faults()
    engine.up(machine.host(), declared(stack_id))
    assert not wrong(machine.world, engine, declared, stack_id)
    _ends(machine, engine, stack_id)
    COUNTED.add("real processes")


def _three(chance: random.Random) -> Program:
    """A guard and three nodes, each with all three clouds in an order of its own."""
    orders = {name: chance.sample([dict(CANDIDATES[cloud]) for cloud in THREE], 3) for name in "abc"}

    def declare(stack_id: str) -> Sequence[Any]:
        guard, *_ = program("a", "b", "c", candidates=orders["a"])(stack_id)
        return [guard, *(program(name, candidates=order)(stack_id)[1] for name, order in orders.items())]

    return declare


def _killed(machine: Machine, engine: DrivenEngine, declared: Program, stack_id: str, after_s: float) -> None:
    """One run, killed after so many real seconds."""
    host = machine.host()

    def operate() -> None:
        try:
            engine.up(host, declared(stack_id))
        except (HostDiedError, StepFailedError):
            return

    thread = threading.Thread(target=operate)
    thread.start()
    time.sleep(after_s)
    host.kill()
    thread.join()
