"""State in PostgreSQL: two engines at once, a killed one, a server that goes away in the middle of an up."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.engine.harness import STACK
from tests.engine.nodes.world import Emulator
from tests.previews.backend_world import BackendWorld, Run
from tests.previews.postgres import StateServer, state_server

NewWorld = Callable[[StateServer, int], BackendWorld]

HOST = socket.gethostname()
SLOW, FAST = 30_000.0, 1.0
"""How long a node boots, emulated seconds, 60 in a real one: until a test moves the clock, or not at all."""

STATE = "%/stacks/gpuplane/test.json"
CUTS = {
    # The first lock is that of the look whether there is one.
    "before the first write": ("INSERT", "%/locks/%", 2),
    # Of an up with three nodes: 9 to 11 say that a node is begun, 12 to 14 that it is made.
    "in the middle of the creates": ("INSERT", STATE, 12),
    "all nodes made, the last not written": ("INSERT", STATE, 14),
    "all done but the removal of the lock": ("DELETE", "%/locks/%", 2),
}


@pytest.fixture(scope="module")
def lost(new_backend_world: NewWorld, emulator: Emulator) -> Iterator[Mapping[str, tuple[BackendWorld, Run]]]:
    """Two ups whose server has gone away and stays away; they run on while other tests do their work.

    The engine tries each write again for half a minute before it gives up.
    """
    with state_server() as server:
        booting, ready = new_backend_world(server, 1), new_backend_world(server, 2)
        emulator.set(ready_after_s=SLOW)
        one = booting.up()
        booting.wait_booting(one)
        emulator.set(ready_after_s=FAST)
        ready.hold("INSERT", STATE, 12)
        two = ready.up()
        ready.wait_held(two)
        assert (len(ready.pods()), ready.nodes_written()) == (2, 1)
        server.kill()
        emulator.control("POST", "clock/advance", {"seconds": SLOW})
        yield {"a node boots": (booting, one), "the last node is not written": (ready, two)}


@pytest.fixture(scope="module", autouse=True)
def begun_early(lost: object) -> None:
    """So that the wait of the last test is over when it begins."""


@pytest.fixture
def slow(emulator: Emulator) -> Iterator[Callable[[], None]]:
    """Nodes boot until this is called."""
    emulator.set(ready_after_s=SLOW)

    def end() -> None:
        emulator.set(ready_after_s=FAST)
        emulator.control("POST", "clock/advance", {"seconds": SLOW})

    yield end
    emulator.set(ready_after_s=FAST)


def test_two_engines_at_once(
    postgres: StateServer, new_backend_world: NewWorld, slow: Callable[[], None]
) -> None:
    world = new_backend_world(postgres, 2)
    first = world.up()
    world.wait_booting(first)
    (lock,) = world.locks()

    refused = world.up().expect(2)
    assert re.fullmatch(
        rf"gpuplane: stack {STACK} is locked by process {lock['pid']} of \S+@{re.escape(HOST)}, since 20\S+; "
        r"wait for it to end, or run `gpuplane recover --yes` if you know that it has\n",
        refused,
    )
    assert world.gpuplane("recover").expect(2) == refused
    assert "nodes that it is making look like orphans" in world.gpuplane("orphans", "--end", "--yes").expect(
        2
    )
    # The engine itself, with nothing of ours before it.
    engine = world.stack.up()
    assert engine.returncode != 0
    assert f"(pid {lock['pid']})" in engine.output
    assert world.locks() == [lock]

    slow()
    first.expect(0)
    world.assert_state_is_the_cloud()
    assert len(world.writes()) == 2
    assert re.search(r"Resources:\n    5 unchanged\n", world.up().expect(0))
    assert len(world.writes()) == 2
    world.assert_no_secret_in_files()


def test_two_engines_that_start_at_the_same_moment(
    postgres: StateServer, new_backend_world: NewWorld
) -> None:
    world = new_backend_world(postgres, 2)
    ends = [run.wait() for run in (world.up(), world.up())]
    for code, output in ends:
        # Both may see the other's lock; what never happens is that both work.
        assert code == 0 or "locked by" in output, output
    assert len(world.writes()) in (0, 2)
    world.up().expect(0)
    world.assert_state_is_the_cloud()
    assert len(world.writes()) == 2


def test_a_killed_engine(
    postgres: StateServer, new_backend_world: NewWorld, slow: Callable[[], None]
) -> None:
    world = new_backend_world(postgres, 2)
    running = world.up()
    world.wait_booting(running)
    (lock,) = world.locks()
    os.kill(lock["pid"], signal.SIGKILL)
    assert "gpuplane: the engine has left its lock" in running.expect(128 + 9)
    booting = world.by_node()

    said = world.gpuplane("recover").expect(0)
    assert f"recovered: removed the lock of process {lock['pid']} of " in said
    assert re.search(r"recovered: cleared \d unfinished operation\(s\): .*creating chat-", said)
    assert "nothing to recover" in world.gpuplane("recover").expect(0)

    # And by itself, before an up.
    running = world.up()
    second = world.wait_engine(running)
    os.kill(second, signal.SIGKILL)
    running.expect(128 + 9)
    slow()
    assert f"recovered: removed the lock of process {second} of " in world.up().expect(0)
    world.assert_state_is_the_cloud()
    assert world.by_node() == booting

    # A lock of a process that this machine does not have may be that of another machine with its name.
    world.plant_lock(2**22 + 1, HOST)
    refused = world.up().expect(2)
    assert "no such process is seen here, but it was not started from this checkout" in refused
    assert "recovered: removed the lock" in world.gpuplane("recover", "--yes").expect(0)
    world.assert_state_is_the_cloud()


def test_the_server_is_restarted_in_the_middle_of_an_up(new_backend_world: NewWorld) -> None:
    with state_server() as server:
        worlds = {cut: new_backend_world(server, 3) for cut in CUTS}
        for cut, world in worlds.items():
            world.hold(*CUTS[cut])
        running = {cut: world.up() for cut, world in worlds.items()}
        for cut, world in worlds.items():
            world.wait_held(running[cut])
        middle, last = worlds["in the middle of the creates"], worlds["all nodes made, the last not written"]
        assert middle.pods()
        assert middle.nodes_written() < 3
        assert len(last.pods()) == 3
        assert last.nodes_written() < 3

        # One crash cuts them all. The engine writes again what was lost; only the lock it takes at once.
        server.kill()
        server.start()
        refused = running.pop("before the first write").expect(1)
        assert refused.count("error:") == 1
        assert worlds["before the first write"].pods() == []
        for run in running.values():
            run.expect(0)
        (left,) = worlds["all done but the removal of the lock"].locks()

        again = {cut: world.up() for cut, world in worlds.items()}
        outputs = {cut: run.expect(0) for cut, run in again.items()}
        said = outputs.pop("all done but the removal of the lock")
        assert f"recovered: removed the lock of process {left['pid']} of " in said
        assert re.search(r"Resources:\n    \+ 6 created\n", outputs.pop("before the first write"))
        for output in [said, *outputs.values()]:
            assert re.search(r"Resources:\n    6 unchanged\n", output)
        for world in worlds.values():
            world.assert_state_is_the_cloud()
            assert len(world.writes()) == 3
            world.assert_no_secret_in_files()


COMMANDS: Mapping[tuple[str, ...], str] = {
    ("cost",): "runpod EU-RO-1 RTX4090 x1",
    ("cost", "--json"): '"name": "chat-0"',
    ("doctor",): "1 node(s), no lock, nothing unfinished",
    ("logs", "chat-0", "--no-follow"): "create container",
    ("offers", "--cluster", "chat"): "RTX4090",
    ("orphans",): "stack test (testtest) has no orphan",
    ("recover",): "nothing to recover",
    ("spend",): "RunPod billing",
    ("ssh", "chat-0", "--print"): "@ssh.runpod.io",
}
"""Those that read the state or the configuration, and what they say of a stack with one node."""


def test_every_command_works_with_the_state_in_postgresql(
    postgres: StateServer, new_backend_world: NewWorld
) -> None:
    world = new_backend_world(postgres, 1)
    world.up().expect(0)
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda command: world.gpuplane(*command).wait(), COMMANDS))
    for (command, expected), (code, output) in zip(COMMANDS.items(), ends, strict=True):
        assert code == 0, f"{command}: {output}"
        assert expected in output, f"{command}: {output}"
    world.assert_state_is_the_cloud()
    world.assert_no_secret_in_files()


def test_the_server_stays_away(lost: Mapping[str, tuple[BackendWorld, Run]]) -> None:
    for world, running in lost.values():
        last = running.expect(1).splitlines()[-1]
        assert last.startswith(f"gpuplane: the backend postgres://gateway@127.0.0.1:{world.server.port}/")
        assert last.endswith("once the backend answers, run `gpuplane up` again: it takes all of it over")
    (first, _), (second, _) = lost.values()
    (line,) = first.up().expect(1).splitlines()
    assert "does not answer: " in line

    made = {world: world.by_node() for world, _ in lost.values()}
    first.server.start()
    again = {world: world.up() for world, _ in lost.values()}
    for world, run in again.items():
        said = run.expect(0)
        assert "recovered: removed the lock of process" in said
        assert "adopting runpod node" in said
        world.assert_state_is_the_cloud()
        assert world.by_node() == made[world]
        assert len(world.writes()) == len(world.nodes)
        world.assert_no_secret_in_files()
    assert re.search(r"Resources:\n    5 unchanged\n", second.up().expect(0))
