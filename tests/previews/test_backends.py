"""State in PostgreSQL: two engines at once, a killed one, a server that goes away in the middle of an up."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.engine.harness import STACK
from tests.engine.nodes.world import Emulator
from tests.previews.backend_world import BackendWorld, Run
from tests.previews.postgres import StateServer, state_server

NewWorld = Callable[[StateServer, int], BackendWorld]

HOST = socket.gethostname()
SLOW, FAST = 6000.0, 1.0
"""How long a node boots, emulated seconds: until a test has done what it does meanwhile, or not at all."""

CUTS = {
    # The first lock is that of the look whether there is one.
    "before the first write": ("INSERT", "%/locks/%", 2),
    "the first write of the state": ("INSERT", "%/stacks/gpuplane/test.json", 1),
    "in the middle of the creates": ("INSERT", "%/stacks/gpuplane/test.json", 7),
    "all nodes made, the last writes not": ("INSERT", "%/stacks/gpuplane/test.json", 10),
    "all done but the removal of the lock": ("DELETE", "%/locks/%", 2),
}


@pytest.fixture(scope="module")
def lost(new_backend_world: NewWorld, emulator: Emulator) -> Iterator[tuple[BackendWorld, Run]]:
    """An up whose server is gone since a node was launched; it runs on while other tests do their work.

    The engine tries each write again for half a minute before it gives up.
    """
    with state_server() as server:
        world = new_backend_world(server, 1)
        emulator.set(ready_after_s=SLOW)
        running = world.up()
        world.wait_booting(running)
        server.kill()
        emulator.control("POST", "clock/advance", {"seconds": SLOW})
        emulator.set(ready_after_s=FAST)
        yield world, running


@pytest.fixture(scope="module", autouse=True)
def begun_early(lost: tuple[BackendWorld, Run]) -> None:
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
        server.kill()
        server.start()
        ends = {cut: run.wait() for cut, run in running.items()}
        print({cut: code for cut, (code, _) in ends.items()})
        for cut, (code, output) in ends.items():
            print("=====", cut, code, output)
        again = {cut: world.up() for cut, world in worlds.items()}
        for cut, run in again.items():
            print("=== again", cut, run.expect(0))
        for world in worlds.values():
            world.assert_state_is_the_cloud()
            assert len(world.writes()) == 3
            world.assert_no_secret_in_files()


def test_the_server_stays_away(lost: tuple[BackendWorld, Run]) -> None:
    world, running = lost
    output = running.expect(1)
    last = output.splitlines()[-1]
    assert last.startswith(f"gpuplane: the backend postgres://gateway@127.0.0.1:{world.server.port}/")
    assert last.endswith("once the backend answers, run `gpuplane up` again: it takes all of it over")
    assert world.up().expect(1).count("\n") == 1

    made = world.by_node()
    world.server.start()
    said = world.up().expect(0)
    assert "recovered: removed the lock of process" in said
    assert "adopting runpod node" in said
    world.assert_state_is_the_cloud()
    assert world.by_node() == made
    assert len(world.writes()) == 1
    world.assert_no_secret_in_files()
