from __future__ import annotations

from typing import Any

import pytest

from emulators.runpod.problems import NO_CAPACITY, NO_FREE_GPU
from emulators.runpod.settings import SECOND_KEY
from tests.unit.emulators.driver import H100, L4, Driver, pod_body


def statuses(driver: Driver, pod_id: str, at: list[float]) -> list[str]:
    seen, now = [], 0.0
    for when in at:
        driver.advance(when - now)
        now = when
        seen.append(driver.call("GET", f"/v2/pods/{pod_id}").json()["status"])
    return seen


def test_observed_mode_says_running_from_the_first_on_and_gives_runtime_when_ready() -> None:
    with Driver(ready_after_s=30) as driver:
        pod = driver.create()
        assert (pod["status"], pod["runtime"], pod["ssh"]["direct"]) == ("RUNNING", None, None)
        assert pod["startedAt"] is None
        driver.advance(29.9)
        assert driver.pods()[0]["runtime"] is None
        driver.advance(11)
        pod = driver.pods()[0]
        assert pod["runtime"]["uptime"] == 10
        assert {port["private"] for port in pod["runtime"]["ports"]} == {22, 8000}
        assert pod["ssh"]["direct"]["port"] == pod["runtime"]["ports"][0]["public"]
        assert pod["startedAt"] is not None


def test_specified_mode_goes_through_all_states() -> None:
    with Driver(mode="specified", ready_after_s=30) as driver:
        pod = driver.create()
        assert statuses(driver, pod["id"], [0, 14, 16, 29, 31]) == [
            "PROVISIONING",
            "PROVISIONING",
            "STARTING",
            "STARTING",
            "RUNNING",
        ]
        driver.call("POST", f"/v2/pods/{pod['id']}/action", {"action": "stop"})
        stopped = driver.pods()[0]
        assert (stopped["status"], stopped["cost"], stopped["runtime"]) == ("EXITED", 0.0, None)


def test_actions_are_those_of_the_state_and_others_get_409() -> None:
    with Driver(mode="specified", ready_after_s=30) as driver:
        pod = driver.create()
        path = f"/v2/pods/{pod['id']}/action"
        for wanted, then in [("restart", 409), ("start", 409), ("stop", 200), ("stop", 409), ("start", 200)]:
            assert driver.call("POST", path, {"action": wanted}).status == then, wanted
        driver.advance(31)
        assert driver.pods()[0]["actions"] == ["stop", "restart", "terminate"]
        driver.call("PATCH", f"/v2/pods/{pod['id']}", {"locked": True})
        assert driver.call("POST", path, {"action": "restart"}).detail == "pod is locked"
        assert driver.call("POST", path, {"action": "terminate"}).status == 204
        assert driver.call("POST", path, {"action": "start"}).status == 404


def test_a_start_gives_new_public_ports_and_no_runtime_until_ready() -> None:
    with Driver(ready_after_s=10) as driver:
        pod_id = driver.create()["id"]
        driver.advance(11)
        before = driver.pods()[0]["ssh"]["direct"]["port"]
        driver.call("POST", f"/v2/pods/{pod_id}/action", {"action": "stop"})
        assert driver.pods()[0]["cost"] == 0.43  # as recorded: a stopped pod still shows its cost
        assert driver.call("POST", f"/v2/pods/{pod_id}/action", {"action": "start"}).json()["runtime"] is None
        driver.advance(11)
        assert driver.pods()[0]["ssh"]["direct"]["port"] != before


def test_deleted_pods_are_gone_and_absent_ones_get_404() -> None:
    with Driver() as driver:
        pod = driver.create()
        reply = driver.call("DELETE", f"/v2/pods/{pod['id']}")
        assert (reply.status, reply.body) == (204, b"")
        assert driver.pods() == []
        for method in ("GET", "DELETE"):
            reply = driver.call(method, f"/v2/pods/{pod['id']}")
            assert (reply.status, reply.detail) == (404, "pod not found")
        state = driver.control("GET", "state")["runpod"]
        assert state["alive"] == 0
        assert [row["name"] for row in state["ended"]] == ["node"]


def test_names_are_not_unique() -> None:
    with Driver() as driver:
        assert driver.create()["id"] != driver.create()["id"]
        assert [pod["name"] for pod in driver.pods()] == ["node", "node"]


def test_accounts_see_only_their_own() -> None:
    with Driver() as driver:
        pod = driver.create()
        assert driver.pods(key=SECOND_KEY) == []
        for method in ("GET", "DELETE"):
            assert driver.call(method, f"/v2/pods/{pod['id']}", key=SECOND_KEY).status == 404
        assert len(driver.pods()) == 1


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({**pod_body(), "cpu": {"id": "cpu5c", "vcpuCount": 2}}, "exactly one of gpu or cpu must be set"),
        ({"name": "n", "image": "i"}, "exactly one of gpu or cpu must be set"),
        (pod_body(gpu="NVIDIA H100"), "gpu type 'NVIDIA H100' not found"),
        (pod_body(dataCenterIds=["us-ks-2"]), "data center 'us-ks-2' not found"),
        (pod_body(count=9), "gpu count 9 is above the maximum of 8"),
        (pod_body(ports=["22"]), "port '22' must be formatted as port/protocol"),
        (pod_body(ports=["70000/tcp"]), "port '70000/tcp' must be formatted as port/protocol"),
        (pod_body(mounts={"network": []}), "mounts.network must not be empty"),
        (
            {"name": "n", "image": "i", "cpu": {"id": "cpu5c", "vcpuCount": 6}},
            "vcpuCount 6 is not valid for cpu flavor 'cpu5c'",
        ),
        (pod_body(gpu=H100, dataCenterIds=["EU-RO-1"]), NO_CAPACITY),
    ],
)
def test_rules_over_several_fields_get_400(body: dict[str, Any], detail: str) -> None:
    with Driver() as driver:
        reply = driver.call("POST", "/v2/pods", body)
        assert (reply.status, reply.detail) == (400, detail)
        assert reply.headers["content-type"] == "application/problem+json"
        assert driver.pods() == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({**pod_body(), "x": 1}, "$: additional properties 'x' not allowed"),
        ({"name": "n", "gpu": {"id": L4, "count": 1}}, "$: missing property 'image'"),
        ({**pod_body(), "name": ""}, "$.name: minLength: got 0, want 1"),
        ({**pod_body(), "cloud": "ALL"}, "$.cloud: value must be one of 'SECURE', 'COMMUNITY'"),
        (pod_body(disk="50"), "$.disk: got string, want integer"),
        (pod_body(env={"A": 1}), "$.env.A: got integer, want string"),
        (pod_body(count=0), "$.gpu.count: minimum: got 0, want 1"),
        (pod_body(mounts={"persistent": {"size": 10}}), "$.mounts.persistent: missing property 'path'"),
        ([], "$: got array, want object"),
    ],
)
def test_bodies_that_break_the_schema_get_422_with_each_complaint(body: Any, error: str) -> None:
    with Driver() as driver:
        reply = driver.call("POST", "/v2/pods", body)
        assert (reply.status, reply.detail) == (422, "Request validation failed.")
        assert error in reply.json()["errors"]


def test_a_body_that_is_no_json_gets_400() -> None:
    with Driver() as driver:
        assert driver.call("POST", "/v2/pods", b"{").status == 400


def test_a_create_without_gpu_count_fails_as_recorded_and_works_as_specified() -> None:
    body = pod_body()
    del body["gpu"]["count"]
    with Driver() as driver:
        assert driver.call("POST", "/v2/pods", body).detail == NO_CAPACITY
        driver.control("PATCH", "runpod/settings", {"mode": "specified"})
        assert driver.call("POST", "/v2/pods", body).json()["gpu"]["count"] == 1


def test_capacity_is_used_up_and_given_back() -> None:
    with Driver(capacity={f"{H100}|*": 0, f"{H100}|US-GA-2": 4}) as driver:
        first = driver.create(gpu=H100, count=4)
        assert first["dataCenterId"] == "US-GA-2"
        assert driver.call("POST", "/v2/pods", pod_body(gpu=H100)).detail == NO_CAPACITY
        driver.call("DELETE", f"/v2/pods/{first['id']}")
        assert driver.create(gpu=H100, count=2)["dataCenterId"] == "US-GA-2"
        second = driver.create(gpu=H100, count=2)
        driver.call("POST", f"/v2/pods/{second['id']}/action", {"action": "stop"})
        driver.create(gpu=H100, count=2)
        reply = driver.call("POST", f"/v2/pods/{second['id']}/action", {"action": "start"})
        assert (reply.status, reply.detail) == (400, NO_FREE_GPU)


def test_data_centers_are_a_hard_filter_as_recorded_and_a_wish_as_specified() -> None:
    with Driver(capacity={f"{H100}|US-GA-2": 0}) as driver:
        body = pod_body(gpu=H100, dataCenterIds=["US-GA-2"])
        assert driver.call("POST", "/v2/pods", body).detail == NO_CAPACITY
        driver.control("PATCH", "runpod/settings", {"mode": "specified"})
        assert driver.call("POST", "/v2/pods", body).json()["dataCenterId"] == "US-KS-2"


def test_a_patch_of_the_container_resets_a_running_pod_and_a_new_name_does_not() -> None:
    with Driver(ready_after_s=10) as driver:
        pod_id = driver.create()["id"]
        driver.advance(11)
        assert driver.call("PATCH", f"/v2/pods/{pod_id}", {"name": "other"}).json()["runtime"] is not None
        changed = driver.call("PATCH", f"/v2/pods/{pod_id}", {"env": {"A": "b"}}).json()
        assert (changed["name"], changed["env"], changed["runtime"]) == ("other", {"A": "b"}, None)
        driver.advance(11)
        assert driver.pods()[0]["runtime"] is not None


def test_mount_kind_and_volume_are_fixed() -> None:
    with Driver() as driver:
        plain = driver.create()["id"]
        mounts = {"persistent": {"size": 20, "path": "/workspace"}}
        assert driver.call("PATCH", f"/v2/pods/{plain}", {"mounts": mounts}).status == 400
        with_disk = driver.create(mounts=mounts)["id"]
        larger = {"persistent": {"size": 40, "path": "/workspace"}}
        assert driver.call("PATCH", f"/v2/pods/{with_disk}", {"mounts": larger}).json()["mounts"] == larger
        partial = {"persistent": {"size": 50}}
        assert driver.call("PATCH", f"/v2/pods/{with_disk}", {"mounts": partial}).status == 422


def test_network_volumes_pin_the_data_center() -> None:
    with Driver() as driver:
        body = {"name": "v", "size": 100, "dataCenter": "EU-RO-1"}
        volume = driver.call("POST", "/v2/network-volumes", body).json()
        mounts = {"network": [{"volumeId": volume["id"], "path": "/data"}]}
        assert driver.create(mounts=mounts)["dataCenterId"] == "EU-RO-1"
        other = {"network": [{"volumeId": "none", "path": "/data"}]}
        assert driver.call("POST", "/v2/pods", pod_body(mounts=other)).status == 404


def test_a_template_is_read_once_and_the_body_wins() -> None:
    with Driver() as driver:
        template = {"name": "t", "image": "a", "env": {"A": "1"}, "ports": ["80/http"]}
        made = driver.call("POST", "/v2/templates", template).json()
        body = {"name": "n", "gpu": {"id": L4, "count": 1}, "templateId": made["id"], "image": "b"}
        pod = driver.call("POST", "/v2/pods", body).json()
        assert (pod["image"], pod["env"], pod["ports"], pod["template"]) == (
            "b",
            {"A": "1"},
            ["80/http"],
            None,
        )
        assert driver.call("POST", "/v2/pods", {**body, "templateId": "none"}).status == 404


def test_start_ssh_hands_the_accounts_keys_to_the_pod() -> None:
    with Driver() as driver:
        keys = ["ssh-ed25519 AAAA me"]
        assert driver.call("PUT", "/v2/account/ssh-keys", {"keys": keys}).json() == {"keys": keys}
        assert driver.call("PUT", "/v2/account/ssh-keys", {"keys": ["nonsense"]}).status == 422
        assert driver.create(startSsh=True)["env"]["PUBLIC_KEY"] == keys[0]


def test_prices_can_be_changed_and_pods_keep_theirs() -> None:
    with Driver() as driver:
        before = driver.create()
        driver.control("PUT", "runpod/prices", {L4: {"SECURE": 0.9}})
        assert driver.create(count=2)["cost"] == 1.8
        assert driver.call("GET", f"/v2/pods/{before['id']}").json()["cost"] == 0.43
        gpu = driver.call("GET", "/v2/catalog/gpus/NVIDIA L4").json()
        assert gpu["price"]["secure"] == 0.9


def test_two_spaces_in_an_id_are_as_good_as_one() -> None:
    with Driver() as driver:
        assert driver.create(gpu="NVIDIA A30")["gpu"]["id"] == "NVIDIA  A30"
        assert driver.create(gpu="NVIDIA  A30")["gpu"]["id"] == "NVIDIA  A30"


def test_unknown_query_parameters_are_ignored_and_wrong_methods_get_405() -> None:
    with Driver() as driver:
        assert driver.call("GET", "/v2/pods?nonsense=1").status == 200
        reply = driver.call("PUT", "/v2/pods")
        assert (reply.status, reply.headers["allow"]) == (405, "GET, POST")
        assert driver.call("GET", "/v2/nothing").status == 404


def test_billing_adds_up_by_bucket() -> None:
    with Driver() as driver:
        driver.create(disk=100)
        driver.advance(7200)
        gone = driver.create("other")["id"]
        driver.advance(1800)
        driver.call("DELETE", f"/v2/pods/{gone}")
        bill = driver.call("GET", "/v2/billing/pods?bucketSize=hour&lastN=48").json()
        assert bill["metadata"]["uniquePodCount"] == 2
        assert bill["metadata"]["totals"]["gpuAmount"] == pytest.approx(0.43 * 3)
        assert bill["metadata"]["totals"]["diskAmount"] == pytest.approx((100 * 2.5 + 20 * 0.5) * 0.1 / 730)
        one = driver.call("GET", f"/v2/billing/pods?podId={gone}").json()
        assert one["metadata"]["totals"]["gpuAmount"] == pytest.approx(0.43 * 0.5)
        assert {record["podId"] for record in one["records"]} == {gone}
