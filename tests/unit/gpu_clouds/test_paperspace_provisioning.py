"""The provisioning algorithm on an emulated Paperspace: capacity that shows late, every fault, kills."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.paperspace.trouble import FAULT_KINDS
from gpu_clouds.ending import Ender
from gpu_clouds.errors import CapacityError, GpuCloudError, PriceCapExceededError, QuotaError
from gpu_clouds.intents import IntentLog
from gpu_clouds.models import Candidate, Instance, InstanceState
from gpu_clouds.paperspace.cloud import PaperspaceCloud
from gpu_clouds.provisioning import (
    NodeRequest,
    ProbeResult,
    Provisioned,
    Provisioner,
    ProvisioningError,
    Readiness,
)
from gpu_clouds.run import Run
from tests.unit.gpu_clouds.paperspace_harness import A100, TEMPLATE, World

STACK_ID = "abcdefgh"
A4000 = Candidate("paperspace", "main", "", "RTX-A4000")


class KilledError(BaseException):
    """The process ends here."""


class Process:
    """One run on the emulated cloud, with a memory of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.cloud: PaperspaceCloud = world.connect()
        self.intents = IntentLog(STACK_ID, folder, world.clock)
        self.run = Run(world.clock)
        self.lines: list[str] = []

    def up(self, *candidates: Candidate, node: str = "web-0", **more: Any) -> Provisioned:
        request = NodeRequest(
            owner="p",
            stack_id=STACK_ID,
            node=node,
            candidates=candidates or (A100,),
            template=TEMPLATE,
            readiness=Readiness(kind="http", port=8000, path="/health"),
            **more,
        )
        return Provisioner(
            {"main": self.cloud},
            self.intents,
            self.world.clock,
            threading.Event(),
            self.lines.append,
            lambda: None,
            run=self.run,
            ask=self._ask,
        ).find_or_launch(request)

    def down(self) -> None:
        ender = Ender(self.world.clock, None, self.lines.append, lambda: None)
        ender.end_all({"main": self.cloud}, "p", STACK_ID, self.intents)

    def _ask(self, instance: Instance, readiness: Readiness) -> ProbeResult:
        machine = self.world.emulated.fleet.any(instance.id)
        good = machine is not None and machine.serves and not machine.unusable
        return ProbeResult(good, "port 8000 /health does not answer")


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(World(availability_lies=True), tmp_path)


@pytest.mark.parametrize("form", ["event_error", "silent_off"])
def test_capacity_that_fails_late_is_followed_by_the_next_candidate(process: Process, form: str) -> None:
    process.world.emulated.change_settings({"capacity": {"A100-80G|*": 0}, "capacity_failure": form})
    done = process.up(A100, A4000)
    assert (done.candidate, done.hourly_usd) == (A4000, 0.76)
    assert done.instance.state is InstanceState.READY
    (note,) = [note for note in done.notes if "capacity:" in note]
    assert "no free machine" in note
    assert "deleted" in note
    assert (process.world.alive, process.world.objects["startup-scripts"]) == (1, 1)
    process.down()
    assert process.world.left == 0


@pytest.mark.parametrize("form", ["event_error", "silent_off", "refused"])
def test_a_drought_names_every_attempt_and_leaves_nothing(process: Process, form: str) -> None:
    for _ in range(2):
        process.world.fault("no_capacity", args={"failure": form})
    with pytest.raises(ProvisioningError) as caught:
        process.up(A100, A4000)
    assert isinstance(caught.value.cause, CapacityError)
    assert "no candidate has a free machine now" in caught.value.head
    assert len(caught.value.attempts) == 2
    assert process.world.left == 0


def test_a_drought_is_waited_out_where_that_is_asked_for(process: Process) -> None:
    process.world.emulated.change_settings({"capacity": {"A100-80G|*": 0}, "capacity_failure": "silent_off"})

    def more(seconds: float) -> None:
        process.world.frame.advance(seconds)
        if any("sold out" in line for line in process.lines):
            process.world.emulated.change_settings({"capacity": {}})

    process.world.clock.on_sleep = more
    assert process.up(A100, wait_for_capacity_min=10).instance.state is InstanceState.READY
    assert process.world.alive == 1


def test_what_the_cloud_says_it_has_not_is_not_launched(process: Process) -> None:
    process.world.emulated.change_settings({"capacity": {"A100-80G|*": 0}, "availability_lies": False})
    assert process.up(A100, A4000).candidate == A4000
    assert process.world.sent.count("POST /machines") == 1


def test_the_limit_of_the_team_stops_at_once(process: Process) -> None:
    process.world.emulated.control("PATCH", "account", {"max_machines": 0})
    with pytest.raises(ProvisioningError) as caught:
        process.up(A100, A4000)
    assert isinstance(caught.value.cause, QuotaError)
    assert process.world.left == 0


def test_a_dear_candidate_is_passed_over_by_its_list_price(process: Process) -> None:
    assert process.up(A100, A4000, max_hourly_usd=1.0).candidate == A4000
    assert process.world.sent.count("POST /machines") == 1


def test_a_machine_that_turns_out_too_dear_is_ended(process: Process) -> None:
    process.world.emulated.change_settings({"prices": {"A100-80G": 9.99}})
    with pytest.raises(ProvisioningError) as caught:
        process.up(A100, max_hourly_usd=4.0)
    assert isinstance(caught.value.cause, PriceCapExceededError)
    assert process.world.left == 0


def test_the_cheapest_goes_first_by_list_price(process: Process) -> None:
    assert process.up(A100, A4000, order="price").candidate == A4000


def test_stuck_provisioning_ends_at_its_deadline(process: Process) -> None:
    process.world.fault("provision_forever")
    began = process.world.clock.now
    done = process.up(A100, A4000)
    assert done.candidate == A4000
    assert 1200 <= process.world.clock.now - began < 1800
    assert process.world.alive == 1


def test_a_second_run_adopts(process: Process, tmp_path: Path) -> None:
    first = process.up()
    again = Process(process.world, tmp_path).up()
    assert (again.adopted, again.instance.id) == (True, first.instance.id)


@pytest.mark.parametrize("kind", sorted(kind for kind in FAULT_KINDS if not kind.startswith("node_")))
def test_every_fault_ends_in_a_node_or_in_one_clear_error(process: Process, kind: str) -> None:
    """Once at a create, and once at any call; then everything is ended, against the same fault."""
    world = process.world
    world.fault(kind, method="POST", path="/machines*")
    world.fault(kind)
    try:
        done = process.up(A100, A4000)
    except ProvisioningError as error:
        assert error.kept is None
        assert len(str(error).splitlines()) <= 9
        assert world.alive == 0
    else:
        assert done.instance.state is InstanceState.READY
        assert world.alive == 1
    world.fault(kind)
    world.fault(kind, method="DELETE")
    process.down()
    assert world.left == 0


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "error",
                "error_after",
                "cut",
                "cut_after",
                "html_error_page",
                "ok_body_with_error_code",
                "rate_limited",
                "create_then_500",
                "no_capacity",
                "unusable",
                "unknown_state",
                "delete_refused",
                "delete_5xx_but_deleted",
            ]
        ),
        st.integers(0, 12),
    ),
    max_size=4,
)


@given(faults=FAULTS, kills=st.lists(st.integers(1, 40), max_size=2), lag=st.sampled_from([0.0, 20.0]))
@settings(max_examples=30, deadline=None)
def test_after_faults_and_kills_one_run_gives_what_is_declared_and_one_end_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, faults: list[tuple[str, int]], kills: list[int], lag: float
) -> None:
    folder = tmp_path_factory.mktemp("state")
    world = World(availability_lies=True, list_lag_s=lag)
    for kind, skip in faults:
        world.fault(kind, skip=skip)
    for kill in kills:
        left = kill

        def before(sent: str) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise KilledError

        world.before = before
        with contextlib.suppress(KilledError, GpuCloudError):
            Process(world, folder).up(A100, A4000)
        world.before = lambda sent: None
    world.frame.faults.clear()
    done = Process(world, folder).up(A100, A4000)
    assert done.instance.state is InstanceState.READY
    assert world.alive == 1
    Process(world, folder).down()
    assert world.left == 0
