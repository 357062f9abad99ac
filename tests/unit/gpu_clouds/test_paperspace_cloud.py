"""Paperspace's client against the emulator, and against answers that the emulator does not give."""

from __future__ import annotations

import json
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.paperspace.script import exported
from gpu_clouds import errors
from gpu_clouds.models import Availability, Candidate, CapacityType, InstanceState, InstanceTemplate
from gpu_clouds.paperspace.errors import STATUS_OF_CODE
from gpu_clouds.paperspace.events import Creation, Verdict, judge
from gpu_clouds.paperspace.instances import instance
from gpu_clouds.paperspace.launching import check, disk_gb, shutdown_hours
from gpu_clouds.paperspace.machine_types import gpu_of, label_of, pick_template, region_of
from gpu_clouds.paperspace.models import Event, Machine, OsTemplate
from gpu_clouds.paperspace.script import ScriptName, startup_script
from tests.unit.gpu_clouds.harness import Net, answer
from tests.unit.gpu_clouds.paperspace_harness import (
    A100,
    ENDPOINT,
    NAME,
    STACK,
    TEMPLATE,
    World,
    scripted,
    spec,
)

MACHINE: dict[str, Any] = {
    "id": "psab12cd34",
    "name": NAME,
    "state": "provisioning",
    "os": "Ubuntu 22.04",
    "machineType": "A100-80G",
    "agentType": "Linux",
    "accelerators": [{"name": "NVIDIA A100-SXM4-80GB", "memory": 85899345920, "count": 1}],
    "ram": 96636764160,
    "storageTotal": 268435456000,
    "region": "ny2",
    "publicIp": None,
    "publicIpType": "dynamic",
    "usageRate": 3.18,
    "storageRate": 0.0137,
    "dtCreated": "2026-11-21T08:00:00.000Z",
    "dtDeleted": None,
}


# -- words -----------------------------------------------------------------------------------------


@given(
    st.sampled_from(["ny2", "ca1", "ams1"]),
    st.sampled_from(["{}", "East Coast ({})", "({})", "{} ", "eu-{}"]),
    st.booleans(),
)
def test_a_region_is_read_in_every_style(token: str, style: str, upper: bool) -> None:
    text = style.format(token.upper() if upper else token)
    assert region_of(text) == token


@pytest.mark.parametrize("text", ["", "Mars", "sunny2", "ca10", "ams11"])
def test_what_names_no_region_stays_as_it_is(text: str) -> None:
    assert region_of(text) == text


@pytest.mark.parametrize(
    ("label", "accelerators", "gpu", "count"),
    [
        ("A100-80Gx8", None, "A100-80GB-SXM", 8),
        ("a100-80g", None, "A100-80GB-SXM", 1),
        ("V100-32Gx4", None, "V100-32GB", 4),
        ("H100", [{"name": "NVIDIA H100", "count": 1}], "H100-SXM", 1),
        ("GPU+", [{"name": "Quadro M4000", "count": 1}], "GPU+", 1),
        ("C5", [], "C5", 0),
    ],
)
def test_gpus_are_read_from_the_type(label: str, accelerators: Any, gpu: str, count: int) -> None:
    machine = Machine.model_validate({"id": "p", "machineType": label, "accelerators": accelerators})
    assert gpu_of(machine) == (gpu, count)


@pytest.mark.parametrize(
    ("gpu", "count", "label"),
    [("H100-SXM", 8, "H100x8"), ("A100-80GB-SXM", 1, "A100-80G"), ("RTX4090", 1, None), ("L40S", 1, None)],
)
def test_no_gpu_becomes_another(gpu: str, count: int, label: str | None) -> None:
    assert label_of(Candidate("paperspace", "main", "", gpu, count)) == label


@pytest.mark.parametrize(("asked", "size"), [(1, 50), (50, 50), (51, 100), (120, 250), (16000, 16000)])
def test_a_disk_has_one_of_the_documented_sizes(asked: int, size: int) -> None:
    assert disk_gb(InstanceTemplate(disk_gb=asked)) == size


def test_a_disk_that_nobody_sells_is_refused() -> None:
    with pytest.raises(errors.ValidationError, match="16001 GB is more"):
        disk_gb(InstanceTemplate(disk_gb=16000, volume_gb=1))


def test_an_image_is_picked_by_its_system_and_its_machine_types() -> None:
    def template(template_id: str, label: str, kind: str, agent: str = "Linux") -> OsTemplate:
        types = [{"machineTypeLabel": kind, "isAvailable": True}]
        given = {"id": template_id, "operatingSystemLabel": label, "agentType": agent}
        return OsTemplate.model_validate({**given, "availableMachineTypes": types})

    templates = [
        template("win", "Ubuntu 22.04", "A100-80G", agent="Windows"),
        template("old", "Ubuntu 20.04", "A100-80G"),
        template("new", "Ubuntu 22.04", "A100-80G"),
        template("other", "Ubuntu 22.04", "H100"),
    ]
    assert pick_template("A100-80G", templates) == "new"
    assert pick_template("A100-80G", templates[:2]) == "old"
    assert pick_template("H100x8", templates) == "t7vp562h"
    assert pick_template("NEW-GPU", templates) == ""


def test_an_automatic_shutdown_is_never_early_and_only_where_it_fits() -> None:
    now = datetime.now(UTC)
    assert shutdown_hours(None) is None
    assert shutdown_hours(now + timedelta(minutes=61)) == 2
    assert shutdown_hours(now + timedelta(days=30)) is None
    assert shutdown_hours(now - timedelta(minutes=1)) is None


# -- startup script --------------------------------------------------------------------------------

ENV = st.dictionaries(
    st.from_regex(r"[A-Z_][A-Z0-9_]{0,6}", fullmatch=True),
    st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20),
    max_size=4,
)


@given(ENV)
def test_the_environment_survives_the_script_whatever_is_in_it(env: dict[str, str]) -> None:
    assert exported(startup_script(InstanceTemplate(image="img", env=env))) == env


def test_a_shell_reads_the_script_as_it_is_meant() -> None:
    env = {"A": 'it\'s $HOME `id` "x"\nline two', "B": "", "C": "\\", "D": "END_0 <<'X'"}
    script = startup_script(
        InstanceTemplate(
            image="some/image:v1",
            env=env,
            args="--model 'a b' $(id)",
            startup="echo started > /tmp/x\nexit 3",
            ports=("22/tcp", "8000/http"),
            volume_gb=10,
            ssh_public_keys=("ssh-ed25519 AAAA me", "ssh-ed25519 BBBB you"),
        )
    )
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)
    # Every command that would change the machine is replaced; what is left is what the shell understood.
    stubs = (
        "install() { :; }\nchown() { :; }\nchmod() { :; }\nprintf() { :; }\ncat() { :; }\n"
        'docker() { builtin printf \'%s\\0\' "$@" "$A" "$B" "$C" "$D"; }\n'
    )
    harmless = script.replace(">> /home/paperspace/.ssh/authorized_keys", "")
    harmless = harmless.replace("cat > /var/lib/gpuplane/startup", "cat").replace(
        "/var/lib/gpuplane/startup > /var/log/gpuplane-startup.log 2>&1", ":"
    )
    done = subprocess.run(["bash"], input=(stubs + harmless).encode(), check=True, capture_output=True)
    words = done.stdout.decode().split("\0")
    assert words[:3] == ["run", "--detach", "--name"]
    assert words[words.index("--publish") + 1] == "8000:8000"
    assert words.count("--publish") == 1
    assert words[words.index("some/image:v1") :] == [
        "some/image:v1",
        "--model",
        "a b",
        "$(id)",
        *env.values(),
        "",
    ]


def test_there_is_no_script_where_there_is_nothing_to_run() -> None:
    assert startup_script(InstanceTemplate()) == ""


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (InstanceTemplate(env={"NOT-A-NAME": "x"}), "'NOT-A-NAME' is not a name"),
        (InstanceTemplate(env={"A": "x\0y"}), "zero byte"),
        (InstanceTemplate(ports=("http",)), "port 'http' is not like"),
        (InstanceTemplate(ports=("70000/http",)), "port '70000/http'"),
        (InstanceTemplate(args="'open"), "args can't be split"),
    ],
)
def test_what_no_script_can_do_is_refused(template: InstanceTemplate, says: str) -> None:
    with pytest.raises(errors.ValidationError, match=says):
        check(A100, template)


@given(
    st.integers(0, 10**12 - 1),
    st.lists(st.tuples(st.integers(1, 65535), st.sampled_from(["http", "tcp"])), max_size=4),
)
def test_the_name_of_a_script_is_read_back(at: int, ports: list[tuple[int, str]]) -> None:
    name = ScriptName(NAME, at, tuple(ports))
    assert ScriptName.parse(str(name)) == name


@pytest.mark.parametrize("name", ["", "mine", NAME, f"{NAME}.", f"{NAME}.12", "gp-x.12.", f"{NAME}.12.80x"])
def test_somebody_elses_script_is_not_ours(name: str) -> None:
    assert ScriptName.parse(name) is None


# -- states ----------------------------------------------------------------------------------------

S = InstanceState


@pytest.mark.parametrize(
    ("native", "creation", "state", "sold_out"),
    [
        ("provisioning", Creation.RUNNING, S.PENDING, False),
        ("provisioning", Creation.FAILED, S.FAILED, True),
        ("starting", Creation.RUNNING, S.PENDING, False),
        ("serviceready", Creation.UNKNOWN, S.PENDING, False),
        ("restarting", Creation.DONE, S.PENDING, False),
        ("upgrading", Creation.DONE, S.PENDING, False),
        ("ready", Creation.DONE, S.RUNNING, False),
        ("stopping", Creation.DONE, S.STOPPING, False),
        ("off", Creation.DONE, S.STOPPED, False),
        ("off", Creation.RUNNING, S.FAILED, True),
        ("off", Creation.FAILED, S.FAILED, True),
        ("off", Creation.UNKNOWN, S.STOPPED, False),
        ("hibernating", Creation.RUNNING, S.UNKNOWN, False),
        ("", Creation.UNKNOWN, S.UNKNOWN, False),
    ],
)
def test_states(native: str, creation: Creation, state: InstanceState, sold_out: bool) -> None:
    machine = Machine.model_validate(MACHINE | {"state": native})
    seen = instance(machine, verdict=Verdict(creation))
    assert (seen.state, seen.sold_out, seen.native_state) == (state, sold_out, native)


def test_ready_needs_an_address() -> None:
    machine = Machine.model_validate(MACHINE | {"state": "ready", "publicIp": "203.0.113.7"})
    seen = instance(machine, [(22, "tcp"), (8000, "http")])
    assert seen.state is InstanceState.READY
    assert [way.url for way in seen.endpoints] == ["tcp://203.0.113.7:22", "http://203.0.113.7:8000"]
    assert seen.ssh == "paperspace@203.0.113.7:22"
    assert (seen.hourly_usd, seen.region) == (3.18, "ny2")


def test_a_deleted_machine_that_is_still_shown_is_gone() -> None:
    machine = Machine.model_validate(MACHINE | {"dtDeleted": "2026-11-21T09:00:00.000Z", "state": "off"})
    assert instance(machine).state is InstanceState.GONE


@pytest.mark.parametrize(
    ("events", "verdict"),
    [
        ([], Creation.UNKNOWN),
        ([("create", "new")], Creation.RUNNING),
        ([("create", "in progress")], Creation.RUNNING),
        ([("create", "done")], Creation.DONE),
        ([("create", "error")], Creation.FAILED),
        ([("create", "cancelled"), ("deactivate", "new")], Creation.FAILED),
        ([("create", "done"), ("stop", "done")], Creation.DONE),
        ([("stop", "done")], Creation.DONE),
    ],
)
def test_events_tell_what_became_of_a_machine(events: list[tuple[str, str]], verdict: Creation) -> None:
    assert judge([Event(name=name, state=state) for name, state in events]).creation is verdict


@given(
    st.dictionaries(
        st.sampled_from([*MACHINE, "extra"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.none() | st.text()),
    )
)
def test_no_odd_machine_breaks_a_listing(odd: dict[str, Any]) -> None:
    net = Net(answer(200, {"items": [MACHINE | odd | {"id": "ps1"}], "hasMore": False}), then=_empty)
    assert len(scripted(net).list("")) <= 1


def _empty(request: Any) -> Any:
    return answer(200, {"items": [], "hasMore": False})


# -- launching -------------------------------------------------------------------------------------


def test_a_launch() -> None:
    world = World()
    made = world.launch(expires_at=datetime.now(UTC) + timedelta(hours=3, minutes=-1))
    assert (made.state, made.hourly_usd) == (InstanceState.PENDING, 3.18)
    assert world.sent == [
        "GET /os-templates",
        "GET /machine-availability",
        "POST /startup-scripts",
        "POST /machines",
    ]
    script, body = world.bodies[2:]
    assert script["isRunOnce"] is True
    assert script["name"].startswith(f"{NAME}.")
    assert body == {
        "name": NAME,
        "machineType": "A100-80G",
        "templateId": "tqqsxr6b",
        "diskSize": 50,
        "region": "ny2",
        "publicIpType": "dynamic",
        "startOnCreate": True,
        "emailPassword": False,
        "takeInitialSnapshot": False,
        "autoSnapshotEnabled": False,
        "restorePointEnabled": False,
        "autoShutdownEnabled": True,
        "autoShutdownTimeout": 3,
        "autoShutdownForce": True,
        "startupScriptId": body["startupScriptId"],
    }


@pytest.mark.parametrize("style", ["short", "long"])
def test_a_life(style: str) -> None:
    world = World(region_style=style)
    ready = world.ready()
    assert (ready.region, ready.gpu, ready.gpu_count) == ("ny2", "A100-80GB-SXM", 1)
    proxied = f"{ENDPOINT}/paperspace/node/{ready.id}-8000"
    assert [way.url for way in ready.endpoints if way.protocol == "http"] == [proxied]
    # Another process, which has not launched it, knows its ports too.
    assert world.connect().list(STACK) == [ready]
    world.cloud.stop(ready.id)
    world.pass_time(150)
    assert world.cloud.get(ready.id).state is InstanceState.STOPPED
    assert world.cloud.get(ready.id).hourly_usd is None
    world.cloud.start(ready.id)
    world.pass_time(100)
    assert world.cloud.get(ready.id).state is InstanceState.READY
    world.cloud.delete(ready.id)
    assert world.cloud.get(ready.id).state is InstanceState.DELETING
    world.pass_time(60)
    assert world.cloud.get(ready.id).state is InstanceState.GONE
    assert world.cloud.list(STACK) == []
    assert world.left == 0


def test_a_machine_that_is_found_in_another_region_is_taken_there() -> None:
    world = World(capacity={"A4000|ny2": 0, "A4000|ca1": 0})
    made = world.launch(candidate=Candidate("paperspace", "main", "", "RTX-A4000"))
    assert made.region == "ams1"


def test_nothing_is_made_where_the_cloud_says_that_it_has_nothing() -> None:
    world = World(capacity={"A100-80G|ny2": 0})
    with pytest.raises(errors.CapacityError, match="A100-80G is not available in ny2"):
        world.launch()
    assert world.left == 0
    assert "POST /startup-scripts" not in world.sent


def test_an_api_that_tells_no_availability_forbids_nothing() -> None:
    world = World(availability_missing=True)
    assert world.launch().state is InstanceState.PENDING


def test_a_refused_launch_leaves_no_script() -> None:
    world = World()
    world.fault("create_refused", args={"status": 400, "message": "No."})
    with pytest.raises(errors.ValidationError):
        world.launch()
    assert world.left == 0


@pytest.mark.parametrize(
    ("candidate", "says"),
    [
        (Candidate("paperspace", "main", "", "RTX4090"), "no GPU RTX4090; it has: H100-SXM"),
        (Candidate("paperspace", "main", "", "H100-SXM", 3), "no machine type H100x3 .* it has: A100-80G, "),
        (Candidate("paperspace", "main", "", "H100-SXM", 0), "at least 1"),
        (Candidate("paperspace", "main", "", "H100-SXM", 1, CapacityType.SPOT), "spot is not to be had"),
        (Candidate("paperspace", "main", "ca", "H100-SXM"), "nothing in 'ca'"),
    ],
)
def test_what_there_is_not_is_refused(candidate: Candidate, says: str) -> None:
    world = World()
    with pytest.raises(errors.ValidationError, match=says):
        world.launch(candidate=candidate)
    assert world.left == 0


def test_offers_tell_what_is_free_and_no_price() -> None:
    world = World(capacity={"H100|ny2": 0})
    h100 = Candidate("paperspace", "main", "us-east", "H100-SXM")
    unsold = Candidate("paperspace", "main", "us-east", "H100-SXM", 3)
    found = world.cloud.offers([h100, unsold, A100])
    assert [(one.candidate, one.availability, one.hourly_usd) for one in found] == [
        (h100, Availability.NONE, None),
        (A100, Availability.MEDIUM, None),
    ]


# -- errors ----------------------------------------------------------------------------------------

CLASSES: dict[str, type[errors.GpuCloudError]] = {
    "BAD_REQUEST": errors.ValidationError,
    "UNAUTHORIZED": errors.AuthError,
    "FORBIDDEN": errors.PermissionRefusedError,
    "NOT_FOUND": errors.NotFoundError,
    "METHOD_NOT_SUPPORTED": errors.UnknownCloudError,
    "TIMEOUT": errors.AmbiguousError,
    "CONFLICT": errors.ConflictError,
    "PRECONDITION_FAILED": errors.ConflictError,
    "PAYLOAD_TOO_LARGE": errors.ValidationError,
    "TOO_MANY_REQUESTS": errors.RateLimitedError,
    "CLIENT_CLOSED_REQUEST": errors.AmbiguousError,
    "INTERNAL_SERVER_ERROR": errors.AmbiguousError,
}


@pytest.mark.parametrize("hidden", [True, False], ids=["in a 200", "as a status"])
@pytest.mark.parametrize("code", STATUS_OF_CODE)
def test_every_code_is_an_error_of_its_class(code: str, hidden: bool) -> None:
    body = {"code": code, "message": "said the cloud", "issues": [{"message": "this"}]}
    net = Net(answer(200 if hidden else STATUS_OF_CODE[code], body))
    with pytest.raises(errors.GpuCloudError) as caught:
        scripted(net).stop("ps1")
    assert type(caught.value) is CLASSES[code]
    assert "said the cloud (this)" in str(caught.value)
    assert "credential set 'main'" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (403, "Your team has reached its maximum number of machines.", errors.QuotaError),
        (400, "Machine limit reached for this team", errors.QuotaError),
        (403, "Please update your payment method", errors.BillingError),
        (403, "Not permitted", errors.PermissionRefusedError),
        (400, "No capacity available for machine type H100", errors.CapacityError),
        (409, "This machine is currently starting.", errors.ConflictError),
        (400, "This machine is currently starting.", errors.ConflictError),
    ],
)
def test_texts_tell_what_the_code_does_not(
    status: int, message: str, error: type[errors.GpuCloudError]
) -> None:
    code = next(code for code, number in STATUS_OF_CODE.items() if number == status)
    with pytest.raises(errors.GpuCloudError) as caught:
        scripted(Net(answer(status, {"code": code, "message": message}))).stop("ps1")
    assert type(caught.value) is error


def test_no_secret_of_a_node_gets_into_an_error() -> None:
    secret = TEMPLATE.env["VLLM_API_KEY"]

    def echo(request: Any) -> Any:
        if request.url.path.endswith("/startup-scripts"):
            script = json.loads(request.content)["script"]
            return answer(400, {"code": "BAD_REQUEST", "message": f"bad {secret} in {script}"})
        return answer(404, {"code": "NOT_FOUND", "message": "no"})

    with pytest.raises(errors.ValidationError) as caught:
        scripted(Net(then=echo)).create(spec())
    assert "private" not in str(caught.value)
    assert "two lines" not in str(caught.value)


def test_a_text_that_is_cut_leaves_no_half_of_a_secret() -> None:
    secret = "half-of-it-is-too-much"

    def echo(request: Any) -> Any:
        if request.url.path.endswith("/startup-scripts"):
            return answer(400, {"code": "BAD_REQUEST", "message": "x" * 590 + secret})
        return answer(404, {"code": "NOT_FOUND", "message": "no"})

    with pytest.raises(errors.ValidationError) as caught:
        scripted(Net(then=echo)).create(spec(template=InstanceTemplate(image="i", env={"A": secret})))
    assert secret[:4] not in str(caught.value)


def test_pages_are_followed_and_names_compared_here() -> None:
    world = World(page_size=2)
    mine = [world.launch(f"{STACK}n{index}-1a2b3c4d").id for index in range(5)]
    world.launch("gp-p-zzzzzzzz-n0-1a2b3c4d")
    world.launch(f"x{STACK}n0-1a2b3c4d")
    assert [one.id for one in world.cloud.list(STACK)] == mine


def test_pages_without_an_end_are_an_error() -> None:
    net = Net(then=lambda request: answer(200, {"items": [], "hasMore": True, "nextPage": "x"}))
    with pytest.raises(errors.UnknownCloudError, match="do not end"):
        scripted(net).list("")


# -- the account -----------------------------------------------------------------------------------


def test_the_teams_limit_is_told() -> None:
    world = World()
    world.emulated.control("PATCH", "account", {"max_machines": 3})
    world.launch()
    status = world.cloud.account()
    assert (status.machine_limit, status.machines_in_use) == (3, 1)


def test_a_limit_that_is_reached_is_a_quota_error_and_leaves_nothing() -> None:
    world = World()
    world.emulated.control("PATCH", "account", {"max_machines": 0})
    with pytest.raises(errors.QuotaError, match="maximum number"):
        world.launch()
    assert world.left == 0


def test_an_unknown_key_is_an_empty_session() -> None:
    with pytest.raises(errors.AuthError, match="the key is not known"):
        World().connect("another-key").account()


def test_unpaid_bills_are_told_before_a_launch() -> None:
    world = World()
    world.emulated.control("PATCH", "account", {"good_standing": False})
    with pytest.raises(errors.BillingError):
        world.cloud.account()
    with pytest.raises(errors.BillingError):
        world.launch()
    assert world.left == 0


@pytest.mark.parametrize(
    ("standing", "good"),
    [({}, True), ({"standing": "good"}, True), ({"status": "past-due"}, False), ({"odd": [1]}, True)],
)
def test_the_standing_is_read_whatever_its_shape(standing: Any, good: bool) -> None:
    def reply(request: Any) -> Any:
        if request.url.path.endswith("account-standing"):
            return answer(200, standing)
        return answer(200, {"team": {}}) if request.url.path.endswith("session") else _empty(request)

    cloud = scripted(Net(then=reply))
    if good:
        assert cloud.account().machine_limit is None
    else:
        with pytest.raises(errors.BillingError):
            cloud.account()


# -- starting, stopping, changing ------------------------------------------------------------------


def test_a_start_waits_until_the_machine_has_stopped() -> None:
    world = World(stop_s=25)
    ready = world.ready()
    world.cloud.stop(ready.id)
    world.cloud.start(ready.id)
    world.pass_time(100)
    assert world.cloud.get(ready.id).state is InstanceState.READY


def test_a_start_of_a_machine_that_starts_already_is_a_success() -> None:
    world = World(start_s=600)
    ready = world.ready()
    world.cloud.stop(ready.id)
    world.pass_time(130)
    world.cloud.start(ready.id)
    world.cloud.start(ready.id)
    assert world.cloud.get(ready.id).state is InstanceState.PENDING


def test_a_start_without_a_free_machine_is_a_capacity_error() -> None:
    world = World(start_s=20)
    ready = world.ready()
    world.cloud.stop(ready.id)
    world.pass_time(130)
    world.fault("start_no_capacity")
    with pytest.raises(errors.CapacityError, match="could not be started: No capacity"):
        world.cloud.start(ready.id)
    # It was made well once: off is stopped, not failed.
    assert world.cloud.get(ready.id).state is InstanceState.STOPPED
    assert world.connect().get(ready.id).state is InstanceState.STOPPED


def test_a_disk_grows_in_place_and_never_shrinks() -> None:
    world = World()
    ready = world.ready()
    grown = InstanceTemplate(image=TEMPLATE.image, ports=TEMPLATE.ports, env=TEMPLATE.env, disk_gb=200)
    assert world.cloud.update(ready.id, spec(template=grown)).state is InstanceState.PENDING
    world.pass_time(100)
    assert world.api("GET", f"/machines/{ready.id}")["storageTotal"] == 250 * 1024**3
    before = len(world.sent)
    world.cloud.update(ready.id, spec(template=grown))
    assert [sent for sent in world.sent[before:] if sent.startswith("PUT")] == []
    with pytest.raises(errors.ValidationError, match="can only grow"):
        world.cloud.update(ready.id, spec())


def test_there_is_no_log() -> None:
    with pytest.raises(errors.ValidationError, match="no log"):
        scripted(Net()).logs("ps1")


def test_reads_are_repeated_and_a_launch_is_not() -> None:
    world = World()
    world.fault("error", method="GET", path="/machines")
    assert world.cloud.list(STACK) == []
    world.fault("create_then_500")
    with pytest.raises(errors.AmbiguousError):
        world.launch()
    assert world.sent.count("POST /machines") == 1
    assert [one.name for one in world.cloud.list(STACK)] == [NAME]


def test_many_threads_share_one_client() -> None:
    world = World()
    names = [f"{STACK}n{index}-1a2b3c4d" for index in range(8)]
    threads = [threading.Thread(target=world.launch, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.name for one in world.cloud.list(STACK)) == names
    assert (world.alive, world.objects["startup-scripts"]) == (8, 8)
    assert world.sent.count("GET /os-templates") == 1
