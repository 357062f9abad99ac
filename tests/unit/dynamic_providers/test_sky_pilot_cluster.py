"""SkyPilotCluster, called as the host calls it, in front of a server in memory."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from pulumi.output import Unknown

from dynamic_providers.host.call import Call, as_current, set_progress_sink
from dynamic_providers.host.results import PartialState
from dynamic_providers.sky_pilot_cluster import SkyPilotClusterProvider
from dynamic_providers.sky_pilot_events import Events
from gpu_clouds.errors import AuthError, CancelledError, ConflictError, DeadlineError, GpuCloudError
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from gpu_clouds.skypilot.task import MARKER_LABEL
from tests.unit.dynamic_providers.conftest import told
from tests.unit.dynamic_providers.memory_cloud import STACK
from tests.unit.dynamic_providers.sky_server import StackSky, TestClock, provider_of
from tests.unit.skypilot.cloud.sky import ENDPOINT, NO_CAPACITY, Plan, error_of

SECRET = "canary-5e0f"
UNKNOWN: Any = Unknown()  # type: ignore[no-untyped-call]  # of the SDK


@pytest.fixture
def sky() -> StackSky:
    return StackSky(TestClock())


@pytest.fixture
def provider(sky: StackSky) -> SkyPilotClusterProvider:
    return provider_of(SkyPilotClusterProvider, sky)


@pytest.fixture
def lines() -> Any:
    """What the user reads."""
    found: list[str] = []
    set_progress_sink(lambda call, text, keep: found.append(text))
    yield found
    set_progress_sink(None)


def cluster(**more: Any) -> dict[str, Any]:
    return {
        "guard": STACK,
        "node": "train",
        "credentials": "main",
        "accelerators": ["H100:1"],
        "infra": ["slurm"],
        **more,
    }


def made(provider: SkyPilotClusterProvider, **more: Any) -> dict[str, Any]:
    """A cluster that is up."""
    outs = provider.create(cluster(**more)).outs
    assert outs is not None
    return dict(outs)


def again(sky: StackSky) -> SkyPilotClusterProvider:
    """The provider of the next run, which remembers nothing."""
    return provider_of(SkyPilotClusterProvider, sky)


# -- check and preview


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        ({"guard": ""}, "guard", "id of the server's guard"),
        ({"node": "Train"}, "node", "lower-case"),
        ({"credentials": "mian"}, "credentials", "did you mean 'main'"),
        ({"credentials": ""}, "credentials", "give credentials or an endpoint"),
        ({"endpoint": "https://x"}, "credentials", "not both"),
        ({"token": "x"}, "token", "belongs to an endpoint"),
        ({"credentials": "", "endpoint": "http://far.example"}, "endpoint", "allowInsecure"),
        ({"accelerators": ["H100 x"]}, "accelerators[0]", "pattern"),
        ({"autodown": True}, "autodown", "needs autostopMin"),
        ({"envs": {"1X": "a"}}, "envs.1X", "environment variable"),
        ({"envs": {"A": "a"}, "secrets": {"A": "b"}}, "secrets.A", "in envs too"),
        ({"ports": ["9000-8000"]}, "ports[0]", "the lower first"),
        ({"accelerator": "H100"}, "accelerator", "did you mean 'accelerators'"),
    ],
)
def test_mistakes_that_need_no_server(
    provider: SkyPilotClusterProvider, sky: StackSky, change: dict[str, Any], where: str, words: str
):
    ((place, text),) = told(provider.check({}, cluster(**change)))
    assert place == where and words in text
    assert sky.calls == []


def test_a_new_cluster_is_looked_at_by_the_server(provider: SkyPilotClusterProvider, sky: StackSky):
    assert told(provider.check({}, cluster(maxHourlyUsd=2.5))) == []
    assert sky.sent("/validate") == 1 and sky.sent("/launch") == 1 and sky.left == 0


def test_an_unchanged_cluster_costs_no_call(provider: SkyPilotClusterProvider, sky: StackSky):
    known = provider.check({}, cluster()).inputs
    sky.calls.clear()
    assert told(provider.check(known, known)) == []
    assert sky.calls == []


def test_a_change_in_place_needs_no_plan(provider: SkyPilotClusterProvider, sky: StackSky):
    known = provider.check({}, cluster()).inputs
    sky.calls.clear()
    provider.check(known, cluster(autostopMin=5))
    assert sky.sent("/validate") == 1 and sky.sent("/launch") == 0
    provider.check(known, cluster(accelerators=["A100:1"]))
    assert sky.sent("/launch") == 1


def test_what_the_server_calls_wrong_is_told_at_once(provider: SkyPilotClusterProvider, sky: StackSky):
    sky.refuses = json.dumps(
        {"type": "NotSupportedError", "message": "Opening ports is not supported in Slurm."}
    )
    ((place, text),) = told(provider.check({}, cluster(ports=["8080"])))
    assert (place, text) == (
        "accelerators",
        "the SkyPilot server refuses it: Opening ports is not supported in Slurm",
    )


def test_a_gpu_that_nobody_has_is_refused_at_preview(provider: SkyPilotClusterProvider, sky: StackSky):
    sky.no_plan = NO_CAPACITY
    ((place, text),) = told(provider.check({}, cluster(accelerators=["B200:1"])))
    assert place == "accelerators" and "does not contain any instances" in text and "To fix" not in text


@pytest.mark.parametrize(
    ("more", "cap", "broken"),
    [
        ({}, 2.5, False),
        ({}, 2.49, True),
        ({"nodes": 2}, 4.99, True),
        ({"accelerators": ["H100:2"]}, 5.0, False),
        ({"accelerators": ["A100:1", "H100:1"]}, 2.0, True),
    ],
)
def test_the_cap_is_for_the_whole_cluster_and_its_dearest_choice(
    provider: SkyPilotClusterProvider, more: dict[str, Any], cap: float, broken: bool
):
    found = told(provider.check({}, cluster(**more, maxHourlyUsd=cap)))
    assert [place for place, _ in found] == (["maxHourlyUsd"] if broken else [])


def test_a_server_that_is_away_is_a_warning_in_check_and_an_error_in_create(
    provider: SkyPilotClusterProvider, sky: StackSky, lines: list[str]
):
    sky.away = True
    assert told(provider.check({}, cluster())) == []
    assert provider.create_preview(cluster()) == {"candidateInfra": ["H100:1 on slurm"]}
    assert [line for line in lines if line.startswith("warning: ") and "can't be checked now" in line]
    with pytest.raises(GpuCloudError):
        provider.create(cluster())


def test_the_cap_holds_also_where_the_server_does_not_get_to_a_plan(
    provider: SkyPilotClusterProvider, sky: StackSky, lines: list[str]
):
    sky.plan_s = 1000.0
    ((place, _),) = told(provider.check({}, cluster(maxHourlyUsd=1)))
    assert place == "maxHourlyUsd"
    assert any("can't be checked now (deadline)" in line for line in lines)


def test_a_server_of_the_stack_that_is_away_is_left_to_the_same_up(
    sky: StackSky, lines: list[str], monkeypatch: pytest.MonkeyPatch
):
    """Its refresh must not fail, or nothing could start the server again; an end says what to do."""
    monkeypatch.setattr(
        "dynamic_providers.sky_pilot_servers.connect",
        lambda account, **more: SkyPilotCloud(sky.client(), account.name),
    )
    own = {"credentials": "", "endpoint": ENDPOINT}
    outs = made(provider_of(SkyPilotClusterProvider, sky), **own)
    sky.away = True
    read = again(sky).read(outs["clusterName"], outs)
    assert read.outs == outs and any("left as it is in the state" in line for line in lines)
    with pytest.raises(GpuCloudError, match="bring the server up first"):
        again(sky).delete(outs["clusterName"], outs)
    external = {**outs, "credentials": "main"}
    del external["endpoint"]
    with pytest.raises(GpuCloudError):
        again(sky).read(outs["clusterName"], external)


def test_a_refused_token_is_one_clear_error(provider: SkyPilotClusterProvider, sky: StackSky):
    sky.refused = 401
    ((place, text),) = told(provider.check({}, cluster()))
    assert place == "credentials" and "401" in text
    with pytest.raises(AuthError):
        provider.create(cluster())


def test_the_preview_has_price_and_places(provider: SkyPilotClusterProvider):
    outs = provider.create_preview(cluster(accelerators=["H100:2", "A100:2"], nodes=2))
    assert outs["candidateInfra"] == [
        "2 nodes of H100:2 on slurm at 10.00 USD/h",
        "2 nodes of A100:2 on slurm at 6.00 USD/h",
    ]
    assert (outs["estimatedHourlyUsd"], outs["estimatedMonthlyUsd"]) == (6.0, 4380.0)
    ordered = provider.create_preview(cluster(accelerators=["H100:2", "A100:2"], nodes=2, choose="ordered"))
    assert ordered["estimatedHourlyUsd"] == 10.0
    assert outs["estimateSource"] == "skypilot catalogue" and outs["estimateDate"]


@pytest.mark.parametrize(
    "server", [{"endpoint": None, "credentials": ""}, {"token": None, "credentials": ""}]
)
def test_a_cluster_of_a_server_or_tenant_of_the_same_up_is_said_to_have_no_price(
    provider: SkyPilotClusterProvider, sky: StackSky, lines: list[str], server: dict[str, Any]
):
    unknown = {key: UNKNOWN if value is None else value for key, value in server.items()}
    assert provider.create_preview(cluster(**unknown)) == {}
    assert sum("train has no price in this preview" in line for line in lines) == 1
    assert sky.calls == []


# -- create


def test_create_launches_sets_up_and_runs_once(
    provider: SkyPilotClusterProvider, sky: StackSky, lines: list[str]
):
    outs = made(provider, setup="pip list", run=f"echo {SECRET}", envs={"A": "b"})
    (launch,), (job,) = sky.launches, sky.execs
    task = json.loads(launch["task"])
    assert launch["cluster_name"] == outs["clusterName"] == task["resources"]["labels"][MARKER_LABEL]
    assert task["setup"] == "pip list" and "run" not in task and task["envs"] == {"A": "b"}
    assert job["run"] == f"echo {SECRET}" and job["envs"] == {"A": "b"} and "setup" not in job
    assert job["resources"] == {"accelerators": "H100:1"}
    assert (outs["state"], outs["place"], outs["gpus"]) == ("READY", "slurm/fake", {"H100": 1.0})
    assert (outs["hourlyUsd"], outs["jobId"]) == (2.5, 2)
    assert outs["clusterHash"] and outs["setupName"].startswith("setup-")
    assert not any(SECRET in line for line in lines)
    assert provider.diff(outs["clusterName"], outs, provider.check({}, cluster()).inputs).changes


def test_without_a_job_nothing_is_asked_about_jobs(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = made(provider)
    assert sky.sent("/queue") == sky.sent("/exec") == 0 and "jobId" not in outs


def test_any_of_and_ordered_are_left_to_the_server(provider: SkyPilotClusterProvider, sky: StackSky):
    many = {"accelerators": ["H100:1", "A100"], "infra": ["slurm", "aws/us-east-1"], "spot": True}
    choices = [
        {"accelerators": acc, "infra": infra}
        for acc in ("H100:1", "A100:1")
        for infra in ("slurm", "aws/us-east-1")
    ]
    for choose in ("any", "ordered"):
        provider.check({}, cluster(**many, choose=choose))
    sent = [each.task for each in sky.asked.values() if each.task]
    assert [task["resources"] for task in sent] == [
        {"use_spot": True, "any_of": choices},
        {"use_spot": True, "ordered": choices},
    ]


def test_a_cluster_of_a_killed_run_is_adopted_and_runs_nothing_twice(
    provider: SkyPilotClusterProvider, sky: StackSky
):
    first = made(provider, setup="a", run="b")
    second = made(again(sky), setup="a", run="b")
    assert second == first
    assert len(sky.launches) == len(sky.execs) == 1


def test_a_killed_run_that_did_not_get_to_the_job(provider: SkyPilotClusterProvider, sky: StackSky):
    made(provider, setup="a")
    outs = made(again(sky), setup="a", run="b")
    assert len(sky.launches) == 1 and [job["run"] for job in sky.execs] == ["b"] and outs["jobId"] == 2


def test_a_lost_answer_to_a_launch_is_one_cluster(provider: SkyPilotClusterProvider, sky: StackSky):
    sky.lose_answer = True
    outs = made(provider, run="b")
    assert list(sky.records) == [outs["clusterName"]] and len(sky.execs) == 1 and sky.left == 1


def test_a_lost_answer_to_a_job_is_one_job(provider: SkyPilotClusterProvider, sky: StackSky):
    sky.lose_exec = True
    outs = made(provider, run="b")
    assert outs["jobId"] == 1 and len(sky.execs) == 1


def test_a_restart_of_the_server_during_a_launch_is_one_cluster(
    provider: SkyPilotClusterProvider, sky: StackSky
):
    restarted = threading.Event()

    def restart(path: str) -> None:
        if path == "/status" and sky.records and not restarted.is_set():
            restarted.set()
            sky.restart()

    sky.on_call = restart
    outs = made(provider, setup="a", run="b")
    assert restarted.is_set() and list(sky.records) == [outs["clusterName"]] and sky.left == 1
    assert len(sky.launches) == 2 and len(sky.execs) == 1


def test_a_launch_that_fails_leaves_nothing(provider: SkyPilotClusterProvider, sky: StackSky):
    sky.plans = [Plan(error_of("ProvisionTimeoutError", "no nodes within 10 s"), after_s=20)]
    with pytest.raises(GpuCloudError, match="no nodes within 10 s"):
        provider.create(cluster())
    assert sky.left == 0 and sky.records == {}


def test_a_deadline_cancels_and_takes_down(provider: SkyPilotClusterProvider, sky: StackSky):
    sky.plans = [Plan(after_s=5000, up_s=5000)]
    with pytest.raises(GpuCloudError, match="not ready after"):
        provider.create(cluster(provisionDeadlineS=60))
    assert sky.sent("/api/cancel") == 1 and sky.sent("/down") >= 1
    assert sky.left == 0 and sky.records == {}


@pytest.mark.parametrize("keep", [False, True])
def test_a_setup_that_fails_ends_the_cluster_unless_it_is_to_be_kept(
    provider: SkyPilotClusterProvider, sky: StackSky, keep: bool
):
    sky.setup_fails, sky.log = 9, ["pip: no such package"]
    expected = PartialState if keep else GpuCloudError
    with pytest.raises(expected, match="its setup is FAILED_SETUP: pip: no such package") as failed:
        provider.create(cluster(setup="pip install x", keepOnFailure=keep))
    assert sky.left == int(keep)
    if isinstance(failed.value, PartialState):
        outs = failed.value.outs
        assert outs["state"] == "RUNNING"
        sky.setup_fails = 0
        news = cluster(setup="pip install x", keepOnFailure=True)
        assert provider.diff(failed.value.id, outs, news).changes
        healed = again(sky).update(failed.value.id, outs, news).outs
        assert healed is not None and healed["state"] == "READY" and sky.left == 1


def test_a_cluster_of_somebody_else_is_never_taken(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = made(provider)
    name = outs["clusterName"]
    sky.records[name]["labels"] = {}
    with pytest.raises(GpuCloudError, match="does not carry our label"):
        again(sky).create(cluster())
    with pytest.raises(ConflictError, match="does not carry our label"):
        again(sky).update(name, outs, cluster(autostopMin=5))
    again(sky).delete(name, outs)
    assert name in sky.records


def test_events_of_the_launch_are_told_once(
    provider: SkyPilotClusterProvider, sky: StackSky, lines: list[str]
):
    sky.events = [
        {"reason": "Instances launched.", "transitioned_at": 2.0},
        {"reason": "Launching\n  (1 pending)", "transitioned_at": 1.0},
    ]
    said: list[str] = []
    events = Events(sky.client(), "x", said.append)
    events.look()
    sky.events.append({"reason": "All nodes up.", "transitioned_at": 3.0})
    events.look()
    sky.away = True
    events.look()
    assert said == ["Launching (1 pending)", "Instances launched.", "All nodes up."]


def test_cancelled_while_it_waits_for_the_setup(provider: SkyPilotClusterProvider, sky: StackSky):
    cancel = threading.Event()

    def on_call(path: str) -> None:
        if path == "/queue":
            cancel.set()

    sky.on_call = on_call
    sky.setup_hangs = True
    with as_current(Call(cancel=cancel)), pytest.raises(CancelledError, match="cancelled; it is ended"):
        provider.create(cluster(setup="x"))
    assert sky.left == 0 and sky.records == {}


def test_a_setup_that_never_ends(provider: SkyPilotClusterProvider, sky: StackSky):
    sky.setup_hangs = True
    with pytest.raises(DeadlineError, match="its setup has not ended after 600 s; it is ended"):
        provider.create(cluster(setup="x"))
    assert sky.left == 0


# -- read


def test_a_refresh_by_force_sees_a_machine_that_was_taken_away(
    provider: SkyPilotClusterProvider, sky: StackSky, lines: list[str]
):
    outs = made(provider)
    name = outs["clusterName"]
    assert again(sky).read(name, outs).outs == outs
    sky.take_away(name)
    assert again(sky).read(name, outs).id == ""
    assert any("is gone (All nodes terminated); it has cost 0.28 USD" in line for line in lines)


def test_a_refresh_of_many_asks_once(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = [made(provider, node=f"n{number}") for number in range(3)]
    following = again(sky)
    sky.calls.clear()
    for each in outs:
        assert following.read(each["clusterName"], each).outs == each
    assert sky.sent("/status") == 2  # one without and one with FORCE


def test_a_cluster_that_was_made_anew_outside_is_drift(
    provider: SkyPilotClusterProvider, sky: StackSky, lines: list[str]
):
    outs = made(provider, run="b")
    name = outs["clusterName"]
    sky.records[name]["cluster_hash"] = "other"
    sky.named.clear()
    read = again(sky).read(name, outs)
    assert read.outs is not None and read.outs["clusterHash"] == "other" and read.outs["state"] == "REPLACED"
    assert any("made anew outside" in line for line in lines)
    assert provider.diff(name, read.outs, cluster(run="b")).detailed.keys() == {"state"}
    healed = again(sky).update(name, read.outs, cluster(run="b")).outs
    assert healed is not None and healed["state"] == "READY" and len(sky.execs) == 2


@pytest.mark.parametrize(
    ("more", "started"),
    [
        ({}, True),
        ({"autostopMin": 30}, False),
        ({"autostopMin": 30, "whenStopped": "start"}, True),
        ({"whenStopped": "leave"}, False),
    ],
)
def test_a_stopped_cluster_follows_when_stopped(
    provider: SkyPilotClusterProvider, sky: StackSky, more: dict[str, Any], started: bool
):
    outs = made(provider, **more)
    name = outs["clusterName"]
    sky.records[name].update(status="STOPPED", autostop=more.get("autostopMin", -1))
    read = again(sky).read(name, outs)
    assert read.id == name and read.outs is not None and read.outs["state"] == "STOPPED"
    assert provider.diff(name, read.outs, cluster(**more)).changes is started
    if started:
        healed = again(sky).update(name, read.outs, cluster(**more)).outs
        assert healed is not None and healed["state"] == "READY"
    # The same with a state that was lost.
    sky.records[name].update(status="STOPPED")
    found = again(sky).create(cluster(**more)).outs
    assert found is not None and found["state"] == ("READY" if started else "STOPPED")
    assert sky.sent("/start") == (2 if started else 0) and len(sky.launches) == 1


def test_a_broken_cluster_is_launched_again_by_its_name(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = made(provider, run="b")
    name = outs["clusterName"]
    sky.records[name].update(status="INIT", init_kind="unhealthy", init_status_reason="node down")
    sky.machines[name] = "booting"
    read = again(sky).read(name, outs)
    assert read.outs is not None and read.outs["state"] == "FAILED"
    assert provider.diff(name, read.outs, cluster(run="b")).detailed == {"state": "update"}
    healed = again(sky).update(name, read.outs, cluster(run="b")).outs
    assert healed is not None and healed["state"] == "READY" and healed["jobId"] == 1
    assert len(sky.launches) == 2 and len(sky.execs) == 1 and sky.sent("/down") == 0


def test_an_idle_stop_that_was_changed_outside_shows_as_the_input(
    provider: SkyPilotClusterProvider, sky: StackSky
):
    outs = made(provider, autostopMin=30)
    name = outs["clusterName"]
    sky.records[name].update(autostop=5, to_down=True)
    read = provider.read(name, outs)
    assert read.inputs is not None and (read.inputs["autostopMin"], read.inputs["autodown"]) == (5, True)


# -- update


def test_in_place(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = made(provider, run="b", setup="a", autostopMin=10)
    name = outs["clusterName"]
    news = cluster(run="c", setup="a", autostopMin=20, autodown=True)
    diff = provider.diff(name, outs, news)
    assert diff.replaces == [] and diff.detailed.keys() == {"run", "autostopMin", "autodown"}
    new = again(sky).update(name, outs, news).outs
    assert new is not None and sky.autostops == [{"idle_minutes": 20, "down": True}]
    assert [job["status"] for job in sky.named[name]] == ["SUCCEEDED", "CANCELLED", "RUNNING"]
    assert len(sky.launches) == 1 and new["jobId"] == 3 and new["clusterHash"] == outs["clusterHash"]
    assert not provider.diff(name, new, news).changes


def test_another_setup_and_other_variables_are_set_up_on_the_same_machines(
    provider: SkyPilotClusterProvider, sky: StackSky
):
    outs = made(provider, setup="a", run="b", envs={"A": "1"})
    news = cluster(setup="a2", run="b", envs={"A": "2"})
    new = again(sky).update(outs["clusterName"], outs, news).outs
    assert new is not None and len(sky.launches) == 2 and sky.left == 1
    assert json.loads(sky.launches[1]["task"])["setup"] == "a2"
    assert [job["envs"] for job in sky.execs] == [{"A": "1"}, {"A": "2"}]


def test_what_was_not_done_keeps_its_old_value(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = made(provider, setup="a", autostopMin=10)
    sky.setup_fails = 1
    news = cluster(setup="a2", autostopMin=20)
    with pytest.raises(PartialState) as failed:
        again(sky).update(outs["clusterName"], outs, news)
    kept = failed.value.outs
    assert (kept["setup"], kept["autostopMin"], kept["state"]) == ("a", 10, "RUNNING")
    new = again(sky).update(outs["clusterName"], kept, news).outs
    assert (
        new is not None and sky.autostops == [{"idle_minutes": 20, "down": False}] and len(sky.launches) == 3
    )


def test_no_idle_stop_any_more(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = made(provider, autostopMin=10)
    again(sky).update(outs["clusterName"], outs, cluster())
    assert sky.autostops == [{"idle_minutes": -1, "down": False}]


def test_an_update_of_a_cluster_that_is_gone_makes_it_anew(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = made(provider, run="b")
    name = outs["clusterName"]
    sky.take_away(name)
    sky.named.clear()
    new = again(sky).update(name, outs, cluster(run="b", autostopMin=5)).outs
    assert new is not None and new["clusterHash"] != outs["clusterHash"] and len(sky.execs) == 2


# -- delete and import


def test_delete_is_idempotent_and_looks(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = made(provider)
    for _ in range(2):
        again(sky).delete(outs["clusterName"], outs)
        assert sky.left == 0 and sky.records == {}
    assert sky.sent("/down") == 1


def test_import_by_name(provider: SkyPilotClusterProvider, sky: StackSky):
    outs = made(provider, accelerators=["A100:2"], nodes=2)
    name = outs["clusterName"]
    read = again(sky).read(name, {})
    assert read.inputs == {
        "guard": STACK,
        "node": "train",
        "credentials": "main",
        "accelerators": ["A100:2"],
        "nodes": 2,
    }
    program = cluster(accelerators=["A100:2"], nodes=2, run="x", memory="8+")
    assert read.outs is not None and not provider.diff(name, read.outs, program).changes
    assert provider.diff(name, read.outs, {**program, "nodes": 3}).replaces == ["nodes"]
    assert again(sky).read("nobody", {}).id == ""
    again(sky).delete(name, read.outs)
    assert sky.left == 0
