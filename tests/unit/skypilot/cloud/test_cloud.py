"""A SkyPilot server as a cloud: what is launched, what a cluster's state is, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_clouds import errors
from gpu_clouds.connection import Connection
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.models import Candidate, Instance, InstanceSpec, InstanceState, InstanceTemplate
from gpu_clouds.registry import connect
from gpu_clouds.skypilot.cloud import SkyPilotCloud, reading
from gpu_clouds.skypilot.cloud import connect as connect_sky
from gpu_clouds.skypilot.errors import (
    ApiError,
    RequestCancelledError,
    RequestLostError,
    RequestTimeoutError,
)
from gpu_clouds.skypilot.instances import server_id
from gpu_clouds.skypilot.task import MARKER_LABEL
from tests.unit.dynamic_providers.memory_cloud import QuickClock
from tests.unit.skypilot.cloud.sky import ENDPOINT, NO_CAPACITY, NOT_UP, Plan, Sky, error_of

PREFIX = "gp-p-abcdefgh-"
NAME = f"{PREFIX}web-0-0123abcd"
ID = f"{NAME}@{server_id(ENDPOINT)}"
H100 = Candidate("skypilot", "sky", "slurm/fake", "H100-SXM", 2)
SPEC = InstanceSpec(NAME, H100, InstanceTemplate(image="a/b:1", args="serve", env={"TOKEN": "canary-1"}))


@pytest.fixture
def sky() -> Sky:
    return Sky(QuickClock())


@pytest.fixture
def cloud(sky: Sky) -> SkyPilotCloud:
    return SkyPilotCloud(sky.client(), "sky")


def wait(sky: Sky, seconds: float) -> None:
    sky.clock.sleep(seconds)


def up(sky: Sky, cloud: SkyPilotCloud) -> Instance:
    cloud.create(SPEC)
    wait(sky, 60)
    return cloud.get(ID)


def test_a_launch_is_taken_for_accepted_once_its_cluster_is_listed(sky: Sky, cloud: SkyPilotCloud) -> None:
    made = cloud.create(SPEC)
    assert (made.id, made.name, made.state) == (ID, NAME, InstanceState.PENDING)
    assert made.detail == "Provisioning on slurm in fake"
    assert sky.clock.monotonic() - 1_000_000 < 3
    task = next(each.task for each in sky.asked.values() if each.task)
    assert task["secrets"] == {"TOKEN": "canary-1"} and "envs" not in task


def test_a_launch_that_the_server_is_slow_with_is_accepted_too(sky: Sky, cloud: SkyPilotCloud) -> None:
    sky.plans = [Plan(after_s=100, listed_s=50)]
    made = cloud.create(SPEC)
    assert made.state is InstanceState.PENDING and made.native_state == "not listed yet"
    assert [each.id for each in cloud.list(PREFIX)] == [ID]
    assert cloud.get(ID).state is InstanceState.PENDING


def test_from_pending_to_ready(sky: Sky, cloud: SkyPilotCloud) -> None:
    cloud.create(SPEC)
    wait(sky, 30)  # its machine runs, its job is not handed over yet
    sky.records[NAME].update(status="UP")
    assert cloud.get(ID).state is InstanceState.RUNNING
    wait(sky, 30)
    ready = cloud.list(PREFIX)[0]
    assert ready.state is InstanceState.READY
    assert (ready.region, ready.gpu, ready.gpu_count, ready.hourly_usd) == ("slurm/fake", "H100-SXM", 2, 5.0)
    assert ready.created_at is not None and not ready.endpoints


def test_the_price_is_for_all_nodes(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    sky.records[NAME]["nodes"] = 3
    assert cloud.get(ID).hourly_usd == 15.0
    sky.records[NAME]["accelerators"] = None
    assert (cloud.get(ID).hourly_usd, cloud.get(ID).gpu) == (None, "")


def test_a_name_without_the_label_is_not_ours(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    sky.records[NAME]["labels"] = {MARKER_LABEL: "gp-p-abcdefgh-web-1-0123abcd"}
    assert cloud.list(PREFIX) == []
    assert cloud.get(ID).state is InstanceState.GONE
    launches = sky.sent("/launch")
    with pytest.raises(errors.ConflictError, match="does not carry our label"):
        cloud.create(SPEC)
    cloud.delete(ID)
    assert (sky.sent("/launch"), sky.sent("/down"), sky.left) == (launches, 0, 1)


def test_anybodys_cluster_can_be_looked_at_by_its_name(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    sky.records["mine"] = {**sky.records[NAME], "name": "mine", "labels": None}
    sky.machines["mine"], sky.jobs["mine"] = "running", 1
    assert cloud.get("mine").state is InstanceState.READY
    assert [each.name for each in cloud.list("")] == [NAME]


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (NO_CAPACITY, errors.CapacityError, 500),
        (
            error_of("NotSupportedError", "Opening ports is not supported in Slurm."),
            errors.ValidationError,
            400,
        ),
        (error_of("InvalidSkyPilotConfigError", "Invalid task YAML"), errors.ValidationError, 500),
        (error_of("NoCloudAccessError", "No cloud"), errors.PermissionRefusedError, 500),
    ],
)
def test_a_launch_that_fails_at_once(
    sky: Sky, cloud: SkyPilotCloud, error: str, kind: type[errors.GpuCloudError], status: int
) -> None:
    sky.plans = [Plan(error, after_s=2, listed_s=None)]
    with pytest.raises(kind) as caught:
        cloud.create(SPEC)
    assert caught.value.status == status
    assert json.loads(error)["message"].splitlines()[0] in caught.value.message
    assert "\n" not in caught.value.message and "canary" not in caught.value.message
    assert cloud.list(PREFIX) == [] and cloud.get(ID).state is InstanceState.GONE


def test_capacity_that_shows_late_is_a_failed_node_that_is_sold_out(sky: Sky, cloud: SkyPilotCloud) -> None:
    sky.plans = [Plan(NO_CAPACITY, after_s=120, listed_s=None)]
    cloud.create(SPEC)
    wait(sky, 130)
    (failed,) = cloud.list(PREFIX)
    assert (failed.state, failed.sold_out, failed.remains) == (InstanceState.FAILED, True, True)
    assert "ResourcesUnavailableError" in failed.detail
    cloud.delete(ID)
    assert cloud.list(PREFIX) == [] and sky.sent("/down") == 0


def test_a_runtime_that_can_not_be_set_up_fails_the_node_though_its_machine_runs(
    sky: Sky, cloud: SkyPilotCloud
) -> None:
    sky.plans = [Plan(error_of("RuntimeError", "Failed to run setup commands"), after_s=50)]
    cloud.create(SPEC)
    wait(sky, 60)
    (failed,) = cloud.list(PREFIX)
    assert (failed.state, failed.sold_out, failed.remains) == (InstanceState.FAILED, False, False)
    assert failed.native_state == "UP" and "Failed to run setup" in failed.detail
    assert sky.left == 1


def test_another_process_takes_a_half_made_cluster_for_what_it_is(sky: Sky, cloud: SkyPilotCloud) -> None:
    sky.plans = [Plan(error_of("RuntimeError", "Failed to run setup commands"), after_s=50)]
    cloud.create(SPEC)
    wait(sky, 60)
    other = SkyPilotCloud(sky.client(), "sky")
    assert other.get(ID).state is InstanceState.FAILED  # FORCE calls it UP, its queue says that it is not
    assert sky.records[NAME]["status"] == "UP"


def test_another_process_sees_a_launch_in_progress(sky: Sky, cloud: SkyPilotCloud) -> None:
    sky.plans = [Plan(after_s=100, listed_s=50)]
    cloud.create(SPEC)
    other = SkyPilotCloud(sky.client(), "sky")
    assert [each.state for each in other.list(PREFIX)] == [InstanceState.PENDING]
    wait(sky, 120)
    assert [each.state for each in other.list(PREFIX)] == [InstanceState.READY]


def test_the_queue_is_asked_once(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    for _ in range(3):
        cloud.list(PREFIX)
    assert sky.sent("/queue") == 0  # this process saw the launch end well
    other = SkyPilotCloud(sky.client(), "sky")
    for _ in range(3):
        assert other.list(PREFIX)[0].state is InstanceState.READY
    assert sky.sent("/queue") == 1


def test_a_restarted_server_gets_the_launch_again(sky: Sky, cloud: SkyPilotCloud) -> None:
    cloud.create(SPEC)
    wait(sky, 10)
    sky.restart()
    assert [each.state for each in cloud.list(PREFIX)] == [InstanceState.RUNNING]
    wait(sky, 60)
    assert [each.state for each in cloud.list(PREFIX)] == [InstanceState.READY]
    assert (sky.sent("/launch"), sky.left) == (2, 1)


def test_a_restart_after_the_launch_had_ended_well_changes_nothing(sky: Sky, cloud: SkyPilotCloud) -> None:
    cloud.create(SPEC)
    wait(sky, 60)
    sky.restart()
    assert [each.state for each in cloud.list(PREFIX)] == [InstanceState.READY]
    assert (sky.sent("/launch"), sky.left) == (1, 1)


def test_a_server_that_swallows_every_launch_ends_in_a_failed_node(sky: Sky, cloud: SkyPilotCloud) -> None:
    cloud.create(SPEC)
    for _ in range(3):
        wait(sky, 10)
        sky.restart()
        last = cloud.list(PREFIX)
    assert [each.state for each in last] == [InstanceState.FAILED]
    assert sky.sent("/launch") == 3


def test_a_cancel_ends_the_launching(sky: Sky) -> None:
    cancel = threading.Event()
    cloud = SkyPilotCloud(sky.client(cancel), "sky")
    cloud.create(SPEC)
    wait(sky, 10)
    sky.restart()
    cancel.set()
    assert [each.state for each in cloud.list(PREFIX)] == [InstanceState.FAILED]
    assert sky.sent("/launch") == 1


def test_a_machine_that_was_taken_away_is_gone(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    sky.take_away(NAME)
    assert sky.records[NAME]["status"] == "UP"
    assert cloud.list(PREFIX) == [] and cloud.get(ID).state is InstanceState.GONE


STATES: list[tuple[dict[str, Any], InstanceState]] = [
    ({"status": "STOPPED"}, InstanceState.STOPPED),
    ({"status": "AUTOSTOPPING"}, InstanceState.STOPPING),
    ({"status": "PENDING"}, InstanceState.PENDING),
    ({"status": "UP"}, InstanceState.READY),
    ({"status": "INIT", "init_kind": "unhealthy", "init_status_reason": "node lost"}, InstanceState.FAILED),
    ({"status": "RESHAPING"}, InstanceState.UNKNOWN),
]


@pytest.mark.parametrize(("change", "state"), STATES)
def test_states(sky: Sky, cloud: SkyPilotCloud, change: dict[str, Any], state: InstanceState) -> None:
    up(sky, cloud)
    sky.records[NAME].update(change)
    sky.machines[NAME] = "as it is"
    seen = cloud.get(ID)
    assert seen.state is state
    assert seen.detail == change.get("init_status_reason", "")
    assert (seen.hourly_usd is None) == (state is InstanceState.STOPPED)


def test_delete_cancels_and_downs(sky: Sky, cloud: SkyPilotCloud) -> None:
    cloud.create(SPEC)
    wait(sky, 10)
    cloud.delete(ID)
    assert sky.calls.index("/api/cancel") < sky.calls.index("/down")
    assert cloud.get(ID).state is InstanceState.DELETING
    cloud.delete(ID)  # asked again while it ends
    assert sky.sent("/down") == 1
    wait(sky, 20)
    assert cloud.get(ID).state is InstanceState.GONE and sky.left == 0
    cloud.delete(ID)
    assert sky.sent("/down") == 1


def test_a_cancelled_launch_leaves_its_machine_until_it_is_downed(sky: Sky, cloud: SkyPilotCloud) -> None:
    cloud.create(SPEC)
    wait(sky, 30)
    for each in sky.asked.values():
        if each.name == "sky.launch":
            sky._cancel([each.id])
    assert sky.left == 1 and cloud.get(ID).state is InstanceState.FAILED
    cloud.delete(ID)
    wait(sky, 20)
    assert sky.left == 0 and cloud.get(ID).state is InstanceState.GONE


def test_a_failed_down_is_told_and_sent_again(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    cloud.delete(ID)
    down = next(each for each in sky.asked.values() if each.name == "sky.down")
    down.error = error_of("RuntimeError", "scancel failed")
    wait(sky, 20)
    assert cloud.get(ID).state is InstanceState.READY
    with pytest.raises(errors.UnknownCloudError, match="scancel failed"):
        cloud.delete(ID)
    wait(sky, 20)
    assert cloud.get(ID).state is InstanceState.GONE


def test_ids_of_another_server(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    foreign = f"{NAME}@00000000"
    assert cloud.get(foreign).state is InstanceState.GONE
    cloud.delete(
        foreign
    )  # of this credential set, whose server has moved: its cluster ends, before this returns
    assert sky.left == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://localhost:46580", "http://127.0.0.1:46580/", True),
        ("https://sky.example.com", "https://sky.example.com:443", True),
        ("https://sky.example.com", "https://sky.example.com/team", False),
        ("http://127.0.0.1:46580", "http://127.0.0.1:46581", False),
    ],
)
def test_a_server_is_its_address(one: str, other: str, same: bool) -> None:
    assert (server_id(one) == server_id(other)) is same


def test_a_lost_answer_of_a_launch_is_ambiguous(sky: Sky, cloud: SkyPilotCloud) -> None:
    sky.lose_answer = True
    wait(sky, 0)
    made = cloud.create(SPEC)  # the client sends it again: the name makes that harmless
    assert made.state is InstanceState.PENDING and sky.sent("/launch") == 2
    wait(sky, 100)
    assert sky.left == 1


def test_a_second_create_finds_what_the_first_has_made(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    again = SkyPilotCloud(sky.client(), "sky").create(SPEC)
    assert again.state is InstanceState.READY and sky.sent("/launch") == 1


def test_a_cancelled_wait_for_acceptance_still_tells_of_the_launch(sky: Sky) -> None:
    cancel = threading.Event()
    cloud = SkyPilotCloud(sky.client(cancel), "sky")
    sky.on_call = lambda path: cancel.set() if path == "/launch" else None
    assert cloud.create(SPEC).state is InstanceState.PENDING


def test_nothing_is_sent_once_the_engine_has_ended(sky: Sky) -> None:
    class EndedError(BaseException):
        pass

    def ended() -> None:
        raise EndedError

    cloud = SkyPilotCloud(sky.client(may_send=ended), "sky")
    with pytest.raises(EndedError):
        cloud.create(SPEC)
    assert sky.sent("/launch") == 0


def test_account(sky: Sky, cloud: SkyPilotCloud) -> None:
    status = cloud.account()
    assert (status.balance_usd, status.machine_limit) == (None, None)
    sky.clouds = []
    with pytest.raises(errors.ValidationError, match="can use no cloud"):
        SkyPilotCloud(sky.client(), "sky").account()
    sky.refused = 401
    with pytest.raises(errors.AuthError) as caught:
        SkyPilotCloud(sky.client(), "sky").account()
    assert "401" in caught.value.message or "token" in caught.value.message
    sky.refused, sky.away = 0, True
    with pytest.raises(errors.TransientError):
        SkyPilotCloud(sky.client(), "sky").account()


def test_stop_and_start(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    with pytest.raises(errors.ValidationError, match="not supported for slurm"):
        cloud.stop(ID)
    sky.records[NAME].update(status="STOPPED")
    cloud.start(ID)
    assert cloud.get(ID).state is InstanceState.PENDING
    wait(sky, 40)
    assert cloud.get(ID).state is InstanceState.READY


def test_nothing_of_skypilots_own_is_imported() -> None:
    code = (
        "import sys, gpu_clouds.skypilot.cloud, gpu_clouds.skypilot.cluster_cloud; "
        "assert not [name for name in sys.modules if name.split('.')[0] in ('sky', 'ray', 'pandas')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_updated_in_place(cloud: SkyPilotCloud) -> None:
    with pytest.raises(errors.ValidationError, match="nothing of a cluster"):
        cloud.update(ID, SPEC)


def test_endpoints(sky: Sky, cloud: SkyPilotCloud) -> None:
    sky.urls = {"8000": "http://10.0.0.1:30001", "9000": "10.0.0.1:30002"}
    cloud.create(replace(SPEC, template=replace(SPEC.template, ports=("8000/http", "9000/tcp", "22/tcp"))))
    assert cloud.get(ID).endpoints == ()
    wait(sky, 60)
    assert [(e.port, e.protocol, e.url) for e in cloud.get(ID).endpoints] == [
        (8000, "http", "http://10.0.0.1:30001"),
        (9000, "tcp", "tcp://10.0.0.1:30002"),
    ]
    cloud.get(ID)
    assert sky.sent("/endpoints") == 1


def test_no_endpoints_where_the_cloud_has_none(sky: Sky, cloud: SkyPilotCloud) -> None:
    cloud.create(replace(SPEC, template=replace(SPEC.template, ports=("8000/http",))))
    wait(sky, 60)
    assert cloud.get(ID).endpoints == ()


def test_logs(sky: Sky, cloud: SkyPilotCloud) -> None:
    up(sky, cloud)
    sky.log = [f"line {number}" for number in range(1, 8)]
    lines = list(cloud.logs(ID, tail=3))
    assert [(line.text, line.source) for line in lines] == [
        ("line 5", "container"),
        ("line 6", "container"),
        ("line 7", "container"),
    ]
    sky.log.append("line 8")
    assert [line.text for line in cloud.logs(ID, cursor=lines[-1].cursor)] == ["line 8"]
    sky.jobs[NAME] = -1
    assert {line.source for line in cloud.logs(ID)} == {"system"}


def test_connecting(tmp_path: Path) -> None:
    def opened(**more: Any) -> CredentialSet:
        return CredentialSet("sky", "skypilot", **{"api_key": "", "endpoint": ENDPOINT, **more})

    assert connect(opened(), state_dir=tmp_path).name == "skypilot"
    for wrong, says in [
        ({"endpoint": ""}, "has no endpoint"),
        ({"endpoint": "http://sky.example.com"}, "allowInsecure"),
        ({"ca_file": "/nowhere.pem"}, "/nowhere.pem is not there"),
    ]:
        with pytest.raises(errors.ValidationError, match=says):
            connect(opened(**wrong), state_dir=tmp_path)
    far = opened(endpoint="http://sky.example.com", allow_insecure=True, user="u", api_key="canary-p")
    cloud = connect(far, state_dir=tmp_path)
    assert "canary-p" not in repr(far) + repr(cloud.__dict__)


def auth_of(given: CredentialSet, tmp_path: Path) -> str:
    opened = Connection(given, given.endpoint, QuickClock(), threading.Event(), lambda: None, tmp_path)
    return type(connect_sky(opened)._client.connection.auth).__name__


@pytest.mark.parametrize(
    ("key", "user", "kind"), [("", "", "NoneType"), ("t", "", "BearerToken"), ("p", "u", "BasicAuth")]
)
def test_authentication(key: str, user: str, kind: str, tmp_path: Path) -> None:
    assert auth_of(CredentialSet("sky", "skypilot", key, ENDPOINT, user=user), tmp_path) == kind


CALLS: list[Callable[[SkyPilotCloud], object]] = [
    lambda cloud: cloud.get(ID),
    lambda cloud: cloud.list(PREFIX),
    lambda cloud: cloud.create(SPEC),
    lambda cloud: cloud.delete(ID),
    lambda cloud: cloud.offers([H100]),
    lambda cloud: cloud.stop(ID),
    lambda cloud: cloud.start(ID),
    lambda cloud: list(cloud.logs(ID)),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_refused_token_is_one_error_of_ours(sky: Sky, call: Callable[[SkyPilotCloud], object]) -> None:
    sky.refused = 401
    with pytest.raises(errors.AuthError) as caught:
        call(SkyPilotCloud(sky.client(), "sky"))
    assert "\n" not in caught.value.message
    assert NOT_UP  # what the recorded server says of a half-made cluster


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_is_away_is_one_error_of_ours(
    sky: Sky, call: Callable[[SkyPilotCloud], object]
) -> None:
    sky.away = True
    with pytest.raises(errors.GpuCloudError) as caught:
        call(SkyPilotCloud(sky.client(), "sky"))
    assert isinstance(caught.value, errors.TransientError)


@pytest.mark.parametrize("lost", [RequestTimeoutError, RequestLostError, RequestCancelledError])
def test_a_read_without_an_answer_has_changed_nothing(lost: type[ApiError]) -> None:
    with pytest.raises(errors.TransientError, match="not ended"), reading():
        raise lost("not ended within 30 s")
