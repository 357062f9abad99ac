"""Random faults and kills on three clouds at once: afterwards the clouds hold exactly what is declared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_clouds.errors import GpuCloudError
from gpu_clouds.models import Candidate
from gpu_clouds.provisioning import ProvisioningError
from tests.faults.common import CALLS, TROUBLES
from tests.faults.counting import COUNTED
from tests.faults.world import CANARY, FIRST, SECOND, Process, World

NODES: dict[str, tuple[Candidate, ...]] = {
    "web-0": (FIRST["runpod"], FIRST["lambda"], FIRST["paperspace"]),
    "web-1": (FIRST["lambda"], SECOND["paperspace"], SECOND["runpod"]),
    "embed-0": (FIRST["paperspace"], SECOND["runpod"], SECOND["lambda"]),
}
OF_LAUNCHES = {
    "runpod": (
        "no_capacity",
        "boot_fails",
        "stuck_provisioning",
        "unusable",
        "pool_refused",
        "create_refused",
    ),
    "lambda": (
        "no_capacity",
        "goes_unhealthy",
        "stuck_provisioning",
        "unusable",
        "preempted",
        "create_refused",
    ),
    "paperspace": ("no_capacity", "provision_forever", "unusable", "create_refused"),
}
OF_ENDS = ("delete_refused", "delete_5xx_but_deleted")


class Killed(BaseException):
    """The process ends here; what comes after in this run does not happen."""


@dataclass(frozen=True)
class Trouble:
    """One fault that hits a few times."""

    cloud: str
    kind: str
    arguments: tuple[tuple[str, Any], ...] = ()
    count: int = 1
    skip: int = 0


@dataclass(frozen=True)
class Kill:
    """Where a run dies: at its n-th request, before it is sent, while under way, or once it is answered.

    Attributes:
        at: Which request, from 1.
        of: `any` request, or only one that `writes`.
        when: `before`, `under way` or `answered`.
        effect_after_s: When a request under way reaches the cloud; with the lag of lists less than `settleS`.
    """

    at: int
    of: str
    when: str
    effect_after_s: float = 0.0


@dataclass
class State:
    """What the engine's state holds: the id of each node, and whether its create went well."""

    ids: dict[str, str] = field(default_factory=dict)


def _of_call(calls: Sequence[tuple[str, str]], skips: st.SearchStrategy[int]) -> st.SearchStrategy[Trouble]:
    return st.builds(
        lambda call, trouble, count, skip: Trouble(
            call[0],
            TROUBLES[trouble][0],
            tuple({**TROUBLES[trouble][1], **CALLS[call[0]][call[1]]}.items()),
            count,
            skip,
        ),
        st.sampled_from(calls),
        st.sampled_from(sorted(TROUBLES)),
        st.integers(1, 3),
        skips,
    )


def _of_launch() -> st.SearchStrategy[Trouble]:
    kinds = [(cloud, kind) for cloud in OF_LAUNCHES for kind in (*OF_LAUNCHES[cloud], *OF_ENDS)]
    return st.builds(
        lambda kind, count: Trouble(kind[0], kind[1], (), count), st.sampled_from(kinds), st.integers(1, 2)
    )


anything = _of_call([(cloud, call) for cloud in CALLS for call in CALLS[cloud]], st.integers(0, 6))
launches = _of_call([(cloud, "launch") for cloud in CALLS], st.just(0))
troubles = st.lists(anything | launches | launches | _of_launch(), max_size=6)
moments = st.sampled_from(["before", "under way", "under way", "answered"])
effects = st.sampled_from([0.0, 1.0, 20.0, 30.0])
kills = st.builds(Kill, st.integers(1, 60), st.just("any"), moments, effects) | st.builds(
    Kill, st.integers(1, 7), st.just("writes"), moments, effects
)
runs = st.lists(st.tuples(troubles, st.none() | kills), min_size=1, max_size=3)
lags = st.sampled_from([0.0, 0.0, 8.0, 25.0])


def _arm(world: World, process_faults: Sequence[Trouble], kill: Kill | None) -> None:
    for one in process_faults:
        world.fault(one.cloud, one.kind, **{"count": one.count, "skip": one.skip, **dict(one.arguments)})
    if kill is None:
        return
    seen: list[str] = []

    def comes(line: str) -> bool:
        counts = kill.of == "any" or not line.startswith("GET ")
        seen.extend([line] * counts)
        return counts and len(seen) == kill.at

    def before(line: str) -> None:
        if kill.when == "before" and comes(line):
            raise Killed

    def late(line: str) -> float | None:
        return kill.effect_after_s if kill.when == "under way" and comes(line) else None

    def after(line: str) -> None:
        if kill.when == "answered" and comes(line):
            raise Killed

    world.net.before, world.net.late, world.net.after, world.net.lost = before, late, after, Killed


def _disarm(world: World) -> None:
    world.heal()
    world.net.before = world.net.after = lambda _line: None
    world.net.late = lambda _line: None


def _up(process: Process, state: State) -> None:
    """What an update does: a create for what the state does not hold; every failure is reported."""
    for node, candidates in NODES.items():
        try:
            if node in state.ids:
                done = process.resume(state.ids[node], *candidates, node=node)
            else:
                done = process.up(*candidates, node=node)
            state.ids[node] = done.instance.id
        except ProvisioningError as error:
            _readable(error)
            if error.kept is not None:
                state.ids[node] = error.kept.id
        except GpuCloudError as error:
            _readable(error)


def _readable(error: GpuCloudError) -> None:
    assert CANARY not in f"{error} {error!r}"
    assert "Traceback" not in str(error)


def _run(world: World, state: State, faults: Sequence[Trouble], kill: Kill | None) -> None:
    """One run that may be killed in the middle."""
    _arm(world, faults, kill)
    process = world.start()
    with suppress(Killed):
        _up(process, state)
    _disarm(world)
    process.close()
    COUNTED.random_runs += 1
    COUNTED.kills += kill is not None


def _slugs(world: World) -> list[str]:
    """Which nodes the clouds hold, each by `cloud gp-p-stack-node-spec`."""
    return sorted("-".join(name.split("-")[3:-1]) for name in world.living().values())


@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=runs, lag=lags, pause=st.sampled_from([0.0, 0.0, 3.0, 100.0]), lost=st.booleans())
def test_one_up_gives_what_is_declared(
    story: list[tuple[list[Trouble], Kill | None]], lag: float, pause: float, lost: bool
) -> None:
    with closing(World()) as world:
        _slow_lists(world, lag)
        state = State()
        for faults, kill in story:
            _run(world, state, faults, kill)
            world.clock.sleep(pause)
            if lost:
                state.ids.clear()
        last = world.start()
        _up(last, state)
        assert _slugs(world) == sorted(NODES), (world.living(), world.lines[-20:])
        assert sorted(state.ids.values()) == sorted(world.living())
        world.clock.sleep(900)
        assert sorted(state.ids.values()) == sorted(world.living()), "something came late"
        last.end_all()
        last.close()
        end = world.start()
        end.end_all()
        end.close()
        assert (world.living(), world.belongings()) == ({}, {})


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=runs, lag=lags, end=st.tuples(troubles, st.none() | kills))
def test_one_destroy_leaves_nothing(
    story: list[tuple[list[Trouble], Kill | None]], lag: float, end: tuple[list[Trouble], Kill | None]
) -> None:
    with closing(World()) as world:
        _slow_lists(world, lag)
        for faults, kill in story:
            _run(world, State(), faults, kill)
        _arm(world, *end)
        process = world.start()
        with suppress(Killed, GpuCloudError):
            process.end_all()
        _disarm(world)
        process.close()
        last = world.start()
        last.end_all()
        last.close()
        assert (world.living(), world.belongings()) == ({}, {}), world.lines[-20:]
        # Whatever was sent has had its time, and nothing came of it.
        world.clock.sleep(900)
        assert (world.living(), world.belongings()) == ({}, {})


def _slow_lists(world: World, lag: float) -> None:
    """A new node is missing in lists for so long; that is how these clouds are, no fault that ends."""
    for cloud in world.net.emulators.clouds:
        world.change(cloud, list_lag_s=lag)
    world.keep_settings()
