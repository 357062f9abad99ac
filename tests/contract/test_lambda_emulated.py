"""Every answer of the emulated Lambda fits Lambda's own description; both agree on valid bodies.

Where the emulator differs on purpose, EXCEPTIONS says so and why.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.lambda_cloud import bodies
from emulators.lambda_cloud.settings import BAD_ADDRESS_KEY, INACTIVE_KEY, SMALL_KEY
from tests.contract.lambda_spec import body_schema, complaints, null_places, response_complaints, spec
from tests.unit.emulators.driver import Reply
from tests.unit.emulators.lambda_driver import API, LambdaDriver, launch_body

EXCEPTIONS = {
    "GET /api/v1/filesystems": "seen in clients; the description lists file systems at /file-systems only",
    "429": "no answer for too many requests is described, though the limits are",
    "500": "errors of Lambda's own are described in words only",
    "503": "provider/ errors are described in words only",
    "405": "what another method on a known path gives is not described",
    "status": "the fault unknown_state shows a state that the description does not know, to test clients",
}
"""What the emulator does beyond the description -> why."""

KEY = {"name": "k", "public_key": "ssh-ed25519 BBBB k"}
RULE = {"protocol": "tcp", "port_range": [8000, 8000], "source_network": "203.0.113.0/24", "description": "d"}
PING = {"protocol": "icmp", "source_network": "0.0.0.0/0", "description": ""}
RULESET = {"name": "set", "region": "us-east-1", "rules": [RULE, PING]}
HEX = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _needs_the_description() -> None:
    spec()


class Checked:
    """Calls the emulator and checks every answer against the description."""

    def __init__(self, driver: LambdaDriver) -> None:
        self.driver = driver
        self.seen: set[tuple[str, int]] = set()

    def __call__(self, method: str, path: str, body: Any = None, *, expect: int = 200, **more: Any) -> Any:
        reply: Reply = self.driver.api(method, path, body, **more)
        assert reply.status == expect, reply.body
        route = self.driver.control("GET", "requests?last=1")["requests"][0]["route"]
        # A request without a good key is answered before its path is looked at.
        route = (
            API + "/".join("{id}" if part == "absent" else part for part in path.split("/"))
            if expect == 401
            else route
        )
        value = reply.json()
        assert not null_places(value)
        where = f"{method} {route}"
        self.seen.add((where, reply.status))
        if where not in EXCEPTIONS and str(expect) not in EXCEPTIONS:
            found = response_complaints(
                method, route, reply.status, reply.headers["content-type"], reply.body
            )
            assert not found, f"{where} -> {reply.status}: {found}"
        return value.get("data", value.get("error"))


def test_every_answer_fits_the_description() -> None:
    with LambdaDriver(boot_s=10, ip_after_s=5, name_after_s=3, terminating_s=10, fs_in_use_lag_s=5) as driver:
        call = Checked(driver)
        _instances(call)
        _catalogue(call)
        _objects(call)
        _errors(call)
        operations = set(driver.cloud.operations)
        assert {where for where, status in call.seen if status == 200} == operations
        not_found = {where for where, status in call.seen if status == 404}
        assert {where for where in operations if "{id}" in where} <= not_found
        described = {
            f"{method.upper()} {path}"
            for path, methods in spec()["paths"].items()
            for method in methods
            if not path.startswith((f"{API}/tickets", f"{API}/fabric", f"{API}/audit-events"))
            and method != "parameters"
        }
        assert operations - set(EXCEPTIONS) == described


def _instances(call: Checked) -> None:
    disk = call("POST", "/filesystems", {"name": "weights", "region": "us-east-1"})
    ruleset = call("POST", "/firewall-rulesets", RULESET)
    whole = launch_body(
        file_system_names=["weights"],
        file_system_mounts=[{"mount_point": "/data/weights", "file_system_id": disk["id"]}],
        image={"family": "lambda-stack-24-04"},
        firewall_rulesets=[{"id": ruleset["id"]}],
    )
    (instance_id,) = call("POST", "/instance-operations/launch", whole)["instance_ids"]
    assert len(instance_id) == 32
    assert set(instance_id) <= set(HEX)
    (bare,) = call(
        "POST",
        "/instance-operations/launch",
        {"region_name": "us-east-1", "instance_type_name": "gpu_1x_a10", "ssh_key_names": ["mine"]},
    )["instance_ids"]
    ids = {"instance_ids": [instance_id]}
    call("POST", "/instance-operations/restart", ids, expect=409)
    early = call("GET", f"/instances/{instance_id}")
    assert not {"ip", "private_ip", "name", "tags", "jupyter_token"} & set(early)
    for _ in range(4):
        call("GET", f"/instances/{instance_id}")
        call("GET", "/instances")
        call.driver.advance(3)
    active = call("GET", f"/instances/{instance_id}")
    assert {"ip", "private_ip", "name", "tags", "jupyter_token", "jupyter_url"} <= set(active)
    assert active["file_system_mounts"] == whole["file_system_mounts"]
    assert "name" not in call("GET", f"/instances/{bare}")
    assert call("GET", "/instances?cluster_id=x") == []
    call.driver.control("POST", f"lambda/instances/{bare}/unhealthy", {})
    assert call("GET", f"/instances/{bare}")["status"] == "unhealthy"
    call.driver.control("POST", f"lambda/instances/{bare}/preempt", {})
    assert call("GET", f"/instances/{bare}")["status"] == "preempted"
    assert call("POST", f"/instances/{instance_id}", {"name": "renamed"})["name"] == "renamed"
    call("POST", f"/instances/{instance_id}", {"name": "x" * 65}, expect=400)
    call("DELETE", f"/filesystems/{disk['id']}", expect=400)
    call("DELETE", f"/firewall-rulesets/{ruleset['id']}", expect=400)
    call("POST", "/instance-operations/restart", ids)
    call("POST", "/instance-operations/terminate", ids)
    call("POST", "/instance-operations/terminate", ids)
    call("GET", f"/instances/{instance_id}")
    call.driver.advance(11)
    assert call("GET", f"/instances/{instance_id}")["status"] == "terminated"
    call("DELETE", f"/filesystems/{disk['id']}", expect=400)
    call.driver.advance(5)
    assert call("DELETE", f"/filesystems/{disk['id']}") == {"deleted_ids": [disk["id"]]}
    call("DELETE", f"/firewall-rulesets/{ruleset['id']}")


def _catalogue(call: Checked) -> None:
    types = call("GET", "/instance-types")
    assert types["gpu_8x_h100_sxm5"]["instance_type"]["price_cents_per_hour"] == 3192
    assert {region["name"] for region in call("GET", "/regions")} >= {"us-west-1", "me-west-1"}
    assert {image["family"] for image in call("GET", "/images")} >= {"lambda-stack-24-04"}


def _objects(call: Checked) -> None:
    key = call("POST", "/ssh-keys", KEY)
    call("POST", "/ssh-keys", KEY, expect=400)
    assert "PRIVATE KEY" in call("POST", "/ssh-keys", {"name": "generated"})["private_key"]
    assert not [row for row in call("GET", "/ssh-keys") if "private_key" in row]
    call("DELETE", f"/ssh-keys/{key['id']}")
    call("GET", "/firewall-rules")
    assert call("PUT", "/firewall-rules", {"data": [RULE]}) == [RULE]
    assert call("GET", "/firewall-rulesets/global")["rules"] == [RULE]
    assert call("PATCH", "/firewall-rulesets/global", {"rules": [PING]})["rules"] == [PING]
    assert call("GET", "/firewall-rules") == [PING]
    made = call("POST", "/firewall-rulesets", RULESET)
    assert call("GET", f"/firewall-rulesets/{made['id']}") == made
    changed = call("PATCH", f"/firewall-rulesets/{made['id']}", {"rules": [PING], "name": "n"})
    assert call("GET", "/firewall-rulesets") == [changed]
    for bad in (
        {**RULE, "port_range": [9, 8]},
        {**RULE, "source_network": "x"},
        {**PING, "port_range": [1, 1]},
    ):
        call("PATCH", f"/firewall-rulesets/{made['id']}", {"rules": [bad]}, expect=400)
    call("POST", "/firewall-rulesets", {**RULESET, "region": "mars-1"}, expect=400)
    disk = call("POST", "/filesystems", {"name": "d", "region": "us-west-1"})
    call("POST", "/filesystems", {"name": "d", "region": "us-west-1"}, expect=400)
    assert call("GET", "/file-systems") == call("GET", "/filesystems") == [disk]
    call("POST", "/instance-operations/launch", launch_body(file_system_names=["d"]), expect=400)


def _errors(call: Checked) -> None:
    bodies_by_path = {"restart": {"instance_ids": ["absent"]}, "terminate": {"instance_ids": ["absent"]}}
    for where in call.driver.cloud.operations:
        method, path = where.replace(API, "").split(" ")
        path = path.replace("{id}", "absent")
        call(method, path, {}, expect=401, key=None)
        call(method, path, {}, expect=401, key="wrong")
        call(method, path, {}, expect=403, key=INACTIVE_KEY)
        if "{id}" in where:
            call(method, path, {}, expect=404)
        elif body := bodies_by_path.get(path.rpartition("/")[2]):
            call(method, path, body, expect=404)
        elif method != "GET" and not path.endswith("/global"):
            call(method, path, [], expect=400)
    call("PUT", "/instances", {}, expect=405)
    for key in (BAD_ADDRESS_KEY, SMALL_KEY):
        call("POST", "/ssh-keys", {"name": "mine", "public_key": "ssh-ed25519 AAAA x"}, key=key)
    launch = "/instance-operations/launch"
    call("POST", launch, launch_body(), expect=403, key=BAD_ADDRESS_KEY)
    call("POST", "/filesystems", {"name": "d", "region": "us-west-1"}, expect=403, key=BAD_ADDRESS_KEY)
    for _ in range(2):
        call("POST", launch, launch_body(), key=SMALL_KEY)
    assert call("POST", launch, launch_body(), expect=400, key=SMALL_KEY)["code"] == "global/quota-exceeded"
    for change, status in (
        ({"ssh_key_names": []}, 400),
        ({"ssh_key_names": ["mine", "mine"]}, 400),
        ({"ssh_key_names": ["none"]}, 400),
        ({"quantity": 2}, 400),
        ({"image": {"family": "none"}}, 400),
        ({"firewall_rulesets": [{"id": "none"}]}, 400),
        ({"file_system_names": ["none"]}, 400),
        ({"region_name": "mars-1"}, 404),
        ({"instance_type_name": "none"}, 404),
        ({"region_name": "us-west-3"}, 400),
    ):
        call("POST", launch, launch_body(**change), expect=status)
    call.driver.fault("error", count=1, args={"status": 500})
    assert call("GET", "/instances", expect=500)["code"] == "global/internal-error"
    call.driver.fault("provider_unavailable", count=1)
    assert call("GET", "/instances", expect=503)["code"].startswith("provider/")
    call.driver.fault("rate_limited", count=1)
    call("GET", "/instances", expect=429)
    call.driver.control("PATCH", "lambda/account", {"auth": "forbidden"})
    assert call.driver.refused("POST", "/ssh-keys", KEY) == (403, "global/forbidden")


def test_the_exceptions_are_what_they_say() -> None:
    assert "get" not in spec()["paths"][f"{API}/filesystems"]
    statuses = {
        status
        for methods in spec()["paths"].values()
        for method, operation in methods.items()
        if method != "parameters"
        for status in operation["responses"]
    }
    assert not {"429", "500", "503", "405"} & statuses
    with LambdaDriver() as driver:
        driver.fault("unknown_state", count=1)
        reply = driver.api("GET", f"/instances/{driver.launch()}")
        wrong = response_complaints("GET", f"{API}/instances/{{id}}", 200, "application/json", reply.body)
        assert len(wrong) == 1
        assert wrong[0].startswith("$.data.status: 'migrating' is not one of")


FULL: dict[str, tuple[Any, tuple[str, str], dict[str, Any]]] = {
    "launch": (
        bodies.launch,
        ("POST", "/instance-operations/launch"),
        launch_body(
            file_system_names=["weights"],
            file_system_mounts=[{"mount_point": "/data/weights", "file_system_id": "x"}],
            image={"family": "lambda-stack-24-04"},
            firewall_rulesets=[{"id": "x"}],
        ),
    ),
    "terminate": (bodies.INSTANCE_IDS, ("POST", "/instance-operations/terminate"), {"instance_ids": ["x"]}),
    "rename": (bodies.RENAME, ("POST", "/instances/{id}"), {"name": "x"}),
    "ssh key": (bodies.SSH_KEY, ("POST", "/ssh-keys"), KEY),
    "rules": (bodies.RULES, ("PUT", "/firewall-rules"), {"data": [RULE]}),
    "global rules": (bodies.GLOBAL_RULES, ("PATCH", "/firewall-rulesets/global"), {"rules": [RULE]}),
    "ruleset": (bodies.RULESET, ("POST", "/firewall-rulesets"), RULESET),
    "ruleset change": (
        bodies.CHANGE_RULESET,
        ("PATCH", "/firewall-rulesets/{id}"),
        {"name": "n", "rules": [RULE]},
    ),
    "file system": (bodies.FILE_SYSTEM, ("POST", "/filesystems"), {"name": "disk-1", "region": "us-east-1"}),
}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 70000),
    st.sampled_from(
        ["", "x", "X", "-", "tcp", "a:b", "/home/a", "/etc", "x" * 56, "x" * 65, "x" * 129, "x" * 257]
    ),
    st.sampled_from([[], [1], [1, 2], [1, 2, 3], ["x"], {}, {"id": "x"}, {"family": "x"}, {"x": 1}]),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside a value."""
    inner = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in inner for place in [(*path, key), *_places(value[key], (*path, key))]]


@pytest.mark.parametrize("name", FULL)
@given(changes=st.data())
@settings(max_examples=60, deadline=None)
def test_emulator_and_description_agree_on_which_bodies_are_valid(name: str, changes: st.DataObject) -> None:
    check, (method, path), whole = FULL[name]
    body = copy.deepcopy(whole)
    for _ in range(changes.draw(st.integers(0, 2))):
        places = _places(body)
        if not places:
            break
        *way, last = changes.draw(st.sampled_from(places))
        target = body
        for key in way:
            target = target[key]
        match changes.draw(st.sampled_from(["set", "drop", "add"])):
            case "set":
                target[last] = copy.deepcopy(changes.draw(VALUES))
            case "drop":
                del target[last]
            case _ if isinstance(target, dict):
                target["surplus"] = copy.deepcopy(changes.draw(VALUES))
    schema = body_schema(method, f"{API}{path}")
    assert bool(check(body)) == bool(complaints(schema, body)), json.dumps(body)
