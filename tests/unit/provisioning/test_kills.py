"""Kills at any cloud call, with any faults: one run afterwards gives what is declared, one end nothing."""

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds.errors import (
    AmbiguousError,
    CapacityError,
    GpuCloudError,
    PermissionRefusedError,
    TransientError,
)
from gpu_clouds.models import InstanceState
from gpu_clouds.provisioning import ProvisioningError
from tests.unit.provisioning.world import (
    STACK,
    EngineRun,
    Killed,
    Launch,
    World,
    request,
    spec_of,
)

NODES = ("n0", "n1")
launches = st.one_of(
    st.builds(
        Launch,
        boot=st.sampled_from([0.0, 20.0, 2000.0]),
        becomes=st.sampled_from([InstanceState.READY, InstanceState.READY, InstanceState.FAILED]),
        visible_after=st.sampled_from([0.0, 7.0]),
    ),
    st.builds(
        Launch,
        error=st.just(AmbiguousError("lost")),
        makes=st.booleans(),
        effect_after=st.sampled_from([0.0, 10.0, 31.0, 45.0]),
        boot=st.just(20.0),
    ),
    st.sampled_from(
        [CapacityError("none", status=400), PermissionRefusedError("no"), TransientError("502")]
    ).map(lambda e: Launch(error=e, makes=False)),
)
scripts = st.lists(launches, max_size=4)
list_faults = st.lists(st.sampled_from([None, None, None, TransientError("503")]), max_size=6)
delete_faults = st.lists(
    st.sampled_from([None, TransientError("503"), PermissionRefusedError("no")]), max_size=4
)
kills = st.tuples(st.integers(0, 25), st.sampled_from(["before", "after"]))


class Killer:
    """Ends the process at its n-th cloud call, before or after the effect."""

    def __init__(self, at: int, when: str) -> None:
        self.left, self.when, self.dead = at, when, False

    def before(self, call: str) -> None:
        assert not self.dead, f"a killed process still calls {call}"
        if self.when == "before":
            self._count()

    def after(self, call: str) -> None:
        if self.when == "after":
            self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.dead = True
            raise Killed


def up(run: EngineRun, state: dict[str, str]) -> None:
    """What the engine does: a create for whatever the state does not hold; every failure is reported."""
    for node in NODES:
        if node not in state:
            try:
                state[node] = run.up(request(node)).instance.id
            except ProvisioningError as error:
                if error.kept is not None:
                    state[node] = error.kept.id
            except GpuCloudError:
                continue


def killed_run(world: World, state: dict[str, str], kill: tuple[int, str]) -> None:
    killer = Killer(*kill)
    try:
        up(world.start(before=killer.before, after=killer.after), state)
    except Killed:
        return


def heal(world: World) -> None:
    for backend in (world.runpod, world.other):
        backend.script, backend.list_faults, backend.delete_faults = [], [], []


@settings(max_examples=60, deadline=None)
@given(
    scripts=st.tuples(scripts, scripts),
    lists=list_faults,
    deletes=delete_faults,
    kill=st.lists(kills, min_size=1, max_size=3),
    lost=st.booleans(),
    pause=st.sampled_from([0.0, 3.0, 100.0]),
)
def test_after_any_kills_one_up_gives_what_is_declared(
    scripts: tuple[list[Launch], list[Launch]],
    lists: list[GpuCloudError | None],
    deletes: list[GpuCloudError | None],
    kill: list[tuple[int, str]],
    lost: bool,
    pause: float,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.runpod.script, world.other.script = list(scripts[0]), list(scripts[1])
        world.runpod.list_faults, world.runpod.delete_faults = list(lists), list(deletes)
        state: dict[str, str] = {}
        for one in kill:
            killed_run(world, state, one)
            world.clock.sleep(pause)
            if lost:
                state.clear()
        heal(world)
        final = world.start()
        for node, node_id in list(state.items()):
            # A node that the state holds without its being ready is resumed, as an update would.
            state[node] = final.provisioner().ensure_ready(request(node), node_id).instance.id
        up(final, state)
        assert world.names() == list(NODES)
        assert sorted(state.values()) == sorted(n.id for n in world.living())


@settings(max_examples=60, deadline=None)
@given(
    scripts=st.tuples(scripts, scripts),
    lists=list_faults,
    deletes=delete_faults,
    kill=st.lists(kills, min_size=1, max_size=3),
    end_kill=st.none() | kills,
)
def test_after_any_kills_one_end_leaves_nothing(
    scripts: tuple[list[Launch], list[Launch]],
    lists: list[GpuCloudError | None],
    deletes: list[GpuCloudError | None],
    kill: list[tuple[int, str]],
    end_kill: tuple[int, str] | None,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.runpod.script, world.other.script = list(scripts[0]), list(scripts[1])
        world.runpod.list_faults, world.runpod.delete_faults = list(lists), list(deletes)
        foreign = [
            world.runpod.plant(replace(spec_of(request()), name=name))
            for name in ("gp-o-abcd1234-n0-00000000", "gp-p-other123-n0-00000000", "somebody")
        ]
        for one in kill:
            killed_run(world, {}, one)
        heal(world)
        if end_kill is not None:
            killer = Killer(*end_kill)
            with suppress(Killed):
                world.start(before=killer.before, after=killer.after).end_all()
        world.start().end_all()
        assert world.living() == foreign
        # Whatever was sent has had its time, and nothing came of it.
        world.clock.sleep(1000)
        assert world.runpod.living() == foreign


@pytest.mark.parametrize("effect_after", [0.0, 30.0, 55.0])
@pytest.mark.parametrize("ends", [False, True])
def test_a_kill_between_sending_and_effect(effect_after: float, ends: bool, tmp_path: Path) -> None:
    """The request has left, the process is dead, the node appears later."""
    world = World(tmp_path)
    world.runpod.script = [Launch(effect_after=effect_after)]

    def after(call: str) -> None:
        if call == "create":
            raise Killed

    with pytest.raises(Killed):
        world.start(after=after).up(request())
    if ends:
        world.start().end_all()
        assert world.living() == []
    else:
        done = world.start().up(request())
        assert done.adopted
        assert [n.id for n in world.living()] == [done.instance.id]


def test_an_engine_that_is_gone_stops_every_write(tmp_path: Path) -> None:
    """Its provider neither launches nor deletes: the next run may have adopted the node already."""

    class EngineGoneError(Exception):
        pass

    world = World(tmp_path)
    world.runpod.script = [Launch(becomes=InstanceState.FAILED)]
    alive = [True]

    def may_send() -> None:
        if not alive[0]:
            raise EngineGoneError

    def after(call: str) -> None:
        if call == "create":
            alive[0] = False

    with pytest.raises(EngineGoneError):
        world.start(after=after, may_send=may_send).up(request())
    assert "delete" not in world.runpod.calls
    assert [n.id for n in world.living()] == ["runpod1"]
    alive[0] = False
    with pytest.raises(EngineGoneError):
        world.start(may_send=may_send).up(request("n1"))
    assert world.runpod.calls.count("create") == 1

    def noticed_by_the_client(call: str) -> None:
        alive[0] = call != "create"
        may_send()

    with pytest.raises(EngineGoneError):
        world.start(before=noticed_by_the_client, may_send=may_send).up(request("n2"))
    assert world.runpod.calls.count("create") == 1
    assert world.start().intents.youngest_open(f"gp-p-{STACK}-n1") is None
