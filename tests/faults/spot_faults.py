"""What can go wrong with spot nodes of RunPod, which its old GraphQL API launches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.faults.common import Trouble, always, row, times
from tests.faults.fault import Fault, Spoil
from tests.faults.world import SECOND, SPOT, Process, World

R = "runpod"
POST = {"method": "POST", "path": "/graphql"}
CALL = "POST /graphql"
FALLBACK = replace(SPOT, region="US-CA-2", gpu="H100-SXM")
BOTH = ("runpod EU-RO-1 RTX4090 x1 spot", "runpod US-CA-2 H100-SXM x1 spot")


def _reclaim(world: World, _process: Process) -> None:
    for node in world.living(R):
        world.control(R, "POST", f"pods/{node}/reclaim", {"gone": False})


def _reclaim_gone(world: World, _process: Process) -> None:
    for node in world.living(R):
        world.control(R, "POST", f"pods/{node}/reclaim", {"gone": True})


def _no_price(_body: Any) -> Any:
    return {"data": {"gpuTypes": []}}


def spot(name: str, *faults: str | Trouble, **more: Any) -> Fault:
    """A row of a spot node with another one to fall back to."""
    process = {"features": ("graphql",), **more.pop("process", {})}
    candidates = more.pop("candidates", (SPOT, FALLBACK))
    return row(R, f"spot: {name}", *faults, candidates=candidates, process=process, **more)


ROWS = [
    spot("500 after the pod was made", "create_then_500"),
    spot("no answer after the pod was made", "create_then_hang"),
    spot("both launches: 500 after the pod was made", times(2, "create_then_500")),
    spot("cut after the pod was made", ("cut_after", {"skip": 1, **POST})),
    spot("price: 500", ("error", POST)),
    spot("price: always 500", always("error", **POST), ends="circuit_open", says=BOTH),
    spot("launch: 500, no effect", ("error", {"skip": 1, **POST})),
    spot("launch: 502 as a web page", ("html_error_page", {"skip": 1, **POST})),
    spot("launch: no answer, no effect", ("hang", {"skip": 1, **POST})),
    spot("launch: 429", ("rate_limited", {"skip": 1, **POST})),
    spot("launch: 429 for ever", always("rate_limited", skip=1, **POST), ends="rate_limited", says=BOTH),
    spot("launch: internal error of GraphQL", ("graphql_internal_error", {"skip": 1})),
    spot("price: internal error of GraphQL", "graphql_internal_error"),
    spot(
        "always an internal error of GraphQL", always("graphql_internal_error"), ends="transient", says=BOTH
    ),
    spot("launch: refused", "create_refused", ends="second"),
    spot("launch: always refused", always("create_refused"), ends="validation", says=BOTH),
    spot("no capacity, once", "no_capacity", ends="second", within_s=60),
    spot("no capacity anywhere", always("no_capacity"), ends="capacity", says=("add candidates", *BOTH)),
    spot("everything sold out", settings={"capacity": {"*|*": 0}}, ends="capacity", says=BOTH),
    spot(
        "nothing as spot, but on demand",
        always("no_capacity", path="/graphql"),
        candidates=(SPOT, SECOND[R]),
        ends="second",
    ),
    spot("no price is told", spoils=[Spoil(CALL, _no_price)], ends="second", says=("no minimum bid",)),
    spot("the bid is too low", candidates=(replace(SPOT, bid_per_gpu_usd=0.01), FALLBACK), ends="second"),
    spot("the least bid is above the cap", request={"max_hourly_usd": 0.01}, ends="price_cap", says=BOTH),
    spot(
        "the least bid has tripled",
        settings={"spot_price_factor": 3.0},
        request={"max_hourly_usd": 0.5},
        ends="price_cap",
        says=("raise maxHourlyUsd",),
    ),
    spot("the old API has been switched off", settings={"graphql_retired": True}, ends="retired"),
    spot("no balance", account={"balance": 0.0}, ends="billing"),
    spot("spend limit", account={"spend_limit": 0.0}, ends="quota"),
    spot("a key that may only read", account={"auth": "readonly"}, ends="permission", says=BOTH),
    spot("a bad key", account={"auth": "none"}, ends="auth"),
    spot("taken back while it boots", meanwhile=("GET /v2/pods", 3, _reclaim), ends="second"),
    spot("taken back for good while it boots", meanwhile=("GET /v2/pods", 3, _reclaim_gone), ends="second"),
    spot(
        "every pod is taken back after 5 s", settings={"spot_reclaim_after_s": 5.0}, ends="failed", says=BOTH
    ),
    spot(
        "every pod vanishes after 5 s",
        settings={"spot_reclaim_after_s": 5.0, "spot_reclaim_gone": True},
        ends="not_found",
        says=BOTH,
    ),
    spot("stuck in provisioning", "stuck_provisioning", ends="second"),
    spot(
        "stuck, and its delete is refused",
        "stuck_provisioning",
        always("delete_refused"),
        ends="deadline",
        kept=True,
        says=("not confirmed",),
    ),
    spot("listed after 20 s", settings={"list_lag_s": 20.0}),
    spot(
        "launch: an answer without an id", spoils=[Spoil(CALL, b'{"data":{"podRentInterruptable":{}}}', 1, 1)]
    ),
    spot("launch: no JSON", spoils=[Spoil(CALL, b"<html>", 1, 1)]),
]
