"""What exists already is adopted, what is too many ends, what is somebody else's stays."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds.errors import AuthError, PermissionRefusedError, TransientError, ValidationError
from gpu_clouds.finding import sort_out
from gpu_clouds.models import Instance, InstanceState, InstanceTemplate
from gpu_clouds.operation import Match
from gpu_clouds.provisioning import ProvisioningError
from tests.unit.provisioning.world import (
    A100,
    H100,
    L40S,
    FakeCloud,
    Launch,
    World,
    request,
    spec_of,
)


def ids(world: World) -> list[str]:
    return [n.id for n in world.living()]


def test_a_healthy_node_is_adopted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.other.plant(spec_of(request(), L40S))
    done = world.start().up(request())
    assert (done.instance.id, done.adopted, done.candidate) == ("lambda1", True, L40S)
    assert ids(world) == ["lambda1"]
    assert world.runpod.calls.count("create") == 0


def test_a_starting_node_is_adopted_and_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.plant(spec_of(request()), Launch(boot=120))
    done = world.start().up(request())
    assert done.instance.state is InstanceState.READY
    assert ids(world) == ["runpod1"]


@pytest.mark.parametrize("state", [InstanceState.FAILED, InstanceState.STOPPED, InstanceState.STOPPING])
def test_a_failed_node_is_ended_and_another_launched(state: InstanceState, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.plant(spec_of(request()), Launch(boot=0, becomes=state))
    done = world.start().up(request())
    assert (done.instance.id, done.adopted) == ("runpod2", False)
    assert ids(world) == ["runpod2"]


def test_of_several_the_oldest_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.other.plant(spec_of(request(), L40S))
    world.clock.sleep(1)
    for _ in range(2):
        world.runpod.plant(spec_of(request()))
    done = world.start().up(request())
    assert ids(world) == ["lambda1"] == [done.instance.id]
    assert sum("one too many" in note for note in done.notes) == 2


def test_a_surplus_node_that_can_not_be_ended_is_told_and_the_oldest_held(tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(2):
        world.runpod.plant(spec_of(request()))
    world.runpod.delete_faults = [PermissionRefusedError("locked")] * 9
    with pytest.raises(ProvisioningError, match="refuses to delete node runpod2") as caught:
        world.start().up(request())
    assert caught.value.kept is not None
    assert caught.value.kept.id == "runpod1"


def test_a_node_of_other_inputs_is_left_for_its_own_delete(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.plant(spec_of(request(replace_trigger="old")))
    done = world.start().up(request(replace_trigger="new"))
    assert not done.adopted
    assert ids(world) == ["runpod1", "runpod2"]
    assert any("runpod1" in n and "left for its own delete" in n for n in done.notes)


def test_foreign_nodes_are_not_touched(tmp_path: Path) -> None:
    world = World(tmp_path)
    name = spec_of(request()).name
    for other in (
        name.replace("gp-p", "gp-o"),
        name.replace("abcd1234", "zzzz1234"),
        "n0",
        name + "-migration",
    ):
        world.runpod.plant(
            replace(spec_of(request()), name=other), Launch(boot=0, becomes=InstanceState.FAILED)
        )
    done = world.start().up(request())
    assert len(world.living()) == 5
    assert not done.adopted


def test_a_further_fallback_keeps_the_node_and_a_removed_winner_does_not(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.plant(spec_of(request("n0", A100), A100))
    assert world.start().up(request("n0", H100, A100, L40S)).adopted
    assert not world.start().up(request("n0", H100, L40S)).adopted


def test_every_account_is_asked_before_anything_is_launched(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.other.list_faults = [AuthError("bad key")]
    with pytest.raises(ProvisioningError, match="nothing was launched") as caught:
        world.start().up(request())
    assert caught.value.kind == "auth"
    assert world.living() == []


def test_a_passing_fault_of_a_listing_is_sat_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.other.plant(spec_of(request(), L40S))
    run = world.start()
    run.intents.known_machine = True
    world.other.list_faults = [TransientError("503"), TransientError("503")]
    assert run.up(request()).instance.id == "lambda1"


@pytest.mark.parametrize(("known", "once", "lists"), [(False, False, 2), (True, False, 1), (False, True, 1)])
def test_how_often_an_unknown_machine_lists(known: bool, once: bool, lists: int, tmp_path: Path) -> None:
    world = World(tmp_path)
    if known:
        (tmp_path / "abcd1234").mkdir()
    at: list[tuple[str, float]] = []
    run = world.start(before=lambda call: at.append((call, world.clock.time())))
    run.up(request("n0", H100, first_listing_once=once))
    first = [t for call, t in at[: [c for c, _ in at].index("create")] if call == "list"]
    assert len(first) == lists
    if lists == 2:
        assert first[1] - first[0] >= 5
    assert world.start().intents.known_machine


def test_a_node_that_shows_up_between_the_two_listings_is_adopted(tmp_path: Path) -> None:
    """Another machine was killed a moment ago; its intents are there, not here."""
    world = World(tmp_path)
    world.runpod.plant(spec_of(request()), Launch(effect_after=4, boot=0))
    assert world.start().up(request()).adopted
    assert ids(world) == ["runpod1"]


def test_two_resources_of_one_name_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    run = world.start()
    run.up(request("same"))
    with pytest.raises(ValidationError, match="both called 'same'"):
        run.up(request("same"))
    assert world.names() == ["same"]


def test_an_adopted_node_gets_the_image_of_now(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.plant(spec_of(request()))
    new = request(template=InstanceTemplate(image="vllm:2", ports=("8000/http",)))
    done = world.start().up(new)
    assert (done.adopted, done.instance.image) == (True, "vllm:2")
    assert ids(world) == ["runpod1"]


def test_an_adopted_node_above_the_cap_is_ended(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.plant(spec_of(request()), Launch(boot=0, price=9))
    done = world.start().up(request(max_hourly_usd=3))
    assert ids(world) == ["runpod2"] == [done.instance.id]


def test_the_cheapest_first_and_nothing_above_the_cap(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.runpod.prices = {H100: 4.0, A100: 1.5}
    world.other.prices = {L40S: 0.8}
    world.other.script = [Launch(price=0.8)]
    wanted = request("n0", H100, A100, L40S, order="price", max_hourly_usd=1.0)
    assert world.start().up(wanted).candidate is L40S
    assert world.runpod.calls.count("create") == 0
    world.other.prices = {L40S: 8.0}
    with pytest.raises(ProvisioningError) as caught:
        world.start().up(replace(wanted, node="n1"))
    assert caught.value.kind == "price_cap"
    assert "costs 4.000 USD/h, above maxHourlyUsd 1.000" in caught.value.message
    assert world.names() == ["n0"]


def test_a_candidate_needs_its_credential_set(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(
        ValidationError, match="no credential set 'absent' for cloud 'runpod'; there is: main"
    ):
        world.start().up(request("n0", replace(H100, credentials="absent")))


class TestAdoptId:
    def test_takes_over_that_very_node_and_leaves_its_name(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.runpod.plant(replace(spec_of(request()), name="made-by-hand"))
        done = world.start().up(request(adopt_id="runpod1"))
        assert (done.instance.id, done.adopted, done.marker) == ("runpod1", True, "made-by-hand")
        assert ids(world) == ["runpod1"]

    def test_never_ends_it(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.runpod.plant(
            replace(spec_of(request()), name="mine"), Launch(boot=0, becomes=InstanceState.FAILED)
        )
        with pytest.raises(ProvisioningError, match="left as it is"):
            world.start().up(request(adopt_id="runpod1"))
        assert ids(world) == ["runpod1"]

    @pytest.mark.parametrize("name", ["gp-p-zzzz1234-n0-00000000", "gp-p-abcd1234-n1-00000000"])
    def test_refuses_the_node_of_another(self, name: str, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.runpod.plant(replace(spec_of(request()), name=name))
        with pytest.raises(ValidationError, match="belongs to another node or stack"):
            world.start().up(request(adopt_id="runpod1"))
        assert ids(world) == ["runpod1"]

    def test_refuses_what_is_no_candidate_and_what_is_not_there(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.runpod.plant(replace(spec_of(request("n0", A100), A100), name="mine"))
        with pytest.raises(ValidationError, match="none of the candidates"):
            world.start().up(request(adopt_id="runpod1"))
        with pytest.raises(ValidationError, match="remove it to launch"):
            world.start().up(request(adopt_id="absent"))
        assert ids(world) == ["runpod1"]


class TestResume:
    def test_waits_again_for_the_kept_node(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.runpod.script = [Launch(boot=1500)]
        with pytest.raises(ProvisioningError) as caught:
            world.start().up(request(keep_on_failure=True))
        kept = caught.value.kept
        assert kept is not None
        done = world.start().provisioner().ensure_ready(request(keep_on_failure=True), kept.id)
        assert (done.instance.id, done.instance.state) == (kept.id, InstanceState.READY)
        assert ids(world) == [kept.id]

    def test_replaces_it_if_it_failed_or_vanished(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.runpod.plant(spec_of(request()), Launch(boot=0, becomes=InstanceState.FAILED))
        done = world.start().provisioner().ensure_ready(request(), "runpod1")
        assert ids(world) == ["runpod2"] == [done.instance.id]
        done = world.start().provisioner().ensure_ready(request(), "vanished")
        assert ids(world) == ["runpod2"] == [done.instance.id]

    def test_keeps_the_named_one_of_several(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        for _ in range(3):
            world.runpod.plant(spec_of(request()))
            world.clock.sleep(1)
        done = world.start().provisioner().ensure_ready(request(), "runpod2")
        assert ids(world) == ["runpod2"] == [done.instance.id]


states = st.sampled_from(list(InstanceState))
moments = st.none() | st.integers(0, 3).map(lambda s: datetime(2026, 1, 1, 0, 0, s, tzinfo=UTC))


@given(st.lists(st.tuples(st.integers(0, 9), states, moments), unique_by=lambda t: t[0]), st.randoms())
def test_which_one_stays_does_not_depend_on_the_order_of_the_listing(nodes, random) -> None:
    cloud = FakeCloud(World(Path("unused")).runpod, "main")
    matches = [
        Match(cloud, H100, Instance(str(i), "name", "runpod", state, "", created_at=at))
        for i, state, at in nodes
    ]
    one = sort_out(matches)
    random.shuffle(matches)
    assert sort_out(matches) == replace(one, failed=sort_out(matches).failed)
    alive = [m for m in matches if m.instance.state in ("PENDING", "RUNNING", "READY", "UNKNOWN")]
    assert {m.key for m in alive} == {m.key for m in (one.keep, *one.surplus) if m}
