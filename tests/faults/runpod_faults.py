"""What can go wrong with RunPod's REST API v2."""

from __future__ import annotations

from typing import Any

from tests.faults.common import always, any_call, ending, once, row, times
from tests.faults.fault import Spoil
from tests.faults.world import Process, World

R = "runpod"
H100, RTX4090 = "NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 4090"
LIST, LAUNCH, ONE, DELETE = "GET /v2/pods", "POST /v2/pods", "GET /v2/pods/*", "DELETE /v2/pods/*"
BOTH = ("runpod US-CA-2 H100-SXM x1", "runpod EU-RO-1 RTX4090 x1")
POST = {"method": "POST", "path": "/v2/pods"}
GET = {"method": "GET", "path": "/v2/pods"}


def _revoke(world: World, _process: Process) -> None:
    world.account(R, auth="none")


def _cancel(_world: World, process: Process) -> None:
    process.cancel.set()


def _dearer(world: World, _process: Process) -> None:
    world.change(R, prices={H100: {"SECURE": 9.0}})


def _terminate(world: World, _process: Process) -> None:
    for node in world.living(R):
        world.control(R, "POST", f"pods/{node}/terminate")


def _crash(world: World, _process: Process) -> None:
    for node in world.living(R):
        world.control(R, "POST", f"pods/{node}/crash", {"phase": "EXITED"})


def _fewer(body: Any) -> Any:
    for pod in body["pods"]:
        pod["gpu"]["count"] = 0
    return body


def _another(body: Any) -> Any:
    for pod in body["pods"]:
        pod["gpu"]["id"] = "NVIDIA RTX A4000"
    return body


LAUNCHES = [
    row(R, "500 after the pod was made", "create_then_500"),
    row(R, "no answer after the pod was made", "create_then_hang"),
    row(R, "both launches: 500 after the pod was made", times(2, "create_then_500")),
    row(R, "launch: 500 twice, no effect", times(2, "error", **POST), ends="second"),
    row(R, "launch: no answer twice, no effect", times(2, "hang", **POST), ends="second"),
    row(R, "launch: always 500, no effect", always("error", **POST), ends="ambiguous", says=BOTH),
    row(R, "launch: always cut, no effect", always("cut", **POST), ends="ambiguous", says=BOTH),
    row(R, "launch: Cloudflare's page", ("cloudflare_403_html", POST)),
    row(R, "launch: always Cloudflare's page", always("cloudflare_403_html", **POST), ends="transient"),
    row(R, "launch: an answer after 200 s, too late", ("slow", {"seconds": 130, **POST})),
    row(R, "launch: 429 three times", times(3, "rate_limited", retry_after_s=5, **POST), ends="second"),
    row(R, "launch: always 429", always("rate_limited", retry_after_s=30, **POST), ends="rate_limited"),
    row(R, "launch: 408", ("error", {"status": 408, **POST})),
    row(R, "launch: 400 by a broken backend", "create_refused", ends="second"),
    row(
        R,
        "launch: always 400 by a broken backend",
        always("create_refused"),
        ends="validation",
        says=("a bad request or a broken backend", *BOTH),
    ),
    row(R, "launch: 401", ("create_refused", {"status": 401, "detail": "invalid bearer token"}), ends="auth"),
    row(R, "launch: 402", ("create_refused", {"status": 402, "detail": "no credit"}), ends="billing"),
    row(R, "launch: 403", ("create_refused", {"status": 403, "detail": "access denied"}), ends="second"),
    row(R, "launch: 404", ("create_refused", {"status": 404, "detail": "no template"}), ends="not_found"),
    row(R, "launch: 405", ("create_refused", {"status": 405, "detail": "no such method"})),
    row(R, "launch: 409", ("create_refused", {"status": 409, "detail": "name taken"}), ends="second"),
    row(R, "launch: 410", ("create_refused", {"status": 410, "detail": "retired"}), ends="retired"),
    row(R, "launch: 418", ("create_refused", {"status": 418, "detail": "teapot"})),
    row(R, "launch: 422", ("create_refused", {"status": 422, "detail": "image?"}), ends="validation"),
    row(
        R, "launch: spend limit in a 400", ("create_refused", {"detail": "spend limit reached"}), ends="quota"
    ),
    row(R, "one pool refuses", "pool_refused", ends="second"),
    row(R, "every pool refuses", always("pool_refused"), ends="permission", says=BOTH),
    row(R, "no capacity, once", "no_capacity", ends="second", within_s=60),
    row(R, "no capacity anywhere", always("no_capacity"), ends="capacity", says=("add candidates", *BOTH)),
    row(R, "sold out by the catalogue", settings={"capacity": {f"{H100}|US-CA-2": 0}}, ends="second"),
    row(R, "everything sold out", settings={"capacity": {"*|*": 0}}, ends="capacity", says=BOTH),
    row(R, "listed but refused", settings={"listed_but_refused": 1.0}, ends="capacity", says=BOTH),
    row(
        R,
        "sold out for five minutes, waited out",
        times(20, "no_capacity"),
        request={"wait_for_capacity_min": 20},
    ),
]
BOOTS = [
    row(R, "stuck in provisioning", "stuck_provisioning", ends="second", says=("not ready after 9",)),
    row(R, "always stuck", always("stuck_provisioning"), ends="deadline", says=BOTH),
    row(
        R,
        "stuck, own deadline",
        "stuck_provisioning",
        ends="second",
        request={"provision_deadline_s": 60.0},
        within_s=200,
    ),
    row(
        R,
        "stuck, and kept by wish",
        "stuck_provisioning",
        request={"keep_on_failure": True},
        ends="deadline",
        kept=True,
        says=("keepOnFailure",),
    ),
    row(R, "boot fails", "boot_fails", ends="second"),
    row(R, "every boot fails", always("boot_fails"), ends="failed", says=BOTH),
    row(R, "exits before it is ready", ("exits", {"after_s": -10}), ends="second"),
    row(R, "crashes while it boots", meanwhile=(LIST, 3, _crash), ends="second"),
    row(R, "an unknown state for ever", "unknown_state", ends="second", says=("MIGRATING",)),
    row(R, "ready but unusable", "unusable", ends="second", says=("HTTP 500",)),
    row(R, "all ready but unusable", always("unusable"), ends="deadline", says=BOTH),
    row(R, "the server answers 503 at first", times(5, "node_error", status=503)),
    row(R, "the server hangs at first", times(2, "node_hang")),
    row(R, "the server is slow", always("node_slow", seconds=4)),
    row(R, "the server cuts at first", times(3, "node_cut")),
    row(R, "slow boot", settings={"ready_after_s": 600.0}),
    row(R, "boots of very different length", settings={"ready_spread_s": 700.0}),
    row(R, "a new pod is listed after 20 s", settings={"list_lag_s": 20.0}),
    row(R, "a new pod is listed after 60 s", settings={"list_lag_s": 60.0}),
    row(R, "500 after it was made, listed after 10 s", "create_then_500", settings={"list_lag_s": 10.0}),
    row(R, "500 after it was made, listed after 45 s", "create_then_500", settings={"list_lag_s": 45.0}),
    row(R, "the cloud's clock is an hour ahead", settings={"clock_skew_s": 3600.0}),
    row(R, "the cloud's clock is an hour behind", settings={"clock_skew_s": -3600.0}),
    row(R, "lists in pages of one", "create_then_500", settings={"pagination": True, "page_size": 1}),
    row(R, "every answer takes 12 s", settings={"latency_s": 12.0}),
    row(R, "mode as specified", settings={"mode": "specified"}),
    row(R, "the published limits", settings={"rate_limit": "published"}),
    row(R, "three requests a minute", settings={"rate_limit": {"minute": 3}}),
    row(
        R,
        "two requests an hour",
        settings={"rate_limit": {"hour": 2}},
        ends="rate_limited",
        says=("used up; it frees in", *BOTH),
    ),
    row(
        R,
        "three requests an hour",
        settings={"rate_limit": {"hour": 3}},
        ends="deadline",
        kept=True,
        says=("used up; it frees in",),
    ),
    row(
        R,
        "fewer GPUs than asked for",
        spoils=[Spoil(LIST, _fewer, None, 1)],
        ends="failed",
        says=("0 GPU(s), not 1",),
    ),
    row(
        R,
        "another GPU than asked for",
        spoils=[Spoil(LIST, _another, None, 1)],
        ends="failed",
        says=("the node has RTX-A4000, not H100-SXM",),
    ),
    row(R, "^C while it launches", meanwhile=(LAUNCH, 1, _cancel), ends="cancelled"),
    row(R, "^C while the node boots", meanwhile=(LIST, 3, _cancel), ends="cancelled"),
    row(R, "terminated while it boots", meanwhile=(LIST, 3, _terminate), ends="second"),
    row(R, "^C and no answer", "create_then_hang", meanwhile=(LAUNCH, 1, _cancel), ends="cancelled"),
]
ACCOUNTS = [
    row(R, "a bad key", account={"auth": "none"}, ends="auth", says=("check the key",)),
    row(R, "a key that may only read", account={"auth": "readonly"}, ends="permission", says=BOTH),
    row(R, "no balance", account={"balance": 0.0}, ends="billing"),
    row(R, "spend limit", account={"spend_limit": 0.1}, ends="quota"),
    row(
        R,
        "key revoked while the node boots",
        meanwhile=(LIST, 3, _revoke),
        ends="auth",
        kept=True,
        settings={"ready_after_s": 100.0},
    ),
    row(
        R, "too dear", request={"max_hourly_usd": 0.05}, ends="price_cap", says=("raise maxHourlyUsd", *BOTH)
    ),
    row(
        R,
        "dearer than it was offered",
        request={"max_hourly_usd": 4.0},
        meanwhile=(LAUNCH, 1, _dearer),
        ends="second",
        says=("above maxHourlyUsd",),
    ),
]
READS = [
    any_call(R, "500", "list", 0, ends="circuit_open", says=("nothing was launched",)),
    any_call(R, "500", "list", 3),
    any_call(R, "no answer, no effect", "list", 0, ends="circuit_open", says=("nothing was launched",)),
    any_call(R, "500", "list", 9, 1, ends="circuit_open", says=("nothing was launched",)),
    any_call(R, "500", "list", 9, 2),
    any_call(R, "cut before it has an effect", "list", 9, 2),
    any_call(R, "no answer, no effect", "list", 3, 2),
    any_call(R, "429 with Retry-After", "list", 9, 2),
    any_call(R, "502 as a web page", "list", 0, 2, ends="deadline"),
    row(R, "list: Cloudflare's page", ("cloudflare_403_html", GET)),
    row(R, "list: no JSON", spoils=[Spoil(LIST, b"<html>hello")], ends="unknown"),
    row(R, "list: half of the JSON", spoils=[Spoil(LIST, b'{"pods":[{"id":')], ends="unknown"),
    row(R, "list: another shape", spoils=[Spoil(LIST, b'{"pods":7}')], ends="unknown"),
    row(R, "list: broken while it boots", spoils=[Spoil(LIST, b"\xff\xfe", 2, 2)]),
    row(R, "list: broken for ever while it boots", spoils=[Spoil(LIST, b"[7]", None, 2)], ends="unknown"),
    row(R, "list: 410", ("error", {"status": 410, **GET}), ends="retired"),
    row(R, "list: redirected", ("error", {"status": 302, **GET}), ends="unknown", says=("redirects",)),
    row(R, "launch: an answer without an id", spoils=[Spoil(LAUNCH, b"{}")]),
    row(R, "launch: an empty answer", spoils=[Spoil(LAUNCH, b"")]),
]
ENDS = [
    ending(R, "delete refused twice", times(2, "delete_refused")),
    ending(R, "delete always refused", always("delete_refused"), ends="deadline", says=("is not gone",)),
    ending(R, "delete: 5xx but deleted", "delete_5xx_but_deleted"),
    ending(R, "delete: always 5xx but deleted", always("delete_5xx_but_deleted")),
    ending(R, "delete: 401 for ever", always("delete_refused", status=401), ends="auth"),
    ending(R, "delete: 403 twice", times(2, "delete_refused", status=403)),
    ending(R, "delete: 410 for ever", always("delete_refused", status=410), ends="retired"),
    ending(R, "terminated but still listed", settings={"terminated_listed_s": 400.0}, within_s=60),
    ending(R, "a key that may only read", account={"auth": "readonly"}, ends="permission"),
    ending(R, "a bad key", account={"auth": "none"}, ends="auth"),
    any_call(R, "500", "delete", 0, ends="deadline"),
    any_call(R, "cut before it has an effect", "delete", 9),
    any_call(R, "429 with Retry-After", "delete", 4),
    ending(R, "nothing can be listed", always("error", **GET), ends="deadline"),
    row(
        R,
        "stuck, and its delete is refused twice",
        "stuck_provisioning",
        times(2, "delete_refused"),
        ends="second",
    ),
    row(
        R,
        "stuck, and its delete is refused",
        "stuck_provisioning",
        always("delete_refused"),
        ends="deadline",
        kept=True,
        says=("not confirmed",),
    ),
]
ROWS = [*once(R), *LAUNCHES, *BOOTS, *ACCOUNTS, *READS, *ENDS]
