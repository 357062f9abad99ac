"""The SkyPilot client against what the real server has answered, call by call."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import SkyPilotConnection
from gpu_clouds.skypilot.errors import (
    ApiError,
    RequestCancelledError,
    RequestFailedError,
    RequestLostError,
    VersionMismatchError,
    as_cloud_error,
)
from gpu_clouds.skypilot.models import Refresh
from tests.contract_client.skypilot_recordings import Recorded, Replay, load
from tests.unit.gpu_clouds.harness import FakeClock

RECORDED = load()
TOKENS = "/users/service-account-tokens"

Body = dict[str, Any]
Ask = Callable[[SkyPilotClient, Body], Any]

ASK: dict[str, Ask] = {
    "POST /launch": lambda c, b: c.launch(
        b["task"], b["cluster_name"], dryrun=b.get("dryrun", False)
    ).result(),
    "POST /exec": lambda c, b: c.exec(b["task"], b["cluster_name"]).result(),
    "POST /status": lambda c, b: c.status(b.get("cluster_names"), refresh=Refresh(b.get("refresh", "NONE"))),
    "POST /start": lambda c, b: c.start(b["cluster_name"]).result(),
    "POST /stop": lambda c, b: c.stop(b["cluster_name"]).result(),
    "POST /down": lambda c, b: c.down(b["cluster_name"]).result(),
    "POST /autostop": lambda c, b: c.autostop(b["cluster_name"], b["idle_minutes"], down=b["down"]),
    "POST /queue": lambda c, b: c.queue(b["cluster_name"]),
    "POST /job_status": lambda c, b: c.job_status(b["cluster_name"], b["job_ids"]),
    "POST /cancel": lambda c, b: (
        c.cancel_all_jobs(b["cluster_name"], all_users=b.get("all_users", False))
        if b.get("all")
        else c.cancel_jobs(b["cluster_name"], b["job_ids"])
    ),
    "POST /api/cancel": lambda c, b: c.cancel_requests(b["request_ids"]),
    "POST /cluster_events": lambda c, b: c.cluster_events(
        b.get("cluster_name") or "", cluster_hash=b.get("cluster_hash") or "", limit=b.get("limit")
    ),
    "POST /cost_report": lambda c, b: c.cost_report(b.get("cluster_names"), days=b["days"]),
    "POST /endpoints": lambda c, b: c.endpoints(b["cluster"], b.get("port")),
    "POST /check": lambda c, b: c.check(b["clouds"]),
    "GET /enabled_clouds": lambda c, b: c.enabled_clouds(),
    "POST /list_accelerators": lambda c, b: c.list_accelerators(
        name=b.get("name_filter"), clouds=b["clouds"], all_regions=b["all_regions"]
    ),
    "GET /workspaces": lambda c, b: c.workspaces(),
    "POST /workspaces/create": lambda c, b: c.create_workspace(b["workspace_name"], b["config"]),
    "POST /workspaces/update": lambda c, b: c.update_workspace(b["workspace_name"], b["config"]),
    "POST /workspaces/delete": lambda c, b: c.delete_workspace(b["workspace_name"]),
    # Answered at once.
    "POST /validate": lambda c, b: c.validate(b["dag"]),
    "GET /api/health": lambda c, b: c.health(),
    "GET /users": lambda c, b: c.users(),
    "GET /users/role": lambda c, b: c.current_user(),
    f"GET {TOKENS}": lambda c, b: c.service_account_tokens(),
    f"POST {TOKENS}": lambda c, b: c.create_service_account_token(
        b["token_name"], expires_in_days=b["expires_in_days"]
    ),
    f"POST {TOKENS}/rotate": lambda c, b: c.rotate_service_account_token(
        b["token_id"], expires_in_days=b["expires_in_days"]
    ),
    f"POST {TOKENS}/delete": lambda c, b: c.delete_service_account_token(b["token_id"]),
    f"POST {TOKENS}/get-role": lambda c, b: c.service_account_roles(b["token_id"]),
    f"POST {TOKENS}/update-role": lambda c, b: c.set_service_account_role(b["token_id"], b["role"]),
    "GET /api/status": lambda c, b: c.requests(),
}
"""How the client makes a recorded call again: method and path -> call."""

# What the recorder leaves to the server's defaults, or asks for where the client does not.
FREE = {"env_vars", "entrypoint_command", "refresh", "cluster_names", "summary_response"}


# Recorded with headers or in shapes that the client never sends.
OTHERS = {"server/version_mismatch", "server/launch.bad_shape"}


def asked(entry: Recorded) -> Ask | None:
    return ASK.get(f"{entry.method} {entry.path}") if not entry.params else None


AGAIN = sorted(name for name, entry in RECORDED.items() if asked(entry) is not None and name not in OTHERS)


def subject(*entries: Recorded) -> tuple[SkyPilotClient, Replay]:
    replay = Replay(*entries)
    transport = httpx.MockTransport(replay)
    where = SkyPilotConnection(
        "http://127.0.0.1:46580", clock=FakeClock(), user_id="abcd1234", user_name="pulumi"
    )
    return SkyPilotClient(where, transport=transport, async_transport=transport), replay


def again(name: str) -> tuple[Any, Replay]:
    """Makes a recorded call with the client; its result."""
    entry, result = RECORDED[name], RECORDED.get(f"{name}.get")
    client, replay = subject(*(each for each in (entry, result) if each is not None))
    ask = asked(entry)
    assert ask is not None
    return ask(client, entry.body or {}), replay


def recorded_error(name: str) -> dict[str, Any] | None:
    """Status and error that the server gave for a call; None where it went well."""
    entry, result = RECORDED[name], RECORDED.get(f"{name}.get")
    if entry.status != 200:
        detail = entry.json.get("detail") if isinstance(entry.json, dict) else entry.json
        return {"status": entry.status, **(detail if isinstance(detail, dict) else {"message": detail})}
    if result is None:
        return None
    if result.json.get("status") == "CANCELLED":
        return {"status": 200, "type": "RequestCancelled", "message": ""}
    if result.status == 200:
        return None
    return {"status": result.status, **json.loads(result.json["detail"]["error"])}


@pytest.mark.parametrize("name", AGAIN)
def test_what_the_server_said_is_understood(name: str) -> None:
    wrong = recorded_error(name)
    if wrong is None or "No matching GPU" in wrong["message"]:
        again(name)
        return
    with pytest.raises(ApiError) as caught:
        again(name)
    error = caught.value
    assert error.status_code == wrong["status"]
    hash_missing = "Hash for cluster" in wrong["message"]
    if "type" in wrong:
        assert error.error_code == ("ClusterDoesNotExist" if hash_missing else wrong["type"])
    for word in ("\x1b", "\n", "<pickle>", "Traceback"):
        assert word not in error.message
    first_words = wrong["message"].split("\n")[0].split("\x1b")[0].strip()[:60]
    assert first_words.split(": ")[-1] in error.message
    assert as_cloud_error(error).kind != "error"


@pytest.mark.parametrize("name", AGAIN)
def test_what_the_server_took_is_what_the_client_sends(name: str) -> None:
    entry = RECORDED[name]
    try:
        _, replay = again(name)
    except ApiError:
        _, replay = sent_anyway(name)
    request = replay.requests[0]
    assert (request.method, request.url.path) == (entry.method, entry.path)
    if entry.body is None:
        assert request.method == "GET" or json.loads(request.content)["env_vars"]
        return
    sent = json.loads(request.content)
    for field, value in entry.body.items():
        if field not in FREE:
            assert sent[field] == value, field
    if "env_vars" in entry.body:
        assert sent["env_vars"] == entry.body["env_vars"]


def sent_anyway(name: str) -> tuple[None, Replay]:
    entry, result = RECORDED[name], RECORDED.get(f"{name}.get")
    client, replay = subject(*(each for each in (entry, result) if each is not None))
    ask = asked(entry)
    assert ask is not None
    with pytest.raises(ApiError):
        ask(client, entry.body or {})
    return None, replay


def test_every_call_was_recorded() -> None:
    taken = {f"{RECORDED[name].method} {RECORDED[name].path}" for name in AGAIN}
    assert taken == set(ASK)
    streams = {entry.path for entry in RECORDED.values()}
    assert {"/logs", "/provision_logs", "/api/stream"} <= streams


# What the results say


def test_a_launch_gives_the_number_of_its_job() -> None:
    assert again("launch/launch")[0].job_id == 1
    assert again("launch/launch.dryrun")[0].job_id is None


def test_a_cluster_that_is_up() -> None:
    for name in ("clusters/status", "clusters/status.force"):
        (found,) = again(name)[0]
        assert (found.name, found.status, found.nodes) == ("gp-p-abcdefgh-chat-0", "UP", 1)
        assert found.labels == {"gpuplane-cluster": "gp-p-abcdefgh-chat-0"}
        assert found.accelerators == {"H100": 1.0}
        assert (found.cloud, found.region) == ("Slurm", "fake")
        assert (found.user_hash, found.workspace, found.autostop) == ("abcd1234", "default", -1)
        assert len(found.cluster_hash) == 36


def test_a_cluster_that_is_being_made_and_one_that_is_gone() -> None:
    for found in again("launch/status.launching")[
        0
    ]:  # none, where the server was slower than who recorded it
        assert (found.status, found.init_kind) == ("INIT", "launching")
        assert found.init_status_reason
    (believed,) = again("clusters/status.gone")[0]
    assert believed.status == "UP"
    assert again("clusters/status.gone.force")[0] == []


def test_an_idle_stop_that_is_set() -> None:
    (found,) = again("clusters/status.autodown")[0]
    assert (found.autostop, found.to_down) == (5, True)


def test_a_cancelled_launch_leaves_its_cluster() -> None:
    with pytest.raises(RequestCancelledError):
        again("endings/launch.cancelled")
    (found,) = again("endings/status.cancelled_launch")[0]
    assert found.status == "INIT"
    assert again("endings/api_cancel")[0] == RECORDED["endings/api_cancel"].body["request_ids"]
    assert again("endings/api_cancel.over")[0] == []


def test_jobs() -> None:
    jobs = {job.job_id: job for job in again("jobs/queue")[0]}
    assert set(jobs) == {1, 2, 3}
    assert jobs[1].status == "SUCCEEDED"
    assert jobs[1].submitted_at
    assert again("jobs/exec")[0].job_id == 2
    states = again("jobs/job_status")[0]
    assert states[1] == "SUCCEEDED"
    assert states.get(99, "") == ""
    cancelled = {job.job_id: job.status for job in again("jobs/queue.cancelled")[0]}
    assert cancelled[3] == "CANCELLED"


def test_accelerators_and_what_they_cost() -> None:
    offers = again("catalogue/list_accelerators")[0]
    eight = next(each for each in offers if each.accelerator_name == "H100" and each.accelerator_count == 8)
    assert (eight.cloud, eight.price) == ("slurm", 20.0)
    assert again("catalogue/list_accelerators.none")[0] == []
    assert again("catalogue/check")[0] == {"default": {"Slurm": ["compute"]}}
    assert again("catalogue/enabled_clouds")[0] == ["slurm"]


def test_events_and_cost() -> None:
    events = again("clusters/cluster_events")[0]
    times = [event.transitioned_at for event in events]
    assert all(times)
    assert times == sorted(times)
    assert events[0].reason.startswith("Provisioning on")
    (row,) = again("clusters/cost_report")[0]
    assert (row.name, row.status, row.num_nodes) == ("gp-p-abcdefgh-chat-0", "UP", 1)
    assert row.total_cost is not None
    assert row.total_cost > 0
    assert again("clusters/cost_report.gone")[0][0].status == ""


def test_workspaces() -> None:
    assert "team-a" in again("workspaces/workspaces")[0]
    assert "team-a" in again("workspaces/workspaces.create")[0]
    assert again("workspaces/workspaces.update")[0]["team-a"]["private"] is False
    assert "team-a" not in again("workspaces/workspaces.delete")[0]


def test_health_with_and_without_a_user() -> None:
    found = again("server/health")[0]
    assert (found.status, found.version, found.api_version) == ("healthy", "0.14.1", "62")
    anybody = again("auth/health")[0]
    assert (anybody.status, anybody.basic_auth_enabled, anybody.user) == ("healthy", True, None)
    admin = again("auth/health.admin")[0]
    assert admin.user is not None
    assert admin.user.name == "admin"
    assert "apr1" not in repr(admin)


def test_a_server_with_passwords_is_not_well_to_whom_it_lets_not_in() -> None:
    refusal = RECORDED["auth/no_credentials"]
    client, _ = subject(RECORDED["auth/health"], dataclasses.replace(refusal, path="/users/role"))
    check = client.check_health()
    assert (check.ok, check.needs_auth) == (False, True)
    client, _ = subject(RECORDED["auth/health.admin"])
    assert client.check_health()


def test_tokens() -> None:
    made, rotated = again("auth/tokens.create")[0], again("auth/tokens.rotate")[0]
    assert made.token.startswith("sky_")
    assert made.token_id == rotated.token_id
    assert made.service_account_user_id.startswith("sa-")
    (listed,) = again("auth/tokens")[0]
    assert (listed.token_name, listed.token_id) == ("tenant-a", made.token_id)
    assert listed.expires_at
    with pytest.raises(ApiError) as caught:
        again("auth/tokens.create.again")
    assert (caught.value.error_code, as_cloud_error(caught.value).kind) == ("already_exists", "conflict")
    with pytest.raises(ApiError) as caught:
        again("auth/tokens.delete.absent")
    assert caught.value.is_not_found


@pytest.mark.parametrize(
    "name",
    ["no_credentials", "wrong_password", "wrong_token", "no_token", "token.rotated_away", "token.revoked"],
)
def test_who_is_not_let_in(name: str) -> None:
    client, replay = subject(RECORDED[f"auth/{name}"])
    with pytest.raises(ApiError) as caught:
        client.requests()
    assert caught.value.is_unauthorized
    assert as_cloud_error(caught.value).kind == "auth"
    assert len(replay.requests) == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("launch.impossible", "capacity"),
        ("launch.unknown_gpu", "capacity"),
        ("launch.bad_name", "validation"),
        ("launch.bad_field", "validation"),
        ("exec.absent", "not_found"),
        ("down.absent", "not_found"),
        ("stop.absent", "not_found"),
        ("start.absent", "not_found"),
        ("queue.absent", "not_found"),
        ("cluster_events.absent", "not_found"),
    ],
)
def test_refusals_in_the_tree_of_the_project(name: str, kind: str) -> None:
    with pytest.raises(RequestFailedError) as caught:
        again(f"errors/{name}")
    assert as_cloud_error(caught.value).kind == kind


def test_another_gpu_is_a_conflict_and_a_stop_that_there_is_not_is_refused() -> None:
    with pytest.raises(RequestFailedError) as caught:
        again("clusters/launch.other_gpu")
    assert (caught.value.error_code, as_cloud_error(caught.value).kind) == (
        "ResourcesMismatchError",
        "conflict",
    )
    with pytest.raises(RequestFailedError) as caught:
        again("clusters/stop.unsupported")
    assert (caught.value.error_code, as_cloud_error(caught.value).kind) == ("NotSupportedError", "validation")


def test_a_client_that_is_too_old_is_told_both_versions() -> None:
    client, _ = subject(RECORDED["server/version_mismatch"])
    with pytest.raises(VersionMismatchError, match=r"SkyPilot 0\.14\.1 \(API 62\)"):
        client.requests()


def test_what_the_server_does_not_know() -> None:
    client, _ = subject(RECORDED["server/api_status.unknown"])
    assert client.request("no-such-request") is None
    client, _ = subject(RECORDED["server/api_stream.unknown"])
    with pytest.raises(RequestLostError):
        list(client.request_log_lines("no-such-request"))
    bad = RECORDED["server/launch.bad_shape"]
    client, _ = subject(bad)
    with pytest.raises(ApiError, match="task: Field required; cluster_name: Input should be a valid string"):
        client.launch("run: true", "c")


def test_states_of_a_request() -> None:
    client, _ = subject(RECORDED["launch/api_status.running"])
    (running,) = client.requests()
    assert (running.status, running.name, running.cluster_name) == (
        "RUNNING",
        "sky.launch",
        "gp-p-abcdefgh-chat-0",
    )


# Streams


def log_of(name: str) -> list[str]:
    entry = RECORDED[name]
    client, _ = subject(*(each for each in (entry, RECORDED.get(f"{name}.get")) if each is not None))
    body = entry.body or {}
    if entry.path == "/logs":
        return list(client.job_log_lines(body["cluster_name"], body["job_id"], follow=body["follow"]))
    if entry.path == "/provision_logs":
        return list(client.provision_log_lines(body["cluster_name"]))

    async def read() -> list[str]:
        return [line async for line in client.stream_request_logs(entry.params["request_id"])]

    return asyncio.run(read())


def test_the_log_of_a_job() -> None:
    lines = log_of("jobs/logs")
    for number in (1, 2, 3):
        assert sum(f"hello {number}" in line for line in lines) == 1
    assert not any("\x1b" in line or "sky-payload" in line for line in lines)


@pytest.mark.parametrize("name", ["errors/logs.absent", "jobs/logs.unknown_job"])
def test_the_log_of_what_there_is_not(name: str) -> None:
    with pytest.raises(RequestFailedError) as caught:
        log_of(name)
    assert caught.value.is_not_found


def test_the_log_of_a_launch_is_the_same_in_both_forms() -> None:
    plain, console = log_of("launch/api_stream.plain"), log_of("launch/api_stream.console")
    assert any("H100:1" in line for line in plain)
    assert [line for line in console if line.strip()] == [line for line in plain if line.strip()]


def test_the_log_of_provisioning() -> None:
    assert any("0.14.1" in line for line in log_of("clusters/provision_logs"))
    with pytest.raises(ApiError) as caught:
        log_of("errors/provision_logs.absent")
    assert caught.value.is_not_found
