"""What outlives a machine ends with it, and nothing that a machine still needs ever does."""

from __future__ import annotations

import pytest

from gpu_clouds import errors
from gpu_clouds.clock import Clock
from gpu_clouds.ending import Ended, Ender
from gpu_clouds.errors import GpuCloudError
from gpu_clouds.intents import IntentLog
from gpu_clouds.models import InstanceState
from gpu_clouds.paperspace.cloud import PaperspaceCloud
from gpu_clouds.run import Run
from tests.unit.gpu_clouds.paperspace_harness import NAME, OTHER, STACK, World, spec


class KilledError(BaseException):
    """The process ends here."""


def ender(clock: Clock, run: Run | None = None) -> Ender:
    return Ender(clock, None, lambda line: None, lambda: None, run=run)


def killed(world: World, at: str) -> None:
    """A launch whose process is killed before it sends a request."""

    def kill(sent: str) -> None:
        if sent == at:
            raise KilledError

    world.before = kill
    with pytest.raises(KilledError):
        world.launch()
    world.before = lambda sent: None
    world.cloud = world.connect()


@pytest.mark.parametrize("prefix", ["", STACK], ids=["alone", "by listing"])
@pytest.mark.parametrize("visible", [0.0, 40.0], ids=["404", "dtDeleted"])
def test_a_delete_ends_machine_script_snapshots_and_address(prefix: str, visible: float) -> None:
    world = World(deleted_visible_s=visible)
    ready, other = world.ready(), world.ready(OTHER)
    ip = world.api("POST", "/public-ips", {"region": "ny2"})["ip"]
    world.api("PUT", f"/public-ips/{ip}", {"machineId": ready.id})
    world.api("POST", "/snapshots", {"name": "s", "machineId": ready.id})
    kept = world.api("POST", "/snapshots", {"name": "s", "machineId": other.id})["id"]
    assert ender(world.clock).end(world.cloud, ready.id, prefix=prefix) is Ended.GONE
    assert world.cloud.get(ready.id).state is InstanceState.GONE
    assert (world.objects["public-ips"], world.objects["startup-scripts"]) == (0, 1)
    assert [row["id"] for row in world.api("GET", "/snapshots")["items"]] == [kept]
    assert [one.id for one in world.cloud.list(STACK) if one.state is not InstanceState.GONE] == [other.id]


@pytest.mark.parametrize("family", ["startup-scripts", "snapshots"])
def test_a_machine_is_not_gone_before_what_belongs_to_it_is(family: str) -> None:
    world = World()
    ready = world.ready()
    world.api("POST", "/snapshots", {"name": "s", "machineId": ready.id})
    world.fault("delete_refused", path=f"/{family}/*")
    with pytest.raises(errors.ConflictError):
        world.cloud.delete(ready.id)
    world.pass_time(60)
    assert world.alive == 0
    for shown in (world.cloud.get(ready.id), *world.cloud.list(STACK)):
        assert (shown.id, shown.state) == (ready.id, InstanceState.FAILED)
        assert "is still there" in shown.detail
    assert ender(world.clock).end(world.cloud, ready.id, prefix=STACK) is Ended.GONE
    assert world.left == 0


def test_a_snapshot_that_can_not_be_ended_does_not_keep_the_machine() -> None:
    world = World()
    ready = world.ready()
    world.api("POST", "/snapshots", {"name": "s", "machineId": ready.id})
    world.frame.faults.add({"kind": "delete_refused", "path": "/snapshots/*"})
    with pytest.raises(errors.DeadlineError, match=ready.id):
        ender(world.clock).end(world.cloud, ready.id)
    assert (world.alive, world.objects["snapshots"]) == (0, 1)


@pytest.mark.parametrize("refusals", [1, 2])
def test_a_refused_delete_is_sent_again(refusals: int) -> None:
    world = World()
    ready = world.ready()
    for _ in range(refusals):
        world.fault("delete_refused", path="/machines/*")
    assert ender(world.clock).end(world.cloud, ready.id) is Ended.GONE
    assert world.left == 0


def test_a_machine_that_can_not_be_deleted_before_it_is_ready_is_deleted_then() -> None:
    world = World(delete_while_provisioning=False)
    made = world.launch()
    assert ender(world.clock).end(world.cloud, made.id, prefix=STACK) is Ended.GONE
    assert world.left == 0


def test_a_delete_that_fails_after_it_was_done_is_a_success() -> None:
    world = World()
    ready = world.ready()
    world.fault("delete_5xx_but_deleted")
    assert ender(world.clock).end(world.cloud, ready.id) is Ended.GONE
    assert world.left == 0


def test_two_machines_of_one_name_have_their_own_scripts() -> None:
    world = World()
    first, second = world.launch(), world.launch()
    ender(world.clock).end(world.cloud, first.id)
    world.pass_time(300)
    assert [one.state for one in world.cloud.list(STACK)] == [InstanceState.READY]
    assert world.emulated.state()["machines"][0]["booted"]
    ender(world.clock).end(world.cloud, second.id)
    assert world.left == 0


@pytest.mark.parametrize("assignment", [True, False], ids=["assigned", "not told"])
def test_a_script_whose_machine_no_list_shows_yet_is_left_alone(assignment: bool) -> None:
    world = World(list_lag_s=30.0, script_assignment=assignment)
    made = world.launch()
    other = world.connect()  # another process, which knows of no launch
    for _ in range(12):
        for shown in other.list(STACK):
            if shown.state is InstanceState.FAILED:
                other.delete(shown.id)
        world.pass_time(20)
    assert world.emulated.state()["machines"][0]["booted"]
    assert other.get(made.id).state is InstanceState.READY


def test_a_script_of_a_launch_that_takes_long_is_left_alone() -> None:
    """The request for the machine is under way for two minutes, and another thread looks meanwhile."""
    world = World()
    seen = []

    def slow(sent: str) -> None:
        if sent == "POST /machines":
            world.before = lambda sent: None
            world.frame.advance(110)
            world.clock.now += 110
            world._lock.release()
            seen.extend(world.cloud.list(STACK))
            world._lock.acquire()

    world.before = slow
    made = world.launch()
    assert seen == []
    world.pass_time(200)
    assert world.cloud.get(made.id).state is InstanceState.READY
    assert world.emulated.state()["machines"][0]["booted"]


def test_after_a_launch_without_an_answer_its_script_waits_for_the_machine() -> None:
    world = World(list_lag_s=100.0, script_assignment=False)
    world.fault("create_then_500")
    with pytest.raises(errors.AmbiguousError):
        world.launch()
    world.pass_time(55)
    assert world.cloud.list(STACK) == []
    assert world.objects["startup-scripts"] == 1


def test_a_script_of_a_killed_launch_is_shown_and_ended_once_nothing_can_need_it() -> None:
    world = World()
    killed(world, "POST /machines")
    assert world.cloud.list(STACK) == []
    world.pass_time(51)
    (shown,) = world.cloud.list(STACK)
    assert (shown.name, shown.state, shown.id[:7]) == (NAME, InstanceState.FAILED, "script:")
    assert world.cloud.get(shown.id).state is InstanceState.FAILED
    assert ender(world.clock).end(world.cloud, shown.id, prefix=STACK) is Ended.GONE
    assert world.cloud.get(shown.id).state is InstanceState.GONE
    assert world.left == 0


def test_the_guard_ends_what_a_killed_launch_has_left(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World()
    intents = IntentLog("abcdefgh", tmp_path_factory.mktemp("state"), world.clock)
    intents.open(NAME, "paperspace")
    killed(world, "POST /machines")
    ended = ender(world.clock).end_all({"main": world.cloud}, "p", "abcdefgh", intents)
    assert [one.name for one in ended] == [NAME]
    assert world.left == 0


def test_scripts_of_others_are_never_touched() -> None:
    world = World()
    world.api("POST", "/startup-scripts", {"name": "mine", "script": "true"})
    world.api("POST", "/startup-scripts", {"name": f"{NAME}.x", "script": "true"})
    name = "gp-p-zzzzzzzz-web-0-1a2b3c4d.999000.8000h"
    world.api("POST", "/startup-scripts", {"name": name, "script": "true"})
    world.pass_time(1000)
    ready = world.ready()
    assert [one.id for one in world.cloud.list(STACK)] == [ready.id]
    ender(world.clock).end(world.cloud, ready.id)
    assert world.objects["startup-scripts"] == 3


def test_a_script_that_was_removed_by_hand_costs_nothing_but_the_ways_in() -> None:
    world = World()
    ready = world.ready()
    (script,) = world.api("GET", "/startup-scripts")["items"]
    world.api("DELETE", f"/startup-scripts/{script['id']}")
    world.pass_time(5)
    seen = world.cloud.get(ready.id)
    assert (seen.state, seen.endpoints) == (InstanceState.READY, ())
    ender(world.clock).end(world.cloud, ready.id)
    assert world.left == 0


def test_a_machine_that_was_deleted_by_hand_leaves_a_script_that_is_found() -> None:
    world = World()
    ready = world.ready()
    world.api("DELETE", f"/machines/{ready.id}")
    world.pass_time(60)
    cloud = world.connect()
    (shown,) = cloud.list(STACK)
    assert (shown.id, shown.state, shown.name) == (ready.id, InstanceState.FAILED, NAME)
    assert cloud.get(ready.id).name == NAME
    ender(world.clock).end(cloud, ready.id, prefix=STACK)
    assert world.left == 0


@pytest.mark.parametrize(
    "at",
    [
        "GET /public-ips",
        "GET /snapshots",
        "DELETE /snapshots/*",
        "DELETE /machines/*",
        "DELETE /startup-scripts/*",
    ],
)
def test_a_killed_delete_is_finished_by_the_next(at: str) -> None:
    world = World()
    ready = world.ready()
    ip = world.api("POST", "/public-ips", {"region": "ny2"})["ip"]
    world.api("PUT", f"/public-ips/{ip}", {"machineId": ready.id})
    world.api("POST", "/snapshots", {"name": "s", "machineId": ready.id})

    def kill(sent: str) -> None:
        if sent == at or (at.endswith("*") and sent.startswith(at[:-1])):
            raise KilledError

    world.before = kill
    with pytest.raises(KilledError):
        world.cloud.delete(ready.id)
    world.before = lambda sent: None
    world.pass_time(30)
    ender(world.clock).end(world.connect(), ready.id, prefix=STACK)
    assert world.left == 0


def test_lists_are_shared_when_many_end_at_once() -> None:
    world = World()
    made = [world.launch(f"{STACK}n{index}-1a2b3c4d") for index in range(10)]
    world.pass_time(200)
    before = len(world.sent)
    for one in made:
        world.cloud.delete(one.id)
    sent = world.sent[before:]
    assert sent.count("GET /snapshots") == sent.count("GET /public-ips") == 1
    world.pass_time(60)
    assert world.cloud.list(STACK) == []
    assert world.left == 0


def test_a_client_never_shows_a_deleted_machine_as_living(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(deleted_visible_s=1000.0)
    ready = world.ready()
    world.cloud.delete(ready.id)
    assert [one.state for one in world.cloud.list(STACK)] == [InstanceState.DELETING]
    world.pass_time(100)
    states: set[InstanceState] = set()
    for cloud in (world.cloud, world.connect()):
        assert isinstance(cloud, PaperspaceCloud)
        states |= {one.state for one in cloud.list(STACK)} | {cloud.get(ready.id).state}
    assert states == {InstanceState.GONE}


def test_an_error_of_a_read_is_no_sign_that_anything_is_gone() -> None:
    world = World()
    ready = world.ready()
    world.frame.faults.add({"kind": "error", "path": "/machines/*"})
    with pytest.raises(GpuCloudError):
        world.cloud.get(ready.id)
    assert spec().name == NAME
