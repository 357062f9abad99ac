"""What each call sends, and what it makes of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gpu_clouds.errors import ValidationError
from gpu_clouds.redaction import redact
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import ApiError, RequestFailedError, UnreadableAnswerError
from gpu_clouds.skypilot.models import ClusterRecord, Refresh
from tests.unit.skypilot.client.harness import (
    ID,
    OTHER_ID,
    Server,
    answering,
    client,
    failed,
    finished,
    record,
    succeeded,
    taken,
)

TASK = "run: echo hello\n"
Ask = Callable[[SkyPilotClient], Any]

# Call, path, its own fields of the body, what the server gives.
SUBMITTED: list[tuple[str, Ask, str, dict[str, Any], Any]] = [
    (
        "launch",
        lambda c: c.launch(TASK, "c", retry_until_up=True).result(),
        "/launch",
        {"task": TASK, "cluster_name": "c", "retry_until_up": True, "include_credentials": False},
        {"job_id": 1},
    ),
    (
        "exec",
        lambda c: c.exec(TASK, "c").result(),
        "/exec",
        {"task": TASK, "cluster_name": "c"},
        {"job_id": 2},
    ),
    (
        "status",
        lambda c: c.status(["c"]),
        "/status",
        {"cluster_names": ["c"], "refresh": "FORCE", "include_credentials": False, "include_handle": False},
        [],
    ),
    ("status", lambda c: c.status(), "/status", {"cluster_names": None, "refresh": "FORCE"}, []),
    ("status", lambda c: c.status(refresh=Refresh.NONE), "/status", {"refresh": "NONE"}, []),
    ("start", lambda c: c.start("c").result(), "/start", {"cluster_name": "c", "force": False}, "gAR="),
    (
        "start",
        lambda c: c.start("c", idle_minutes_to_autostop=5, down=True).result(),
        "/start",
        {"idle_minutes_to_autostop": 5, "down": True},
        None,
    ),
    ("stop", lambda c: c.stop("c").result(), "/stop", {"cluster_name": "c"}, None),
    ("down", lambda c: c.down("c").result(), "/down", {"cluster_name": "c", "purge": False}, None),
    ("down", lambda c: c.down("c", purge=True).result(), "/down", {"purge": True}, None),
    (
        "autostop",
        lambda c: c.autostop("c", 10, down=True),
        "/autostop",
        {"cluster_name": "c", "idle_minutes": 10, "down": True},
        None,
    ),
    ("queue", lambda c: c.queue("c"), "/queue", {"cluster_name": "c", "all_users": True}, []),
    (
        "job_status",
        lambda c: c.job_status("c", [1]),
        "/job_status",
        {"cluster_name": "c", "job_ids": [1]},
        {},
    ),
    (
        "cancel_jobs",
        lambda c: c.cancel_jobs("c", [1, 2]),
        "/cancel",
        {"cluster_name": "c", "job_ids": [1, 2], "all": False, "all_users": False},
        None,
    ),
    (
        "cancel_all_jobs",
        lambda c: c.cancel_all_jobs("c"),
        "/cancel",
        {"cluster_name": "c", "job_ids": None, "all": True, "all_users": False},
        None,
    ),
    (
        "cancel_requests",
        lambda c: c.cancel_requests([ID, OTHER_ID]),
        "/api/cancel",
        {"request_ids": [ID, OTHER_ID]},
        [ID],
    ),
    (
        "cluster_events",
        lambda c: c.cluster_events("c", limit=9),
        "/cluster_events",
        {
            "cluster_name": "c",
            "event_type": "STATUS_CHANGE,LAUNCH_PROGRESS",
            "include_timestamps": True,
            "limit": 9,
        },
        [],
    ),
    (
        "cluster_events",
        lambda c: c.cluster_events(cluster_hash="h", types=["DEBUG"]),
        "/cluster_events",
        {"cluster_hash": "h", "event_type": "DEBUG"},
        [],
    ),
    (
        "cost_report",
        lambda c: c.cost_report(["c"], days=None),
        "/cost_report",
        {"cluster_names": ["c"], "days": None},
        [],
    ),
    (
        "list_accelerators",
        lambda c: c.list_accelerators(name="H100", clouds=["slurm"]),
        "/list_accelerators",
        {"name_filter": "H100", "clouds": ["slurm"], "gpus_only": True, "require_price": False},
        {},
    ),
    ("check", lambda c: c.check(["slurm"]), "/check", {"clouds": ["slurm"], "workspace": None}, {}),
    ("endpoints", lambda c: c.endpoints("c", 8080), "/endpoints", {"cluster": "c", "port": 8080}, {}),
    (
        "create_workspace",
        lambda c: c.create_workspace("w", {"private": True}),
        "/workspaces/create",
        {"workspace_name": "w", "config": {"private": True}},
        {},
    ),
    (
        "update_workspace",
        lambda c: c.update_workspace("w", {}),
        "/workspaces/update",
        {"workspace_name": "w", "config": {}},
        {},
    ),
    (
        "delete_workspace",
        lambda c: c.delete_workspace("w"),
        "/workspaces/delete",
        {"workspace_name": "w"},
        {},
    ),
    (
        "update_config",
        lambda c: c.update_server_config({"a": 1}),
        "/workspaces/config",
        {"config": {"a": 1}},
        {},
    ),
]


@pytest.mark.parametrize(("operation", "ask", "path", "fields", "value"), SUBMITTED)
def test_what_a_call_sends(operation: str, ask: Ask, path: str, fields: dict[str, Any], value: Any) -> None:
    server = answering(value, path)
    ask(client(server))
    request = server.sent(path)[0]
    body = json.loads(request.content)
    assert request.method == "POST"
    assert {name: body.get(name, "absent") for name in fields} == fields
    assert body["env_vars"] == {"SKYPILOT_USER_ID": "abcd1234", "SKYPILOT_USER": "gpuplane"}
    assert body["entrypoint_command"] == f"gpuplane {operation}"
    assert "override_skypilot_config" not in body
    assert request.headers["X-SkyPilot-API-Version"] == "62"
    assert request.headers["X-SkyPilot-Version"] == "0.14.1"


def test_no_call_ever_asks_for_credentials() -> None:
    for _, ask, path, _, value in SUBMITTED:
        server = answering(value, path)
        ask(client(server))
        for request in server.requests:
            assert b'"include_credentials":true' not in request.content


@pytest.mark.parametrize(
    ("ask", "path", "value"),
    [
        (lambda c: c.enabled_clouds(), "/enabled_clouds", []),
        (lambda c: c.workspaces(), "/workspaces", {}),
        (lambda c: c.server_config(), "/workspaces/config", {}),
    ],
)
def test_reads_that_are_gets(ask: Ask, path: str, value: Any) -> None:
    server = answering(value, path)
    assert ask(client(server)) == value
    assert server.requests[0].method == "GET"
    assert server.requests[0].content == b""


def test_the_workspace_of_a_call_goes_before_that_of_the_connection() -> None:
    server = answering([], "/status")
    subject = client(server, workspace="team-a")
    subject.status()
    subject.status(workspace="team-b")
    assert [body["override_skypilot_config"] for body in server.bodies("/status")] == [
        {"active_workspace": "team-a"},
        {"active_workspace": "team-b"},
    ]


@pytest.mark.parametrize(
    "ids", [[], (), None, "", ID, [""], [None], [ID[:8]], [ID, ""], [ID.upper()], [f"{ID}%"]]
)
def test_requests_are_cancelled_by_whole_ids_only(ids: Any) -> None:
    server = Server()
    with pytest.raises((ValidationError, TypeError)):
        client(server).cancel_requests(ids)
    assert server.requests == []


@pytest.mark.parametrize("ids", [[], (), None, "", "12", [None], [True], ["1"], [-1], [1.0]])
def test_jobs_are_cancelled_by_their_numbers_only(ids: Any) -> None:
    server = Server()
    for call in (client(server).cancel_jobs, client(server).job_status):
        with pytest.raises(ValidationError):
            call("c", ids)
    assert server.requests == []


def test_a_status_of_no_names_is_empty_and_not_of_all() -> None:
    server = Server()
    assert client(server).status([]) == []
    assert server.requests == []


@pytest.mark.parametrize(("name", "cluster_hash"), [("", ""), ("c", "h")])
def test_events_are_of_a_name_or_of_a_hash(name: str, cluster_hash: str) -> None:
    with pytest.raises(ValidationError, match="either the name or the hash"):
        client(Server()).cluster_events(name, cluster_hash=cluster_hash)


def test_a_cluster_is_found_by_its_exact_name() -> None:
    rows = [{"name": "c-1", "status": "UP"}, {"name": "c", "status": "INIT", "init_kind": "unhealthy"}]
    subject = client(answering(rows, "/status"))
    found = subject.cluster("c")
    assert found is not None
    assert (found.status, found.init_kind) == ("INIT", "unhealthy")
    assert client(answering([], "/status")).cluster("c") is None


def test_a_cluster_has_no_secret_and_no_pickle() -> None:
    row = {
        "name": "c",
        "status": "UP",
        "handle": "gASV-canary",
        "last_creation_yaml": "envs: {TOKEN: canary}",
        "last_creation_command": "sky launch --env TOKEN=canary",
        "credentials": {"ssh_private_key_content": "canary"},
        "accelerators": "{'A100': 2, 'L4': 0.5}",
        "labels": {"a": "b", "none": None},
        "autostop": -1,
        "launched_at": 1795728977,
        "nodes": 2,
    }
    found = ClusterRecord.model_validate(row)
    assert "canary" not in repr(found) + found.model_dump_json()
    assert found.accelerators == {"A100": 2.0, "L4": 0.5}
    assert found.labels == {"a": "b"}
    assert (found.autostop, found.nodes, found.launched_at) == (-1, 2, 1795728977.0)


@pytest.mark.parametrize("text", [None, "", "{", "__import__('os')", "[1]", "{'A': 'x'}", 7, "{" * 5000])
def test_odd_accelerators_are_none(text: Any) -> None:
    assert ClusterRecord.model_validate({"name": "c", "accelerators": text}).accelerators == {}


def test_accelerators_come_with_prices() -> None:
    rows = {
        "H100": [
            ["slurm", None, "H100", 8, 16, 0.0, 62.5, 20.0, 20.0, "gpu*"],
            ["AWS", "p5.48xlarge", "H100", 8, 192, 80.0, 2048.0, float("nan"), None, "us-east-1"],
            "not a row",
        ]
    }
    slurm, aws = client(answering(rows, "/list_accelerators")).list_accelerators()
    assert (slurm.cloud, slurm.accelerator_count, slurm.price, slurm.region) == ("slurm", 8.0, 20.0, "gpu*")
    assert (aws.instance_type, aws.price, aws.spot_price) == ("p5.48xlarge", None, None)


def test_no_such_accelerator_is_an_empty_list() -> None:
    server = answering(None, "/list_accelerators")
    server.answers["/api/get"] = failed(
        "ValueError", "No matching GPU nodes found in the Slurm cluster with …"
    )
    assert client(server).list_accelerators(name="B200") == []
    server.answers["/api/get"] = failed("ValueError", "Cloud 'x' is not a valid cloud")
    with pytest.raises(RequestFailedError):
        client(server).list_accelerators(clouds=["x"])


def test_job_states_are_by_number() -> None:
    assert client(answering({"1": "SUCCEEDED", "2": None}, "/job_status")).job_status("c", [1, 2]) == {
        1: "SUCCEEDED",
        2: "",
    }


def test_a_new_token_is_secret_from_then_on() -> None:
    value = "sky_canary-" + "x" * 20
    server = Server(
        {
            "/users/service-account-tokens": httpx.Response(
                200,
                json={"token_id": "t1", "token": value, "expires_at": 5, "service_account_user_id": "sa-1"},
            )
        }
    )
    new = client(server).create_service_account_token("tenant-a", expires_in_days=30)
    assert new.token == value
    assert (new.token_id, new.service_account_user_id) == ("t1", "sa-1")
    assert "canary" not in repr(new)
    assert "canary" not in redact(f"got {value}")
    body = server.bodies("/users/service-account-tokens")[0]
    assert (body["token_name"], body["expires_in_days"]) == ("tenant-a", 30)
    assert "role" not in body


def test_a_token_is_made_once() -> None:
    server = Server({"/users/service-account-tokens": [httpx.ReadTimeout("x"), httpx.Response(200, json={})]})
    with pytest.raises(ApiError):
        client(server).create_service_account_token("tenant-a")
    assert len(server.requests) == 1


def test_an_answer_without_a_token_is_an_error() -> None:
    server = Server(
        {"/users/service-account-tokens": httpx.Response(200, json={"token_id": "t1", "token": ""})}
    )
    with pytest.raises(UnreadableAnswerError, match="it has no token"):
        client(server).create_service_account_token("tenant-a")


def test_tokens_and_users() -> None:
    tokens = "/users/service-account-tokens"
    server = Server(
        {
            f"{tokens}/rotate": httpx.Response(200, json={"token_id": "t1", "token": "sky_rotated-value"}),
            f"{tokens}/delete": httpx.Response(200, json={"message": "Token deleted successfully"}),
            f"{tokens}/get-role": httpx.Response(200, json={"token_id": "t1", "roles": ["user"]}),
            f"{tokens}/update-role": httpx.Response(200, json={"message": "…"}),
            "/users": httpx.Response(
                200, json=[{"id": "a", "name": "admin", "role": "admin", "password": "x"}]
            ),
            "/users/role": httpx.Response(200, json={"id": "", "name": "", "role": "admin"}),
            "/users/update": httpx.Response(200, json=None),
        }
    )
    subject = client(server)
    assert subject.rotate_service_account_token("t1", expires_in_days=0).token == "sky_rotated-value"
    subject.delete_service_account_token("t1")
    assert subject.service_account_roles("t1") == ["user"]
    subject.set_service_account_role("t1", "admin")
    assert [user.role for user in subject.users()] == ["admin"]
    assert subject.current_user().role == "admin"
    subject.set_user_role("u1", "user")
    assert server.bodies(f"{tokens}/rotate")[0]["expires_in_days"] == 0
    assert server.bodies("/users/update")[0]["user_id"] == "u1"
    for call in (subject.rotate_service_account_token, subject.delete_service_account_token):
        with pytest.raises(ValidationError, match="id of the service-account token is empty"):
            call("")


def test_requests_are_listed_without_their_bodies() -> None:
    rows = [
        record("RUNNING", request_body='{"task": "envs: {A: canary}"}', cluster_name="c"),
        {"odd": 1},
        "odd",
    ]
    server = Server({"/api/status": httpx.Response(200, json=rows)})
    found = client(server).requests(all_status=True, cluster_name="c", limit=5)
    assert [(each.request_id, each.cluster_name) for each in found] == [(ID, "c")]
    assert "canary" not in repr(found)
    params = server.requests[0].url.params
    assert (params["all_status"], params["cluster_name"], params["limit"]) == ("true", "c", "5")
    assert client(Server({"/api/status": finished()})).request(OTHER_ID) is None


def test_health() -> None:
    good = Server({"/api/health": httpx.Response(200, json={"status": "healthy", "version": "0.14.1"})})
    assert client(good).health().version == "0.14.1"
    check = client(good).check_health()
    assert check
    assert check.reason == ""


@pytest.mark.parametrize(
    ("answer", "reason", "needs_auth"),
    [
        (httpx.ConnectError("refused"), "health: no connection: refused", False),
        (httpx.ReadTimeout("slow"), "no answer within 5 s", False),
        (httpx.Response(503, json={"detail": "shutting down"}), "HTTP 503: shutting down", False),
        (httpx.Response(401, json="Authentication required"), "HTTP 401", True),
        (httpx.Response(200, json={"status": "needs_auth"}), "asks for a token", True),
        (httpx.Response(200, json={"status": "version_mismatch"}), "'version_mismatch'", False),
        (httpx.Response(200, json={}), "'in no known state'", False),
        (httpx.Response(200, text="<html>hello</html>"), "is this a SkyPilot API server", False),
        (httpx.Response(302, headers={"Location": "/login"}), "log-in page", False),
    ],
)
def test_a_server_that_is_not_well_is_a_value_and_no_error(
    answer: Any, reason: str, needs_auth: bool
) -> None:
    server = Server({"/api/health": answer})
    check = client(server).check_health()
    assert not check
    assert reason in check.reason
    assert "\n" not in check.reason
    assert check.needs_auth is needs_auth
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("role", "ok"),
    [(httpx.Response(200, json={"role": "admin"}), True), (httpx.Response(401, json="no"), False)],
)
def test_a_server_with_passwords_calls_itself_healthy_to_anybody(role: httpx.Response, ok: bool) -> None:
    health = httpx.Response(200, json={"status": "healthy", "basic_auth_enabled": True, "user": None})
    server = Server({"/api/health": health, "/users/role": role})
    check = client(server).check_health()
    assert (check.ok, check.needs_auth) == (ok, not ok)
    server.answers["/api/health"] = httpx.Response(
        200,
        json={"status": "healthy", "basic_auth_enabled": True, "user": {"name": "admin", "password": "x"}},
    )
    assert client(server).check_health().ok
    assert len(server.sent("/users/role")) == 1


def test_a_token_source_that_fails_is_no_error_of_the_health_check_either() -> None:
    from gpu_clouds.skypilot.connection import BearerToken

    check = client(Server(), auth=BearerToken.fixed("")).check_health()
    assert not check
    assert "token is empty" in check.reason


def test_a_launch_that_was_taken_twice_is_one_cluster_to_the_caller() -> None:
    server = Server(
        {"/launch": [httpx.ReadTimeout("x"), taken()], "/api/status": finished(), "/api/get": succeeded({})}
    )
    assert client(server).launch(TASK, "c").result().job_id is None
    assert [body["cluster_name"] for body in server.bodies("/launch")] == ["c", "c"]
