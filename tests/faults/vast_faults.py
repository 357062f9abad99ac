"""What can go wrong with Vast.ai's API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpu_clouds.models import CapacityType
from tests.faults.common import CALLS, always, any_call, ending, once, row, times
from tests.faults.fault import Spoil
from tests.faults.world import FIRST, SECOND, Process, World

V = "vast"
BASE = "/vast/api"
LIST, LAUNCH = f"GET {BASE}/v1/instances/", f"PUT {BASE}/v0/asks/*"
PUT = CALLS[V]["launch"]
GET = CALLS[V]["list"]
OFFERS = CALLS[V]["offers"]
BOTH = ("vast eu-central H100-PCIe x1", "vast eu-north RTX4090 x1")
SPOT = replace(FIRST[V], capacity=CapacityType.SPOT)
ANYWHERE = replace(SECOND[V], region="")
BID = replace(SPOT, bid_per_gpu_usd=1.2)
LOW_BID = replace(SPOT, bid_per_gpu_usd=0.2)


def _revoke(world: World, _process: Process) -> None:
    world.account(V, auth="none")


def _cancel(_world: World, process: Process) -> None:
    process.cancel.set()


def _destroy(world: World, _process: Process) -> None:
    for node in world.living(V):
        world.control(V, "POST", f"instances/{node}/destroy")


def _outbid(world: World, _process: Process) -> None:
    for node in world.living(V):
        world.control(V, "PATCH", f"instances/{node}", {"stopped": True})


def _dearer(world: World, _process: Process) -> None:
    world.change(V, prices={"H100 PCIE": 3.0})


def _another(body: Any) -> Any:
    for one in body["instances"]:
        one["gpu_name"] = "L40S"
    return body


def _fewer(body: Any) -> Any:
    for one in body["instances"]:
        one["num_gpus"] = 0
    return body


def _no_address(body: Any) -> Any:
    for one in body["instances"]:
        one["public_ipaddr"] = None
    return body


def _searched_before_each_launch(world: World) -> None:
    """What is slow comes before a launch is written down: how long that may take effect counts from then."""
    sent = [one["method"] for one in world.requests(V) if one["method"] in ("POST", "PUT")]
    assert sent == ["POST", "PUT", "POST", "PUT"], sent


LAUNCHES = [
    row(V, "500 after the instance was made", "create_then_500"),
    row(V, "no answer after the instance was made", "create_then_hang"),
    row(V, "both launches: 500 after the instance was made", times(2, "create_then_500")),
    row(V, "launch: 500 twice, no effect", times(2, "error", **PUT), ends="second"),
    row(V, "launch: no answer twice, no effect", times(2, "hang", **PUT), ends="second"),
    row(V, "launch: always 500, no effect", always("error", **PUT), ends="ambiguous", says=BOTH),
    row(V, "launch: always cut, no effect", always("cut", **PUT), ends="ambiguous", says=BOTH),
    row(V, "launch: an answer after 130 s, too late", ("slow", {"seconds": 130, **PUT})),
    row(V, "launch: 429 without Retry-After", ("rate_limited", PUT)),
    row(V, "launch: 429 three times", times(3, "rate_limited", **PUT), ends="second"),
    row(V, "launch: always 429", always("rate_limited", **PUT), ends="rate_limited", says=BOTH),
    row(V, "launch: 400", "create_refused", ends="second"),
    row(V, "launch: always 400", always("create_refused"), ends="validation", says=BOTH),
    row(V, "launch: 401", ("create_refused", {"status": 401}), ends="auth"),
    row(V, "launch: 403", ("create_refused", {"status": 403}), ends="second"),
    row(V, "launch: 404 of another kind", ("create_refused", {"status": 404}), ends="not_found"),
    row(V, "launch: 409", ("create_refused", {"status": 409}), ends="second"),
    row(V, "launch: 410", ("create_refused", {"status": 410}), ends="retired"),
    row(V, "launch: 422", ("create_refused", {"status": 422}), ends="validation"),
    row(V, "launch: 200 that says no", spoils=[Spoil(LAUNCH, b'{"success":false,"error":"x"}')]),
    row(V, "the offer is gone", "no_capacity", ends="second", within_s=90),
    row(
        V,
        "the first of two offers is gone",
        "no_capacity",
        candidates=(ANYWHERE, FIRST[V]),
        then=_searched_before_each_launch,
    ),
    row(V, "every offer is gone", always("no_capacity"), ends="capacity", says=("add candidates", *BOTH)),
    row(
        V,
        "offers are shown, and all are gone",
        settings={"listed_but_taken": True},
        ends="capacity",
        says=BOTH,
    ),
    row(V, "sold out", settings={"capacity": {"H100 PCIE|*": 0}}, ends="second", within_s=120),
    row(V, "everything sold out", settings={"capacity": {"*|*": 0}}, ends="capacity", says=BOTH),
    row(
        V,
        "the offers are gone for minutes, waited out",
        times(20, "no_capacity"),
        request={"wait_for_capacity_min": 20},
    ),
]
SPOTS = [
    row(V, "spot, at the least bid", candidates=(SPOT,)),
    row(V, "spot, at a bid of its own", candidates=(BID,)),
    row(V, "a bid below every least one", candidates=(LOW_BID, SECOND[V]), ends="second", within_s=120),
    row(
        V,
        "a bid is refused, and leaves a stopped instance",
        "bid_too_low",
        candidates=(SPOT, SECOND[V]),
        ends="second",
    ),
    row(V, "every bid is refused", always("bid_too_low"), candidates=(SPOT,), ends="capacity"),
    row(
        V,
        "a bid is refused, and what it leaves can't be ended at first",
        "bid_too_low",
        times(3, "error", **CALLS[V]["delete"]),
        candidates=(SPOT, SECOND[V]),
        ends="second",
    ),
    row(
        V,
        "a bid is refused, and what it leaves is refused an end",
        "bid_too_low",
        times(2, "delete_refused"),
        candidates=(SPOT, SECOND[V]),
        ends="second",
    ),
    row(
        V,
        "a bid is refused, and 500 comes of it",
        "bid_too_low",
        ("error_after", PUT),
        candidates=(SPOT, SECOND[V]),
        ends="second",
    ),
    row(V, "no answer to a bid", "create_then_hang", candidates=(SPOT,)),
    row(
        V, "outbid while it boots", meanwhile=(LIST, 3, _outbid), candidates=(SPOT, SECOND[V]), ends="second"
    ),
    ending(V, "outbid before its end", settings={"outbid_after_s": 0.0}, candidates=(SPOT,)),
    row(V, "spot above the cap", candidates=(BID,), request={"max_hourly_usd": 1.0}, ends="price_cap"),
]
BOOTS = [
    row(V, "stuck while it loads", "stuck_provisioning", ends="second", says=("not ready after 12",)),
    row(V, "always stuck", always("stuck_provisioning"), ends="deadline", says=BOTH),
    row(
        V,
        "stuck, own deadline",
        "stuck_provisioning",
        ends="second",
        request={"provision_deadline_s": 90.0},
        within_s=300,
    ),
    row(
        V,
        "stuck, and kept by wish",
        "stuck_provisioning",
        request={"keep_on_failure": True},
        ends="deadline",
        kept=True,
    ),
    row(V, "its container exits", "boot_fails", ends="second"),
    row(V, "every container exits", always("boot_fails"), ends="failed", says=BOTH),
    row(V, "an unknown state for ever", "unknown_state", ends="second", says=("migrating",)),
    row(
        V, "the host goes offline", ("unknown_state", {"status": "offline"}), ends="second", says=("offline",)
    ),
    row(V, "ready but unusable", "unusable", ends="second", says=("HTTP 500",)),
    row(V, "all ready but unusable", always("unusable"), ends="deadline", says=BOTH),
    row(V, "the server answers 503 at first", times(5, "node_error", status=503)),
    row(V, "the server hangs at first", times(2, "node_hang")),
    row(V, "the server is slow", always("node_slow", seconds=4)),
    row(V, "the server cuts at first", times(3, "node_cut")),
    row(V, "slow boot", settings={"ready_after_s": 900.0}),
    row(V, "no status for long", settings={"created_s": 100.0, "ready_after_s": 200.0}),
    row(V, "destroyed by hand while it boots", meanwhile=(LIST, 3, _destroy), ends="second"),
    row(V, "listed after 20 s", settings={"list_lag_s": 20.0}),
    row(V, "listed after 60 s", settings={"list_lag_s": 60.0}),
    row(V, "500 after it was made, listed after 10 s", "create_then_500", settings={"list_lag_s": 10.0}),
    row(V, "500 after it was made, listed after 45 s", "create_then_500", settings={"list_lag_s": 45.0}),
    row(V, "lists in pages of one", "create_then_500", settings={"page_size": 1}),
    row(
        V,
        "an unknown id gets 404",
        settings={"gone_answer": "404"},
        meanwhile=(LIST, 3, _destroy),
        ends="second",
    ),
    row(
        V,
        "running without an address",
        spoils=[Spoil(LIST, _no_address, None, 1)],
        ends="deadline",
        says=BOTH,
    ),
    row(
        V,
        "another GPU than asked for",
        spoils=[Spoil(LIST, _another, None, 1)],
        ends="failed",
        says=("the node has L40S, not H100-PCIe",),
    ),
    row(
        V,
        "fewer GPUs than asked for",
        spoils=[Spoil(LIST, _fewer, None, 1)],
        ends="failed",
        says=("0 GPU(s), not 1",),
    ),
    row(V, "the cloud's clock is an hour ahead", settings={"clock_skew_s": 3600.0}),
    row(V, "the cloud's clock is an hour behind", settings={"clock_skew_s": -3600.0}),
    row(V, "every answer takes 12 s", settings={"latency_s": 12.0}),
    row(V, "ten requests a minute", settings={"rate_limit": 10}),
    row(V, "^C while it launches", meanwhile=(LAUNCH, 1, _cancel), ends="cancelled"),
    row(V, "^C while the instance boots", meanwhile=(LIST, 3, _cancel), ends="cancelled"),
    row(V, "^C and no answer", "create_then_hang", meanwhile=(LAUNCH, 1, _cancel), ends="cancelled"),
]
ACCOUNTS = [
    row(V, "a bad key", account={"auth": "none"}, ends="auth", says=("check the key",)),
    row(V, "a key that may only read", account={"auth": "readonly"}, ends="permission", says=BOTH),
    row(V, "no credit", account={"credit": 0.0}, ends="billing"),
    row(V, "key revoked while the instance boots", meanwhile=(LIST, 3, _revoke), ends="auth", kept=True),
    row(
        V, "too dear", request={"max_hourly_usd": 0.05}, ends="price_cap", says=("raise maxHourlyUsd", *BOTH)
    ),
    row(
        V,
        "dearer than it was offered",
        request={"max_hourly_usd": 2.0},
        meanwhile=(LAUNCH, 1, _dearer),
        ends="second",
        says=("above maxHourlyUsd",),
    ),
]
READS = [
    any_call(V, "500", "list", 0, ends="circuit_open", says=("nothing was launched",)),
    any_call(V, "500", "list", 3),
    any_call(V, "500", "list", 9, 2),
    any_call(V, "cut before it has an effect", "list", 9, 2),
    any_call(V, "no answer, no effect", "list", 3, 2),
    any_call(V, "429 with Retry-After", "list", 9, 2),
    any_call(V, "502 as a web page", "list", 0, 2, ends="deadline"),
    any_call(V, "500", "offers", 0, ends="transient", says=BOTH),
    any_call(V, "429 with Retry-After", "offers", 2),
    row(V, "list: no JSON", spoils=[Spoil(LIST, b"<html>hello")], ends="unknown"),
    row(V, "list: another shape", spoils=[Spoil(LIST, b'{"instances":7}')], ends="unknown"),
    row(V, "list: broken while it boots", spoils=[Spoil(LIST, b"\xff\xfe", 2, 2)]),
    row(V, "list: 410", ("error", {"status": 410, **GET}), ends="retired"),
    row(V, "offers: another shape", spoils=[Spoil(f"POST {BASE}/v0/bundles/", b"[]")], ends="first"),
    row(V, "launch: an answer without an id", spoils=[Spoil(LAUNCH, b'{"success":true}')]),
    row(V, "launch: an empty answer", spoils=[Spoil(LAUNCH, b"")]),
]
ENDS = [
    ending(V, "delete refused twice", times(2, "delete_refused")),
    ending(V, "delete always refused", always("delete_refused"), ends="deadline", says=("is not gone",)),
    ending(V, "delete: 5xx but deleted", "delete_5xx_but_deleted"),
    ending(V, "delete: always 5xx but deleted", always("delete_5xx_but_deleted")),
    ending(V, "delete: 200 that says no", spoils=[Spoil(f"DELETE {BASE}/*", b'{"success":false}', 2)]),
    ending(V, "destroyed but still listed", settings={"destroyed_listed_s": 100.0}, within_s=300),
    ending(V, "a key that may only read", account={"auth": "readonly"}, ends="permission"),
    ending(V, "a bad key", account={"auth": "none"}, ends="auth"),
    any_call(V, "500", "delete", 0, ends="deadline"),
    any_call(V, "cut before it has an effect", "delete", 9),
    any_call(V, "429 with Retry-After", "delete", 4),
    ending(V, "nothing can be listed", always("error", **GET), ends="deadline"),
    row(
        V,
        "stuck, and its delete is refused twice",
        "stuck_provisioning",
        times(2, "delete_refused"),
        ends="second",
    ),
    row(
        V,
        "stuck, and its delete is refused",
        "stuck_provisioning",
        always("delete_refused"),
        ends="deadline",
        kept=True,
        says=("not confirmed",),
    ),
]
ROWS = [*once(V), *LAUNCHES, *SPOTS, *BOOTS, *ACCOUNTS, *READS, *ENDS]
