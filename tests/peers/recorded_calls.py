"""Every call of the SkyPilot API that is recorded, in groups: each group is a file."""

from __future__ import annotations

import time

from tests.peers.processes import PeerError, until
from tests.peers.recorder import IDENTITY, Recorder
from tests.peers.skypilot_server import Auth
from tests.peers.slurm import Slurm

CLUSTER = "gp-p-abcdefgh-chat-0"

TASK = """\
resources:
  infra: slurm/fake
  accelerators: H100:1
  labels: {gpuplane-cluster: gp-p-abcdefgh-chat-0}
envs: {GREETING: hello}
setup: echo setup of $GREETING
run: |
  for i in 1 2 3; do echo "$GREETING $i"; sleep 1; done
"""
JOB = "run: echo a second job\n"
LONG_JOB = "run: sleep 600\n"
IMPOSSIBLE = "resources: {infra: slurm/fake, accelerators: 'H100:16'}\nrun: echo never\n"
UNKNOWN_GPU = "resources: {infra: slurm/fake, accelerators: 'B200:1'}\nrun: echo never\n"
OTHER_GPU = "resources: {infra: slurm/fake, accelerators: 'A100:1'}\nrun: echo never\n"
BAD_FIELD = "resources: {infra: slurm/fake, acceleratorz: 'H100:1'}\n"
FAILING = "resources: {infra: slurm/fake, cpus: 1}\nsetup: exit 3\nrun: echo never\n"


def _status(recorder: Recorder, call: str, refresh: str, name: str = CLUSTER, *, keep: bool = True) -> object:
    body = {
        "cluster_names": [name],
        "refresh": refresh,
        "include_credentials": False,
        "include_handle": False,
    }
    return recorder.run(call, "/status", body, keep)


def record_server(recorder: Recorder) -> None:
    """Health, the version handshake, requests that are not known."""
    recorder.begin("server")
    recorder.call("health", "GET", "/api/health")
    old = {"X-SkyPilot-API-Version": "10", "X-SkyPilot-Version": "0.9.0"}
    recorder.call("version_mismatch", "GET", "/api/status", headers=old)
    recorder.call("api_get.unknown", "GET", "/api/get", params={"request_id": "no-such-request"})
    recorder.call("api_stream.unknown", "GET", "/api/stream", params={"request_id": "no-such-request"})
    recorder.call("api_status.unknown", "GET", "/api/status", params={"request_ids": "no-such-request"})
    recorder.call("launch.bad_shape", "POST", "/launch", body={"cluster_name": 7})
    recorder.call("not_found", "GET", "/no-such-path")


def record_validate(recorder: Recorder) -> None:
    """Tasks that are refused at once."""
    recorder.begin("validate")
    for name, task in (
        ("ok", TASK),
        ("impossible", IMPOSSIBLE),
        ("unknown_gpu", UNKNOWN_GPU),
        ("bad_field", BAD_FIELD),
        ("bad_yaml", "resources: [\n"),
        ("bad_infra", "resources: {infra: nowhere/at-all}\n"),
        ("disabled_cloud", "resources: {infra: aws}\n"),
    ):
        recorder.call(f"validate.{name}", "POST", "/validate", body={"dag": task, "request_options": None})


def record_catalogue(recorder: Recorder) -> None:
    """What can be had, and what it costs."""
    recorder.begin("catalogue")
    recorder.run("check", "/check", {"clouds": ["slurm"], "verbose": False})
    request_id = recorder.call("enabled_clouds", "GET", "/enabled_clouds").headers["x-skypilot-request-id"]
    recorder.result("enabled_clouds.get", request_id)
    accelerators = {"clouds": ["slurm"], "gpus_only": True, "require_price": False, "all_regions": True}
    recorder.run("list_accelerators", "/list_accelerators", accelerators)
    recorder.run("list_accelerators.none", "/list_accelerators", {**accelerators, "name_filter": "B200"})
    recorder.run("list_accelerator_counts", "/list_accelerator_counts", accelerators)
    recorder.run("slurm_gpu_availability", "/slurm_gpu_availability", {"name_filter": None})


def record_errors(recorder: Recorder) -> None:
    """Requests that are accepted and fail."""
    recorder.begin("errors")
    absent = "gp-p-abcdefgh-none-0"
    recorder.run("launch.impossible", "/launch", {"task": IMPOSSIBLE, "cluster_name": absent})
    recorder.run("launch.unknown_gpu", "/launch", {"task": UNKNOWN_GPU, "cluster_name": absent})
    recorder.run("launch.bad_name", "/launch", {"task": TASK, "cluster_name": "bad name!"})
    recorder.run("launch.bad_field", "/launch", {"task": BAD_FIELD, "cluster_name": absent})
    recorder.run("exec.absent", "/exec", {"task": JOB, "cluster_name": absent})
    recorder.run("down.absent", "/down", {"cluster_name": absent})
    recorder.run("stop.absent", "/stop", {"cluster_name": absent})
    recorder.run("start.absent", "/start", {"cluster_name": absent})
    recorder.run(
        "queue.absent", "/queue", {"cluster_name": absent, "skip_finished": False, "all_users": True}
    )
    recorder.run("job_status.absent", "/job_status", {"cluster_name": absent, "job_ids": [1]})
    recorder.run("autostop.absent", "/autostop", {"cluster_name": absent, "idle_minutes": 1, "down": True})
    recorder.run("endpoints.absent", "/endpoints", {"cluster": absent})
    recorder.run("cluster_events.absent", "/cluster_events", _events(absent))
    recorder.stream(
        "logs.absent", "POST", "/logs", body={"cluster_name": absent, "job_id": 1, "follow": False}
    )
    recorder.stream("provision_logs.absent", "POST", "/provision_logs", body={"cluster_name": absent})
    _status(recorder, "status.absent", "FORCE", absent)


def _until_listed(recorder: Recorder, wait_s: float = 120.0) -> None:
    """Waits until the launched cluster is in the list: some seconds, more on a busy machine."""
    end = time.monotonic() + wait_s
    body = {"cluster_names": [CLUSTER], "include_credentials": False, "include_handle": False}
    while not recorder.run("status.launching", "/status", body, keep=False):
        if time.monotonic() > end:
            raise PeerError(f"the launched cluster is not listed after {wait_s:g} s")
        time.sleep(0.5)


def _events(name: str) -> dict[str, object]:
    return {
        "cluster_name": name,
        "event_type": "STATUS_CHANGE,LAUNCH_PROGRESS",
        "include_timestamps": True,
        "limit": 200,
    }


def record_life(recorder: Recorder, slurm: Slurm) -> None:
    """One cluster from its launch to its end."""
    recorder.begin("launch")
    recorder.run("launch.dryrun", "/launch", {"task": TASK, "cluster_name": CLUSTER, "dryrun": True})
    begin = time.monotonic()
    launch = recorder.submit("launch", "/launch", {"task": TASK, "cluster_name": CLUSTER})
    _until_listed(recorder)
    recorder.call("api_status.running", "GET", "/api/status", params={"request_ids": launch})
    _status(recorder, "status.launching", "NONE")
    recorder.result("launch.get", launch)
    print(f"  launch: {time.monotonic() - begin:.1f} s", flush=True)
    recorder.call("api_status.succeeded", "GET", "/api/status", params={"request_ids": launch})
    for form in ("plain", "console"):
        recorder.stream(
            f"api_stream.{form}",
            "GET",
            "/api/stream",
            params={"request_id": launch, "format": form, "follow": "false"},
        )

    recorder.begin("jobs")
    recorder.stream("logs", "POST", "/logs", body={"cluster_name": CLUSTER, "job_id": 1, "follow": True})
    recorder.run("exec", "/exec", {"task": JOB, "cluster_name": CLUSTER})
    recorder.run("exec.long", "/exec", {"task": LONG_JOB, "cluster_name": CLUSTER})
    recorder.stream(
        "logs.tail", "POST", "/logs", body={"cluster_name": CLUSTER, "job_id": 1, "follow": False, "tail": 2}
    )
    recorder.run("queue", "/queue", {"cluster_name": CLUSTER, "skip_finished": False, "all_users": True})
    recorder.run("job_status", "/job_status", {"cluster_name": CLUSTER, "job_ids": [1, 3, 99]})
    recorder.run("cancel", "/cancel", {"cluster_name": CLUSTER, "job_ids": [3]})
    recorder.run("cancel.again", "/cancel", {"cluster_name": CLUSTER, "job_ids": [3]})
    recorder.run("queue.cancelled", "/queue", _queue())
    recorder.stream(
        "logs.unknown_job", "POST", "/logs", body={"cluster_name": CLUSTER, "job_id": 99, "follow": False}
    )

    recorder.begin("clusters")
    _status(recorder, "status", "NONE")
    _status(recorder, "status.force", "FORCE")
    recorder.run("status.all", "/status", {"include_credentials": False, "include_handle": False})
    recorder.run("status.summary", "/status", _summary())
    recorder.stream("provision_logs", "POST", "/provision_logs", body={"cluster_name": CLUSTER})
    recorder.run("cluster_events", "/cluster_events", _events(CLUSTER))
    recorder.run("cost_report", "/cost_report", {"days": 30, "cluster_names": [CLUSTER]})
    recorder.run("endpoints.unsupported", "/endpoints", {"cluster": CLUSTER, "port": 8080})
    recorder.run("launch.other_gpu", "/launch", {"task": OTHER_GPU, "cluster_name": CLUSTER})
    recorder.run("stop.unsupported", "/stop", {"cluster_name": CLUSTER})
    recorder.run("autostop", "/autostop", {"cluster_name": CLUSTER, "idle_minutes": 5, "down": True})
    recorder.run(
        "autostop.unsupported", "/autostop", {"cluster_name": CLUSTER, "idle_minutes": 5, "down": False}
    )
    _status(recorder, "status.autodown", "NONE")
    recorder.run("autostop.off", "/autostop", {"cluster_name": CLUSTER, "idle_minutes": -1, "down": False})

    on_cloud = f"{CLUSTER}-{IDENTITY['SKYPILOT_USER_ID']}"
    slurm.cancel(on_cloud)
    until(lambda: on_cloud not in slurm.jobs().values(), 30.0)
    _status(recorder, "status.gone", "NONE")
    _status(recorder, "status.gone.force", "FORCE")
    recorder.run("cost_report.gone", "/cost_report", {"days": 30, "cluster_names": [CLUSTER]})


def record_endings(recorder: Recorder, slurm: Slurm) -> None:
    """Launches that go wrong, and ends."""
    on_cloud = f"{CLUSTER}-{IDENTITY['SKYPILOT_USER_ID']}"
    recorder.begin("endings")
    # The launch succeeds; that its setup failed is in the job's state alone.
    recorder.run("launch.failing_setup", "/launch", {"task": FAILING, "cluster_name": CLUSTER})
    over = "FAILED_SETUP"
    until(lambda: over in str(recorder.run("", "/queue", _queue(), keep=False)), 60.0, 2.0)
    recorder.run("queue.failed_setup", "/queue", _queue())
    recorder.run("down", "/down", {"cluster_name": CLUSTER})
    cancelled = recorder.submit("launch.cancelled", "/launch", {"task": TASK, "cluster_name": CLUSTER})
    until(lambda: on_cloud in slurm.jobs().values(), 120.0, 0.5)
    recorder.run("api_cancel", "/api/cancel", {"request_ids": [cancelled]})
    recorder.result("launch.cancelled.get", cancelled)
    _status(recorder, "status.cancelled_launch", "NONE")
    recorder.run("api_cancel.over", "/api/cancel", {"request_ids": [cancelled]})
    recorder.run("down.cancelled_launch", "/down", {"cluster_name": CLUSTER}, keep=False)
    if not until(lambda: on_cloud not in slurm.jobs().values(), 30.0):
        raise PeerError(f"the recorded cluster left a job behind: {slurm.jobs()}")


def _queue() -> dict[str, object]:
    return {"cluster_name": CLUSTER, "skip_finished": False, "all_users": True}


def _summary() -> dict[str, object]:
    return {"include_credentials": False, "include_handle": False, "summary_response": True}


def record_workspaces(recorder: Recorder) -> None:
    """A tenant's workspace."""
    recorder.begin("workspaces")

    def listed(call: str) -> None:
        answer = recorder.call(call, "GET", "/workspaces")
        recorder.result(f"{call}.get", answer.headers["x-skypilot-request-id"])

    name = "team-a"
    recorder.run("workspaces.create", "/workspaces/create", {"workspace_name": name, "config": {}})
    recorder.run("workspaces.create.again", "/workspaces/create", {"workspace_name": name, "config": {}})
    listed("workspaces")
    config = {"private": False, "slurm": {"disabled": False}}
    recorder.run("workspaces.update", "/workspaces/update", {"workspace_name": name, "config": config})
    recorder.run("workspaces.bad", "/workspaces/update", {"workspace_name": name, "config": {"nonsense": 1}})
    recorder.run("workspaces.delete", "/workspaces/delete", {"workspace_name": name})
    recorder.run("workspaces.delete.absent", "/workspaces/delete", {"workspace_name": name})
    recorder.run("workspaces.delete.default", "/workspaces/delete", {"workspace_name": "default"})


def record_users(recorder: Recorder) -> None:
    """Users of a server that asks for no credentials."""
    recorder.begin("users")
    recorder.call("users", "GET", "/users")
    recorder.call("users.role", "GET", "/users/role")
    recorder.call("tokens.disabled", "GET", "/users/service-account-tokens")


def record_auth(recorder: Recorder, auth: Auth) -> None:
    """A server that asks for credentials."""
    recorder.begin("auth")
    admin = (auth.user, auth.password)
    path = "/users/service-account-tokens"
    status = "/api/status"

    def bearer(call: str, token: str) -> None:
        recorder.call(call, "GET", status, headers={"Authorization": f"Bearer {token}"})

    recorder.call("health", "GET", "/api/health")
    recorder.call("health.admin", "GET", "/api/health", auth=admin)
    recorder.call("no_credentials", "GET", status)
    recorder.call("wrong_password", "GET", status, auth=(auth.user, "wrong"))
    recorder.call("basic", "GET", status, auth=admin)
    bearer("wrong_token", "sky_eyJhbGciOiJIUzI1NiJ9.e30.wrong")
    bearer("no_token", "something-else")
    made = recorder.call(
        "tokens.create", "POST", path, body={"token_name": "tenant-a", "expires_in_days": 30}, auth=admin
    ).json()
    again = {"token_name": "tenant-a", "expires_in_days": 30}
    recorder.call("tokens.create.again", "POST", path, body=again, auth=admin)
    token_id, token = made["token_id"], made["token"]
    recorder.call("tokens", "GET", path, auth=admin)
    recorder.call(
        "tokens.role",
        "POST",
        f"{path}/get-role",
        body={"token_id": token_id},
        auth=admin,
    )
    recorder.call(
        "tokens.update_role",
        "POST",
        f"{path}/update-role",
        body={"token_id": token_id, "role": "user"},
        auth=admin,
    )
    bearer("token", token)
    rotated = recorder.call(
        "tokens.rotate",
        "POST",
        f"{path}/rotate",
        body={"token_id": token_id, "expires_in_days": 30},
        auth=admin,
    ).json()
    bearer("token.rotated_away", token)
    bearer("token.rotated", rotated["token"])
    recorder.call("users", "GET", "/users", auth=admin)
    recorder.call("users.role", "GET", "/users/role", auth=admin)
    recorder.call("tokens.delete", "POST", f"{path}/delete", body={"token_id": token_id}, auth=admin)
    recorder.call("tokens.delete.absent", "POST", f"{path}/delete", body={"token_id": token_id}, auth=admin)
    bearer("token.revoked", rotated["token"])


#: What needs no cluster.
QUICK = (
    record_server,
    record_validate,
    record_catalogue,
    record_errors,
    record_workspaces,
    record_users,
)
