"""What can go wrong with Lambda's API v1."""

from __future__ import annotations

from typing import Any

from gpu_clouds.models import Candidate, InstanceTemplate
from tests.faults.common import always, any_call, ending, once, row, times
from tests.faults.fault import Spoil
from tests.faults.world import HEALTH, PUBLIC_KEY, SECOND, TEMPLATE, Process, World

L = "lambda"
API = "/api/v1"
LIST = f"GET {API}/instances"
LAUNCH = f"POST {API}/instance-operations/launch"
TERMINATE = f"POST {API}/instance-operations/terminate"
POST = {"method": "POST", "path": f"{API}/instance-operations/launch"}
GET = {"method": "GET", "path": f"{API}/instances"}
BOTH = ("lambda us-west A10 x1", "lambda us-south-1 RTX-A6000 x1")
WITH_KEY = InstanceTemplate(
    image=TEMPLATE.image, ports=TEMPLATE.ports, env=TEMPLATE.env, ssh_public_keys=(PUBLIC_KEY,)
)
ANYWHERE = Candidate("lambda", "lambda", "", "A10")
EIGHT = Candidate("lambda", "lambda", "us-south-1", "V100-16GB", 8)
OPEN = {"allowed_sources": ("203.0.113.0/24",)}


def _revoke(world: World, _process: Process) -> None:
    world.account(L, auth="invalid")


def _cancel(_world: World, process: Process) -> None:
    process.cancel.set()


def _preempt(world: World, _process: Process) -> None:
    for node in world.living(L):
        world.control(L, "POST", f"instances/{node}/preempt")


def _terminate(world: World, _process: Process) -> None:
    for node in world.living(L):
        world.control(L, "POST", f"instances/{node}/terminate")


def _no_address(body: Any) -> Any:
    for machine in body["data"]:
        machine.pop("ip", None)
    return body


def _another(body: Any) -> Any:
    for machine in body["data"]:
        machine["instance_type"] = {**machine["instance_type"], "name": "gpu_1x_h100_pcie"}
    return body


def _refused(code: str, status: int = 400, message: str = "No.") -> tuple[str, dict[str, Any]]:
    return "create_refused", {"status": status, "code": code, "message": message}


LAUNCHES = [
    row(L, "500 after the instance was made", "create_then_500"),
    row(L, "500 after the launch", "launch_then_500"),
    row(L, "no answer after the instance was made", "create_then_hang"),
    row(L, "no answer after the launch", "launch_then_hang"),
    row(L, "both launches: 500 after the instance was made", times(2, "create_then_500")),
    row(L, "launch: 500 twice, no effect", times(2, "error", **POST), ends="second"),
    row(L, "launch: no answer twice, no effect", times(2, "hang", **POST), ends="second"),
    row(L, "launch: always 500, no effect", always("error", **POST), ends="ambiguous", says=BOTH),
    row(L, "launch: an answer after 130 s, too late", ("slow", {"seconds": 130, **POST})),
    row(L, "launch: those behind Lambda are away", ("provider_unavailable", POST)),
    row(L, "launch: they stay away", always("provider_unavailable", **POST), ends="ambiguous", says=BOTH),
    row(L, "one call in five: those behind Lambda are away", settings={"provider_unavailable": 0.2}),
    row(L, "launch: 429 without Retry-After", ("rate_limited", POST)),
    row(L, "launch: 429 three times", times(3, "rate_limited", **POST), ends="second"),
    row(L, "launch: always 429", always("rate_limited", **POST), ends="rate_limited", says=BOTH),
    row(L, "launch: unknown error", _refused("global/unknown", 500)),
    row(L, "launch: a code that nobody knows", _refused("global/brand-new"), ends="second"),
    row(L, "launch: internal error", _refused("global/internal-error", 500)),
    row(L, "launch: invalid parameters", _refused("global/invalid-parameters"), ends="second"),
    row(
        L,
        "launch: always invalid parameters",
        always("create_refused"),
        ends="validation",
        says=("a bad request or a broken backend", *BOTH),
    ),
    row(L, "launch: the key is not there", _refused("global/object-does-not-exist"), ends="second"),
    row(
        L, "launch: the region is not there", _refused("global/object-does-not-exist", 404), ends="validation"
    ),
    row(L, "launch: quota", _refused("global/quota-exceeded"), ends="quota"),
    row(L, "launch: forbidden", _refused("global/forbidden", 403), ends="second"),
    row(L, "launch: conflict", _refused("global/conflict", 409), ends="second"),
    row(L, "launch: inactive account", _refused("global/account-inactive", 403), ends="billing"),
    row(L, "launch: billing address", _refused("global/invalid-address", 403), ends="billing"),
    row(L, "launch: 410", _refused("global/gone", 410), ends="retired"),
    row(
        L,
        "launch: file system elsewhere",
        _refused("instance-operations/launch/file-system-in-wrong-region"),
        ends="second",
    ),
    row(L, "no capacity, once", "no_capacity", ends="second", within_s=200),
    row(L, "no capacity in one of two regions", "no_capacity", candidates=[ANYWHERE, SECOND[L]]),
    row(
        L,
        "no capacity in both of two regions",
        times(2, "no_capacity"),
        candidates=[ANYWHERE, SECOND[L]],
        ends="second",
    ),
    row(L, "no capacity anywhere", always("no_capacity"), ends="capacity", says=("add candidates", *BOTH)),
    row(L, "sold out by the list of types", settings={"capacity": {"gpu_1x_a10|*": 0}}, ends="second"),
    row(
        L,
        "everything sold out",
        settings={"capacity": {"*|*": 0}},
        ends="capacity",
        says=("nothing was sent", *BOTH),
    ),
    row(L, "listed but refused", settings={"listed_but_refused": 1.0}, ends="capacity", says=BOTH),
    row(
        L,
        "sold out for minutes, waited out",
        times(10, "no_capacity"),
        request={"wait_for_capacity_min": 30},
    ),
]
BOOTS = [
    row(L, "stuck in booting", "stuck_provisioning", ends="second", says=("not ready after 6",)),
    row(L, "always stuck", always("stuck_provisioning"), ends="deadline", says=BOTH),
    row(L, "boots for ever", settings={"boot_forever": True}, ends="deadline", says=BOTH),
    row(
        L,
        "eight GPUs boot for 15 minutes",
        candidates=[EIGHT],
        settings={"boot_8_gpus_s": 900.0},
        within_s=1200,
    ),
    row(
        L,
        "stuck, and kept by wish",
        "stuck_provisioning",
        request={"keep_on_failure": True},
        ends="deadline",
        kept=True,
    ),
    row(L, "boots of very different length", settings={"boot_spread_s": 400.0}),
    row(L, "unhealthy when it has booted", ("goes_unhealthy", {"after_s": -5}), ends="second"),
    row(
        L,
        "every instance turns unhealthy at once",
        settings={"goes_unhealthy_after": 0.0},
        ends="failed",
        says=BOTH,
    ),
    row(L, "taken away while it boots", ("preempted", {"after_s": -30}), ends="second"),
    row(
        L,
        "every instance is taken away at once",
        settings={"preempt_after": 0.0},
        ends="not_found",
        says=BOTH,
    ),
    row(L, "taken away by hand while it boots", meanwhile=(LIST, 4, _preempt), ends="second"),
    row(L, "terminated by hand while it boots", meanwhile=(LIST, 4, _terminate), ends="second"),
    row(L, "an unknown state for ever", "unknown_state", ends="second", says=("migrating",)),
    row(L, "active but unusable", "unusable", ends="second", says=("HTTP 500",)),
    row(L, "all active but unusable", always("unusable"), ends="deadline", says=BOTH),
    row(L, "the server answers 503 at first", times(5, "node_error", status=503)),
    row(L, "the server hangs at first", times(2, "node_hang")),
    row(L, "the server is slow", always("node_slow", seconds=4)),
    row(L, "the server cuts at first", times(3, "node_cut")),
    row(L, "serves two minutes after it is active", settings={"serving_after_s": 120.0}),
    row(L, "listed after 20 s", settings={"list_lag_s": 20.0}),
    row(L, "listed after 60 s", settings={"list_lag_s": 60.0}),
    row(L, "readable after 20 s", settings={"get_lag_s": 20.0, "list_lag_s": 20.0}),
    row(L, "named after 20 s", settings={"name_after_s": 20.0}),
    row(L, "named after 45 s", settings={"name_after_s": 45.0}),
    row(L, "500 after it was made, named after 20 s", "create_then_500", settings={"name_after_s": 20.0}),
    row(L, "500 after it was made, listed after 20 s", "create_then_500", settings={"list_lag_s": 20.0}),
    row(L, "500 after it was made, listed after 45 s", "create_then_500", settings={"list_lag_s": 45.0}),
    row(L, "its address comes late", settings={"ip_after_s": 200.0, "boot_s": 300.0}),
    row(
        L, "active without an address", spoils=[Spoil(LIST, _no_address, None, 2)], ends="deadline", says=BOTH
    ),
    row(
        L,
        "another GPU than asked for",
        spoils=[Spoil(LIST, _another, None, 2)],
        ends="failed",
        says=("the node has H100-PCIe, not A10",),
    ),
    row(L, "the cloud's clock is an hour ahead", settings={"clock_skew_s": 3600.0}),
    row(L, "every answer takes 12 s", settings={"latency_s": 12.0}),
    row(L, "the published pace", settings={"rate_limit": "published"}, says=()),
    row(
        L,
        "a third of the published pace",
        settings={"rate_limit": {"general": 3.0, "launch": 40.0}},
        ends="rate_limited",
        says=BOTH,
    ),
    row(
        L,
        "nobody is allowed in by the firewall",
        settings={"enforce_firewall": True},
        ends="deadline",
        says=BOTH,
    ),
    row(L, "a ruleset lets the port in", settings={"enforce_firewall": True}, process=OPEN),
    row(
        L,
        "the ruleset's making got no answer",
        ("error_after", {"method": "POST", "path": f"{API}/firewall-rulesets"}),
        process=OPEN,
    ),
    row(
        L,
        "rulesets can't be made",
        always("error", method="POST", path=f"{API}/firewall-rulesets"),
        process=OPEN,
        ends="ambiguous",
        says=BOTH,
    ),
    row(L, "^C while it launches", meanwhile=(LAUNCH, 1, _cancel), ends="cancelled"),
    row(L, "^C while the instance boots", meanwhile=(LIST, 4, _cancel), ends="cancelled"),
    row(L, "^C and no answer", "create_then_hang", meanwhile=(LAUNCH, 1, _cancel), ends="cancelled"),
]
ACCOUNTS = [
    row(L, "a bad key", account={"auth": "invalid"}, ends="auth", says=("API key",)),
    row(L, "an inactive account", account={"auth": "inactive"}, ends="billing", says=("inactive",)),
    row(L, "a bad billing address", account={"auth": "bad_address"}, ends="billing"),
    row(L, "a key that may only read", account={"auth": "forbidden"}, ends="permission", says=BOTH),
    row(L, "the quota is used up", account={"quota": 0}, ends="quota"),
    row(
        L,
        "key revoked while the instance boots",
        meanwhile=(LIST, 4, _revoke),
        ends="auth",
        kept=True,
    ),
    row(
        L, "too dear", request={"max_hourly_usd": 0.05}, ends="price_cap", says=("raise maxHourlyUsd", *BOTH)
    ),
    row(
        L,
        "dearer than it was offered",
        request={"max_hourly_usd": 1.5},
        settings={"prices": {"gpu_1x_a10": 900}},
        ends="second",
        says=("above maxHourlyUsd",),
    ),
    row(
        L,
        "the user's key is registered already",
        ("error_after", {"method": "POST", "path": f"{API}/ssh-keys"}),
        request={"template": WITH_KEY, "readiness": HEALTH},
    ),
    row(
        L,
        "keys can't be registered",
        always("error", method="POST", path=f"{API}/ssh-keys"),
        ends="ambiguous",
        says=BOTH,
    ),
]
READS = [
    any_call(L, "500", "list", 0, ends="circuit_open", says=("nothing was launched", "run again later")),
    any_call(L, "500", "list", 3),
    any_call(L, "500", "list", 9, 2),
    any_call(L, "cut before it has an effect", "list", 9, 2),
    any_call(L, "no answer, no effect", "list", 3, 2),
    any_call(L, "429 with Retry-After", "list", 9, 2),
    any_call(L, "502 as a web page", "list", 0, 2, ends="deadline"),
    any_call(L, "500", "types", 0, ends="transient", says=BOTH),
    any_call(L, "502 as a web page", "types", 4),
    row(L, "list: no JSON", spoils=[Spoil(LIST, b"<html>hello")], ends="unknown"),
    row(L, "list: another shape", spoils=[Spoil(LIST, b'{"data":{}}')], ends="unknown"),
    row(L, "list: broken while it boots", spoils=[Spoil(LIST, b"\xff\xfe", 2, 2)]),
    row(L, "types: no JSON", spoils=[Spoil(f"GET {API}/instance-types", b"[]")]),
    row(L, "launch: an answer without an id", spoils=[Spoil(LAUNCH, b'{"data":{"instance_ids":[]}}')]),
    row(L, "launch: an empty answer", spoils=[Spoil(LAUNCH, b"")]),
]
ENDS = [
    ending(L, "delete refused twice", times(2, "delete_refused")),
    ending(L, "delete always refused", always("delete_refused"), ends="validation"),
    ending(
        L,
        "delete: forbidden for ever",
        always("delete_refused", status=403, code="global/forbidden"),
        ends="permission",
    ),
    ending(
        L,
        "delete: conflict for ever",
        always("delete_refused", status=409, code="global/conflict"),
        ends="deadline",
    ),
    ending(L, "delete: 5xx but deleted", "delete_5xx_but_deleted"),
    ending(L, "delete: always 5xx but deleted", always("delete_5xx_but_deleted")),
    ending(L, "delete: unknown error the second time", always("terminate_twice_unknown_error")),
    ending(
        L,
        "delete: 5xx but deleted, then unknown error",
        "delete_5xx_but_deleted",
        settings={"terminate_twice_unknown_error": True},
    ),
    ending(L, "terminated but still listed", settings={"terminated_visible_s": 2000.0}, within_s=120),
    ending(L, "terminating for an hour", settings={"terminating_s": 3600.0}, within_s=400),
    ending(L, "a key that may only read", account={"auth": "forbidden"}, ends="permission"),
    ending(L, "a bad key", account={"auth": "invalid"}, ends="auth"),
    ending(L, "an inactive account", account={"auth": "inactive"}, ends="billing"),
    any_call(L, "500", "delete", 0, ends="deadline"),
    any_call(L, "cut before it has an effect", "delete", 9),
    any_call(L, "429 with Retry-After", "delete", 4),
    ending(L, "nothing can be listed", always("error", **GET), ends="deadline"),
    ending(
        L,
        "rulesets count as in use for a while",
        settings={"fs_in_use_lag_s": 100.0},
        process=OPEN,
    ),
    ending(
        L,
        "rulesets stay in use",
        settings={"fs_in_use_lag_s": 9000.0},
        process=OPEN,
        ends="conflict",
    ),
    any_call(L, "500", "delete key", 0, ends="ambiguous"),
    row(
        L,
        "stuck, and its delete is refused twice",
        "stuck_provisioning",
        times(2, "delete_refused"),
        ends="second",
    ),
    row(
        L,
        "stuck, and its delete is refused",
        "stuck_provisioning",
        always("delete_refused"),
        ends="deadline",
        kept=True,
        says=("not confirmed",),
    ),
]
ROWS = [*once(L), *LAUNCHES, *BOOTS, *ACCOUNTS, *READS, *ENDS]
