from __future__ import annotations

import copy
import itertools
import json
import logging
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds import errors
from gpu_clouds.errors import GpuCloudError
from gpu_clouds.lambda_cloud.instances import instance
from gpu_clouds.lambda_cloud.models import Machine
from gpu_clouds.lambda_cloud.types import gpus_of, type_names
from gpu_clouds.models import (
    Availability,
    Candidate,
    CapacityType,
    InstanceSpec,
    InstanceState,
    InstanceTemplate,
)
from tests.unit.gpu_clouds.harness import FakeClock, Net, answer
from tests.unit.gpu_clouds.lambda_harness import (
    A10,
    MACHINE,
    NAME,
    SPEC,
    TEMPLATE,
    TYPE,
    data,
    keys,
    lambda_cloud,
    ready_to_launch,
    refusal,
    types,
)

ID = MACHINE["id"]
MADE = data({"instance_ids": [ID]})
CAPACITY = refusal(400, "instance-operations/launch/insufficient-capacity")
TOKEN = MACHINE["jupyter_token"]


def body(request: httpx.Request) -> Any:
    return json.loads(request.content)


def launches(net: Net) -> list[Any]:
    return [body(one) for one in net.requests if one.url.path.endswith("/launch")]


def test_a_launch() -> None:
    net = ready_to_launch(MADE)
    made = lambda_cloud(net).create(SPEC)
    assert net.sent == [
        "GET /api/v1/instance-types",
        "GET /api/v1/ssh-keys",
        "POST /api/v1/instance-operations/launch",
    ]
    assert net.requests[2].extensions["timeout"]["read"] == 120
    (sent,) = launches(net)
    assert sent.pop("user_data").startswith("#cloud-config\n")
    assert sent == {
        "region_name": "us-east-1",
        "instance_type_name": "gpu_1x_a10",
        "ssh_key_names": ["key-0"],
        "name": NAME,
        "hostname": "web-0",
        "tags": MACHINE["tags"],
    }
    assert (made.id, made.name, made.state) == (ID, NAME, InstanceState.PENDING)
    assert (made.region, made.gpu, made.gpu_count, made.hourly_usd) == ("us-east-1", "A10", 1, 1.29)
    assert made.endpoints == ()


@pytest.mark.parametrize(
    ("template_id", "image"),
    [("lambda-stack-24-04", {"family": "lambda-stack-24-04"}), (ID, {"id": ID})],
)
def test_a_template_id_is_the_machines_own_image(template_id: str, image: dict[str, str]) -> None:
    net = ready_to_launch(MADE)
    template = InstanceTemplate(template_id=template_id, ssh_public_keys=TEMPLATE.ssh_public_keys)
    lambda_cloud(net).create(InstanceSpec(NAME, A10, template))
    (sent,) = launches(net)
    assert sent["image"] == image
    assert "user_data" not in sent


def test_each_launch_goes_to_one_region_and_says_whether_another_is_left() -> None:
    net = ready_to_launch(CAPACITY, MADE, regions=("us-east-3", "us-west-1", "us-east-1"))
    cloud = lambda_cloud(net)
    with pytest.raises(errors.CapacityError) as refused:
        cloud.create(SPEC)
    assert refused.value.elsewhere
    assert cloud.create(SPEC).region == "us-east-3"
    assert [sent["region_name"] for sent in launches(net)] == ["us-east-1", "us-east-3"]


def test_a_region_that_refused_a_moment_ago_is_tried_last() -> None:
    clock = FakeClock()
    net = ready_to_launch(
        CAPACITY, MADE, MADE, types("us-east-1", "us-east-3"), MADE, regions=("us-east-1", "us-east-3")
    )
    cloud = lambda_cloud(net, clock)
    with pytest.raises(errors.CapacityError):
        cloud.create(SPEC)
    assert cloud.create(SPEC).region == "us-east-3"
    assert cloud.create(SPEC).region == "us-east-3"
    clock.sleep(60)
    assert cloud.create(SPEC).region == "us-east-1"


def test_the_last_refusal_is_told_when_all_regions_refuse() -> None:
    net = ready_to_launch(CAPACITY, CAPACITY, regions=("us-east-1", "us-east-2"))
    cloud = lambda_cloud(net)
    for left in (True, False):
        with pytest.raises(errors.CapacityError, match="insufficient-capacity") as refused:
            cloud.create(SPEC)
        assert refused.value.elsewhere is left
    assert len(launches(net)) == 2


def test_nothing_is_sent_where_no_wanted_region_is_listed() -> None:
    net = Net(types("us-west-1"))
    with pytest.raises(errors.CapacityError, match="no A10 x1 is free in us-east; nothing was sent"):
        lambda_cloud(net).create(SPEC)
    assert net.sent == ["GET /api/v1/instance-types"]


@pytest.mark.parametrize(
    ("candidate", "says"),
    [
        (Candidate("lambda", "main", "", "A10", capacity=CapacityType.SPOT), "on_demand"),
        (Candidate("lambda", "main", "", "RTX4090"), "no GPU RTX4090"),
        (Candidate("lambda", "main", "", "A10", 3), "no type with 3 A10; there is: gpu_1x_a10"),
        (Candidate("lambda", "main", "", "A100-40GB-PCIe", 8), "no type with 8 A100-40GB-PCIe"),
    ],
)
def test_what_is_not_sold_is_refused_before_a_launch(candidate: Candidate, says: str) -> None:
    with pytest.raises(errors.ValidationError, match=says):
        lambda_cloud(Net(types("us-east-1"))).create(InstanceSpec(NAME, candidate, TEMPLATE))


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "global/quota-exceeded", errors.QuotaError),
        (400, "global/invalid-parameters", errors.ValidationError),
        (400, "instance-operations/launch/file-system-in-wrong-region", errors.ValidationError),
        (400, "global/object-does-not-exist", errors.ValidationError),
        (404, "global/object-does-not-exist", errors.ValidationError),
        (401, "global/invalid-api-key", errors.AuthError),
        (403, "global/account-inactive", errors.BillingError),
        (403, "global/invalid-address", errors.BillingError),
        (403, "global/forbidden", errors.PermissionRefusedError),
        (500, "global/internal-error", errors.AmbiguousError),
        (409, "global/internal-error", errors.AmbiguousError),
        (400, "global/unknown", errors.AmbiguousError),
        (503, "provider/internal-unavailable", errors.AmbiguousError),
        (400, "provider/quota", errors.AmbiguousError),
        (418, "global/new-code", errors.UnknownCloudError),
        (429, "", errors.RateLimitedError),
    ],
)
def test_what_a_refused_launch_means(status: int, code: str, error: type[GpuCloudError]) -> None:
    net = ready_to_launch(refusal(status, code, "Why it is so.", suggestion="Do this."))
    with pytest.raises(error) as caught:
        lambda_cloud(net).create(SPEC)
    assert type(caught.value) is error
    assert (caught.value.status, len(launches(net))) == (status, 1)
    assert "Why it is so." in str(caught.value)
    if isinstance(caught.value, errors.RateLimitedError):
        assert caught.value.retry_after_s == 12
    elif error is not errors.UnknownCloudError:
        assert str(caught.value).endswith(f"({code}); Do this.")


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("global/quota-exceeded", "end some instances, or ask Lambda for a higher quota"),
        ("global/account-inactive", "settle it in Lambda's console"),
        ("global/object-does-not-exist", "check the inputs that it is about"),
    ],
)
def test_where_lambda_suggests_nothing_the_client_does(code: str, hint: str) -> None:
    with pytest.raises(GpuCloudError) as caught:
        lambda_cloud(ready_to_launch(refusal(400, code, "Why it is so."))).create(SPEC)
    assert str(caught.value).endswith(f"({code}); {hint}")


@pytest.mark.parametrize(
    "reply", [httpx.ReadTimeout("slow"), data({"instance_ids": []}), answer(200, []), data(None)]
)
def test_a_launch_without_a_readable_answer_may_have_been(reply: Any) -> None:
    with pytest.raises(errors.AmbiguousError):
        lambda_cloud(ready_to_launch(reply)).create(SPEC)


def test_no_secret_of_a_node_is_in_an_error() -> None:
    template = InstanceTemplate(
        image="i",
        env={"TOKEN": "private value"},
        startup="#private script",
        ssh_public_keys=TEMPLATE.ssh_public_keys,
    )
    reply = refusal(400, "global/invalid-parameters", "user_data: private value, #private script")
    with pytest.raises(errors.ValidationError) as caught:
        lambda_cloud(ready_to_launch(reply)).create(InstanceSpec(NAME, A10, template))
    assert "private" not in str(caught.value)


# States


@pytest.mark.parametrize(
    ("status", "ip", "state"),
    [
        ("booting", "", InstanceState.PENDING),
        ("booting", "198.51.100.2", InstanceState.PENDING),
        ("active", "", InstanceState.RUNNING),
        ("active", "198.51.100.2", InstanceState.READY),
        ("unhealthy", "198.51.100.2", InstanceState.FAILED),
        ("terminating", "198.51.100.2", InstanceState.DELETING),
        ("terminated", "", InstanceState.GONE),
        ("preempted", "", InstanceState.GONE),
        ("migrating", "198.51.100.2", InstanceState.UNKNOWN),
    ],
)
def test_states(status: str, ip: str, state: InstanceState) -> None:
    seen = lambda_cloud(Net(data(MACHINE | {"status": status, "ip": ip}))).get(ID)
    assert (seen.state, seen.native_state) == (state, status)
    over = state in (InstanceState.GONE, InstanceState.DELETING)
    assert (seen.hourly_usd is None) == over
    assert bool(seen.endpoints) == (bool(ip) and not over)
    assert seen.created_at is None


def test_ways_in() -> None:
    seen = lambda_cloud(Net(data(MACHINE))).get(ID)
    assert [(way.port, way.protocol, way.url) for way in seen.endpoints] == [
        (22, "tcp", "tcp://198.51.100.2:22"),
        (8000, "http", "http://198.51.100.2:8000"),
    ]
    assert seen.ssh == "ubuntu@198.51.100.2:22"


def test_ways_in_through_an_emulator() -> None:
    cloud = lambda_cloud(Net(data(MACHINE)), proxy_template="http://127.0.0.1:7/lambda/{id}-{port}")
    assert [way.url for way in cloud.get(ID).endpoints] == [
        "tcp://127.0.0.1:7",
        f"http://127.0.0.1:7/lambda/{ID}-8000",
    ]


def test_the_marker_is_found_in_the_tags_of_a_renamed_node() -> None:
    other = MACHINE | {"name": "renamed by hand"}
    foreign = MACHINE | {"id": "x", "name": "other", "tags": []}
    cloud = lambda_cloud(Net(data([other, foreign])))
    assert [(one.id, one.name) for one in cloud.list("gp-p-abcdefgh-")] == [(ID, NAME)]


def test_a_node_that_is_not_shown_yet_is_not_gone() -> None:
    clock = FakeClock()
    gone = refusal(404, "global/object-does-not-exist", "Specified instance does not exist.")
    nameless = {key: value for key, value in MACHINE.items() if key not in ("name", "tags", "ip")}
    net = ready_to_launch(MADE, gone, gone, data([nameless | {"status": "booting"}]), gone)
    cloud = lambda_cloud(net, clock)
    cloud.create(SPEC)
    assert cloud.get(ID).state is InstanceState.PENDING
    with pytest.raises(errors.TransientError, match="not shown yet"):
        cloud.delete(ID)
    assert [one.name for one in cloud.list("gp-p-abcdefgh-")] == [NAME]
    clock.sleep(31)
    assert cloud.get(ID).state is InstanceState.GONE


# Ending


def test_an_end() -> None:
    net = Net(data({"terminated_instances": [MACHINE | {"status": "terminating"}]}))
    lambda_cloud(net).delete(ID)
    assert net.sent == ["POST /api/v1/instance-operations/terminate"]
    assert body(net.requests[0]) == {"instance_ids": [ID]}


@pytest.mark.parametrize("status", ["terminating", "terminated"])
def test_an_unknown_error_of_an_ending_node_is_a_success(status: str) -> None:
    net = Net(
        refusal(500, "global/unknown", "An unknown error occurred."), data(MACHINE | {"status": status})
    )
    lambda_cloud(net).delete(ID)
    assert len(net.sent) == 2


def test_an_unknown_error_of_a_living_node_is_an_error() -> None:
    net = Net(refusal(500, "global/unknown"), data(MACHINE))
    with pytest.raises(errors.ConflictError, match="global/unknown"):
        lambda_cloud(net).delete(ID)


def test_absent_is_a_success() -> None:
    lambda_cloud(Net(refusal(404, "global/object-does-not-exist"))).delete(ID)


def test_a_rename_is_the_only_change() -> None:
    net = Net(data(MACHINE))
    cloud = lambda_cloud(net)
    assert cloud.update(ID, SPEC).name == NAME
    assert (net.sent, body(net.requests[0])) == ([f"POST /api/v1/instances/{ID}"], {"name": NAME})
    assert cloud.capabilities.updatable == frozenset()


def test_what_lambda_can_not() -> None:
    cloud = lambda_cloud(Net())
    for act in (cloud.stop, cloud.start, cloud.logs):
        with pytest.raises(errors.ValidationError, match="Lambda: "):
            act(ID)
    assert not (cloud.capabilities.stop or cloud.capabilities.spot or cloud.capabilities.logs)


# Offers


def test_offers() -> None:
    eight = {
        "instance_type": TYPE | {"name": "gpu_8x_a100", "price_cents_per_hour": 1592},
        "regions_with_capacity_available": [],
    }
    wanted = [
        Candidate("lambda", "main", "us-east", "A10"),
        Candidate("lambda", "main", "us-west-1", "A10"),
        Candidate("lambda", "main", "", "A100-40GB-SXM", 8),
        Candidate("lambda", "main", "", "A100-40GB-PCIe", 8),
        Candidate("lambda", "main", "", "A10", capacity=CapacityType.SPOT),
        Candidate("runpod", "main", "", "A10"),
    ]
    net = Net(types("us-east-1", gpu_8x_a100=eight))
    found = lambda_cloud(net).offers(wanted)
    assert [(offer.candidate, offer.hourly_usd, offer.availability) for offer in found] == [
        (wanted[0], 1.29, Availability.MEDIUM),
        (wanted[1], 1.29, Availability.NONE),
        (wanted[2], 15.92, Availability.NONE),
    ]
    assert len(net.sent) == 1


@pytest.mark.parametrize(
    ("gpu", "count", "names"),
    [
        ("H100-SXM", 8, ("gpu_8x_h100_sxm5",)),
        ("A100-40GB-SXM", 1, ("gpu_1x_a100_sxm4",)),
        ("A100-40GB-SXM", 8, ("gpu_8x_a100",)),
        ("A100-40GB-PCIe", 4, ("gpu_4x_a100",)),
        ("V100-16GB", 8, ("gpu_8x_v100", "gpu_8x_v100_n")),
        ("RTX4090", 1, ()),
    ],
)
def test_types(gpu: str, count: int, names: tuple[str, ...]) -> None:
    assert type_names(gpu, count) == names
    assert {gpus_of(name) for name in names} <= {(gpu, count)}


def test_unknown_types_keep_their_own_words() -> None:
    assert gpus_of("gpu_2x_z900") == ("z900", 2)
    assert gpus_of("cpu_4x_general") == ("", 0)


# The account, its pace, its tokens


def test_the_account_counts_what_lives() -> None:
    ended = MACHINE | {"status": "terminated"}
    assert lambda_cloud(Net(data([MACHINE, ended]))).account().machines_in_use == 1


def test_one_request_a_second_and_one_launch_in_twelve() -> None:
    clock = FakeClock()
    sent: list[tuple[str, float]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        sent.append((request.url.path.rpartition("/")[2], clock.now))
        if request.url.path.endswith("/launch"):
            return data({"instance_ids": [f"{len(sent):032x}"]})
        return types("us-east-1") if "types" in request.url.path else keys("ssh-ed25519 AAAA me")

    cloud = lambda_cloud(Net(then=serve), clock)
    for index in range(4):
        cloud.create(InstanceSpec(f"gp-p-abcdefgh-n{index}-1a2b3c4d", A10, TEMPLATE))
    times = [at for _, at in sent]
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(times))
    at_launch = [at for what, at in sent if what == "launch"]
    assert [later - earlier for earlier, later in itertools.pairwise(at_launch)] == [12, 12, 12]


def test_two_connections_share_the_pace_of_a_key(tmp_path: Any) -> None:
    clock = FakeClock()
    net = Net(then=lambda _request: data([]))
    one = lambda_cloud(net, clock, state_dir=tmp_path)
    other = lambda_cloud(net, clock, state_dir=tmp_path)
    foreign = lambda_cloud(net, clock, state_dir=tmp_path, key="another_key_of_somebody")
    one.account()
    foreign.account()
    assert clock.waits == []
    other.account()
    assert clock.waits == [1.0]


@given(
    st.dictionaries(st.sampled_from([*MACHINE, "surplus"]), st.none() | st.integers() | st.text(max_size=5))
)
@settings(deadline=None, max_examples=60)
def test_odd_answers_never_break_the_reading(changes: dict[str, Any]) -> None:
    odd = copy.deepcopy(MACHINE) | {key: value for key, value in changes.items() if key != "id"}
    seen = instance(Machine.model_validate(odd), "")
    assert isinstance(seen.state, InstanceState)


def test_jupyter_tokens_end_where_the_answer_is_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    net = Net(data([MACHINE]), data(MACHINE), data([MACHINE | {"id": None}, {"jupyter_token": TOKEN}]))
    cloud = lambda_cloud(net)
    told = [repr(cloud.list("gp-")), repr(cloud.get(ID)), repr(Machine.model_validate(MACHINE))]
    with pytest.raises(errors.UnknownCloudError) as caught:
        cloud.account()
    assert not [text for text in [*told, str(caught.value), repr(vars(cloud)), caplog.text] if TOKEN in text]
