"""What can go wrong with Paperspace's API v1."""

from __future__ import annotations

from typing import Any

from tests.faults.common import CALLS, always, any_call, ending, once, row, times
from tests.faults.fault import Spoil
from tests.faults.world import ACCOUNT, Process, World

P = "paperspace"
BASE = "/paperspace/v1"
LIST, LAUNCH = f"GET {BASE}/machines", f"POST {BASE}/machines"
POST = {"method": "POST", "path": "/machines"}
GET = {"method": "GET", "path": "/machines"}
SCRIPTS = {"method": "GET", "path": "/startup-scripts"}
BOTH = ("paperspace us-east A100-80GB-SXM x1", "paperspace RTX-A4000 x1")
ALWAYS_FREE = {"availability_lies": True}


def _revoke(world: World, _process: Process) -> None:
    world.account(P, auth="none")


def _cancel(_world: World, process: Process) -> None:
    process.cancel.set()


def _delete(world: World, _process: Process) -> None:
    for node in world.living(P):
        world.control(P, "POST", f"machines/{node}/delete")


def _stop(world: World, _process: Process) -> None:
    for node in world.living(P):
        world.control(P, "POST", f"machines/{node}/stop")


def _no_address(body: Any) -> Any:
    for machine in body["items"]:
        machine["publicIp"] = None
    return body


def _another(body: Any) -> Any:
    for machine in body["items"]:
        machine["machineType"] = "V100"
        machine["accelerators"] = [{"name": "Tesla V100-SXM2-16GB", "memory": 16 << 30, "count": 1}]
    return body


def _with_snapshot(world: World, _process: Process) -> None:
    """Somebody has made a snapshot and an address for the machine."""
    objects = world.net.emulators.paperspace.fleet.objects
    for node in world.living(P):
        objects.add("snapshots", ACCOUNT, {"name": "by hand", "machineId": node, "created_at": 0.0})
        objects.add(
            "public-ips", ACCOUNT, {"region": "ny2", "machineId": node, "created_at": 0.0}, "127.99.0.1"
        )


def _sold_out(form: str) -> dict[str, Any]:
    return {"capacity": {"*|*": 0}, "capacity_failure": form, **ALWAYS_FREE}


LAUNCHES = [
    row(P, "500 after the machine was made", "create_then_500"),
    row(P, "no answer after the machine was made", "create_then_hang"),
    row(P, "both launches: 500 after the machine was made", times(2, "create_then_500")),
    row(P, "launch: 500 twice, no effect", times(2, "error", **POST), ends="second"),
    row(P, "launch: no answer twice, no effect", times(2, "hang", **POST), ends="second"),
    row(P, "launch: always 500, no effect", always("error", **POST), ends="ambiguous", says=BOTH),
    row(P, "launch: an answer after 130 s, too late", ("slow", {"seconds": 130, **POST})),
    row(P, "launch: 429 without Retry-After", ("rate_limited", POST)),
    row(P, "launch: 429 three times", times(3, "rate_limited", **POST), ends="second"),
    row(P, "launch: always 429", always("rate_limited", **POST), ends="rate_limited", says=BOTH),
    row(
        P,
        "launch: 200 with CONFLICT in it",
        ("ok_body_with_error_code", {"status": 409, **POST}),
        ends="second",
    ),
    row(
        P,
        "launch: 200 with UNAUTHORIZED in it",
        ("ok_body_with_error_code", {"status": 401, **POST}),
        ends="auth",
    ),
    row(P, "launch: 400", "create_refused", ends="second"),
    row(
        P,
        "launch: always 400",
        always("create_refused"),
        ends="validation",
        says=("a bad request or a broken backend", *BOTH),
    ),
    row(P, "launch: 401", ("create_refused", {"status": 401}), ends="auth"),
    row(P, "launch: 403", ("create_refused", {"status": 403}), ends="second"),
    row(
        P,
        "launch: 403 for the quota",
        ("create_refused", {"status": 403, "message": "quota exceeded"}),
        ends="quota",
    ),
    row(
        P,
        "launch: 403 for the bill",
        ("create_refused", {"status": 403, "message": "payment past due"}),
        ends="billing",
    ),
    row(P, "launch: 404", ("create_refused", {"status": 404}), ends="not_found"),
    row(P, "launch: 405", ("create_refused", {"status": 405})),
    row(P, "launch: 409", ("create_refused", {"status": 409}), ends="second"),
    row(P, "launch: 410", ("create_refused", {"status": 410}), ends="retired"),
    row(P, "launch: 412", ("create_refused", {"status": 412}), ends="second"),
    row(P, "launch: 413", ("create_refused", {"status": 413}), ends="validation"),
    row(P, "launch: 499", ("create_refused", {"status": 499})),
    *(
        row(P, f"no capacity, once, {form}", ("no_capacity", {"failure": form}), ends="second", within_s=400)
        for form in ("event_error", "silent_off", "refused")
    ),
    *(
        row(
            P,
            f"no capacity anywhere, {form}",
            always("no_capacity", failure=form),
            ends="capacity",
            says=("add candidates", *BOTH),
        )
        for form in ("event_error", "silent_off", "refused")
    ),
    *(
        row(P, f"everything sold out, {form}", settings=_sold_out(form), ends="capacity", says=BOTH)
        for form in ("event_error", "silent_off")
    ),
    row(
        P,
        "sold out, and the API says so",
        settings={"capacity": {"A100-80G|*": 0}},
        ends="second",
        within_s=200,
    ),
    row(
        P,
        "everything sold out, and the API says so",
        settings={"capacity": {"*|*": 0}},
        ends="capacity",
        says=BOTH,
    ),
    row(P, "what is free can't be asked", settings={"availability_missing": True}),
    row(
        P,
        "what is free can't be asked, and nothing is",
        settings={**_sold_out("event_error"), "availability_missing": True},
        ends="capacity",
        says=BOTH,
    ),
    row(
        P,
        "sold out for minutes, waited out",
        times(10, "no_capacity"),
        request={"wait_for_capacity_min": 40},
    ),
    row(
        P,
        "the capacity failure shows after 10 min",
        settings={**_sold_out("event_error"), "capacity_fails_after_s": 600.0},
        ends="capacity",
    ),
]
BOOTS = [
    row(P, "stuck in provisioning", "provision_forever", ends="second", says=("not ready after 12",)),
    row(P, "always stuck", always("provision_forever"), ends="deadline", says=BOTH),
    row(P, "everything is stuck", settings={"provision_forever": True}, ends="deadline", says=BOTH),
    row(
        P,
        "stuck, and kept by wish",
        "provision_forever",
        request={"keep_on_failure": True},
        ends="deadline",
        kept=True,
    ),
    row(
        P,
        "stuck, and can't be deleted before it is ready",
        "provision_forever",
        settings={"delete_while_provisioning": False},
        ends="deadline",
        kept=True,
        says=("not confirmed",),
    ),
    row(P, "events stay new for long", settings={"event_start_s": 100.0}),
    row(P, "events can't be read", always("error", **CALLS[P]["events"])),
    row(P, "an unknown state for ever", "unknown_state", ends="second", says=("hibernating",)),
    row(P, "ready but unusable", "unusable", ends="second", says=("HTTP 500",)),
    row(P, "all ready but unusable", always("unusable"), ends="deadline", says=BOTH),
    row(P, "the server answers 503 at first", times(5, "node_error", status=503)),
    row(P, "the server hangs at first", times(2, "node_hang")),
    row(P, "the server is slow", always("node_slow", seconds=4)),
    row(P, "the server cuts at first", times(3, "node_cut")),
    row(P, "slow boot", settings={"provision_s": 600.0, "starting_s": 200.0}),
    row(P, "deleted by hand while it boots", meanwhile=(LIST, 6, _delete), ends="second"),
    row(P, "listed after 20 s", settings={"list_lag_s": 20.0}),
    row(P, "listed after 60 s", settings={"list_lag_s": 60.0}),
    row(P, "500 after it was made, listed after 20 s", "create_then_500", settings={"list_lag_s": 20.0}),
    row(P, "500 after it was made, listed after 45 s", "create_then_500", settings={"list_lag_s": 45.0}),
    row(P, "regions in their long style", settings={"region_style": "long"}),
    row(P, "lists in pages of one", "create_then_500", settings={"page_size": 1}),
    row(P, "scripts do not show their machines", "create_then_500", settings={"script_assignment": False}),
    row(
        P, "ready without an address", spoils=[Spoil(LIST, _no_address, None, 2)], ends="deadline", says=BOTH
    ),
    row(
        P,
        "another GPU than asked for",
        spoils=[Spoil(LIST, _another, None, 2)],
        ends="failed",
        says=("the node has V100-16GB, not A100-80GB-SXM",),
    ),
    row(P, "the cloud's clock is an hour ahead", settings={"clock_skew_s": 3600.0}),
    row(P, "the cloud's clock is an hour behind", settings={"clock_skew_s": -3600.0}),
    row(P, "every answer takes 12 s", settings={"latency_s": 12.0}),
    row(P, "twenty requests a minute, with Retry-After", settings={"rate_limit": 20, "retry_after": True}),
    row(P, "twenty requests a minute, without", settings={"rate_limit": 20}),
    row(P, "^C while it launches", meanwhile=(LAUNCH, 1, _cancel), ends="cancelled"),
    row(P, "^C while the machine boots", meanwhile=(LIST, 6, _cancel), ends="cancelled"),
    row(P, "^C and no answer", "create_then_hang", meanwhile=(LAUNCH, 1, _cancel), ends="cancelled"),
]
ACCOUNTS = [
    row(P, "a bad key", account={"auth": "none"}, ends="auth"),
    row(P, "a key that may only read", account={"auth": "readonly"}, ends="permission", says=BOTH),
    row(P, "the team's limit of machines", account={"max_machines": 0}, ends="quota"),
    row(P, "an unpaid bill", account={"good_standing": False}, ends="billing"),
    row(P, "key revoked while the machine boots", meanwhile=(LIST, 6, _revoke), ends="auth", kept=True),
    row(
        P, "too dear", request={"max_hourly_usd": 0.05}, ends="price_cap", says=("raise maxHourlyUsd", *BOTH)
    ),
    row(
        P,
        "dearer than its list price",
        request={"max_hourly_usd": 4.0},
        settings={"prices": {"A100-80G": 9.0}},
        ends="second",
        says=("above maxHourlyUsd",),
    ),
]
READS = [
    any_call(P, "500", "list", 0, ends="circuit_open", says=("nothing was launched", "run again later")),
    any_call(P, "500", "list", 3),
    any_call(P, "500", "list", 9, 4),
    any_call(P, "cut before it has an effect", "list", 9, 4),
    any_call(P, "no answer, no effect", "list", 3, 4),
    any_call(P, "429 with Retry-After", "list", 9, 4),
    any_call(P, "502 as a web page", "list", 0, 6, ends="deadline"),
    any_call(P, "500", "images", 4),
    any_call(P, "500", "new script", 0, ends="transient", says=BOTH),
    any_call(P, "429 with Retry-After", "new script", 2),
    *(
        row(P, f"{call}: 200 with an error in it", ("ok_body_with_error_code", hits))
        for call, hits in CALLS[P].items()
        if not call.startswith("delete")
    ),
    row(
        P,
        "scripts can't be listed",
        always("error", **SCRIPTS),
        ends="transient",
        says=("nothing was launched",),
    ),
    row(P, "list: no JSON", spoils=[Spoil(LIST, b"<html>hello")], ends="unknown"),
    row(P, "list: another shape", spoils=[Spoil(LIST, b'{"items":{}}')], ends="unknown"),
    row(P, "list: broken while it boots", spoils=[Spoil(LIST, b"\xff\xfe", 2, 5)]),
    row(P, "launch: an answer without an id", spoils=[Spoil(LAUNCH, b'{"data":{}}')]),
    row(P, "launch: an empty answer", spoils=[Spoil(LAUNCH, b"")]),
    row(P, "script: an empty answer", spoils=[Spoil(f"POST {BASE}/startup-scripts", b"")]),
]
ENDS = [
    ending(P, "delete refused twice", times(2, "delete_refused")),
    ending(P, "delete always refused", always("delete_refused"), ends="deadline", says=("is not gone",)),
    ending(P, "delete: 5xx but deleted", "delete_5xx_but_deleted"),
    ending(P, "delete: always 5xx but deleted", always("delete_5xx_but_deleted")),
    ending(P, "delete: 200 with an error in it", ("ok_body_with_error_code", CALLS[P]["delete"])),
    ending(P, "deleted but still shown", settings={"deleted_visible_s": 2000.0}, within_s=300),
    ending(P, "takes three minutes to go", settings={"delete_s": 180.0}, within_s=900),
    ending(P, "a key that may only read", account={"auth": "readonly"}, ends="permission"),
    ending(P, "a bad key", account={"auth": "none"}, ends="auth"),
    any_call(P, "500", "delete", 0, ends="deadline"),
    any_call(P, "cut before it has an effect", "delete", 9),
    any_call(P, "429 with Retry-After", "delete", 4),
    any_call(P, "500", "delete script", 0, ends="deadline"),
    any_call(P, "500", "delete script", 5),
    ending(P, "nothing can be listed", always("error", **GET), ends="deadline"),
    ending(P, "scripts can't be listed", always("error", **SCRIPTS), ends="deadline"),
    row(
        P,
        "stuck, and its delete is refused twice",
        "provision_forever",
        times(2, "delete_refused"),
        ends="second",
    ),
    row(
        P,
        "stuck, and its delete is refused",
        "provision_forever",
        always("delete_refused"),
        ends="deadline",
        kept=True,
        says=("not confirmed",),
    ),
    row(
        P,
        "no capacity, with a snapshot and an address made by hand",
        ("no_capacity", {"failure": "silent_off"}),
        meanwhile=(LIST, 6, _with_snapshot),
        ends="second",
    ),
    row(P, "stopped by hand while it boots", meanwhile=(LIST, 6, _stop), ends="second"),
]
ROWS = [*once(P), *LAUNCHES, *BOOTS, *ACCOUNTS, *READS, *ENDS]
