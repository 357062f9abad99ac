"""A SkyPilot server in memory with jobs, workspaces and accounts, and providers in front of it."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from dynamic_providers.clouds import Shared
from dynamic_providers.sky_pilot_servers import SkyPilotProvider
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.errors import CancelledError
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from stack_config import CredentialSource, Settings
from tests.unit.dynamic_providers.memory_cloud import STACK, QuickClock
from tests.unit.skypilot.cloud.sky import ENDPOINT, HEADERS, Asked, Plan, Sky, error_of

_Provider = TypeVar("_Provider", bound=SkyPilotProvider)
_MAIN = threading.main_thread()


class TestClock(QuickClock):
    """Time passes only while the test itself sleeps; whoever looks on the side waits for its end."""

    __test__ = False

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> None:
        if threading.current_thread() is not _MAIN and cancel is not None:
            cancel.wait(10)
        if cancel is not None and cancel.is_set():
            raise CancelledError("cancelled while waiting")
        super().sleep(seconds, cancel)


@dataclass
class StackSky(Sky):
    """`setup_fails` is how often a setup ends badly; `refuses` what `/validate` or a plan answers."""

    named: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    setup_fails: int = 0
    setup_hangs: bool = False
    refuses: str = ""
    no_plan: str = ""
    plan_s: float = 1.0
    workspaces: dict[str, Any] = field(default_factory=lambda: {"default": {}})
    tokens: list[dict[str, Any]] = field(default_factory=list)
    lose_exec: bool = False
    lose_token: bool = False
    revoked: set[str] = field(default_factory=set)
    events: list[dict[str, Any]] = field(default_factory=list)
    execs: list[dict[str, Any]] = field(default_factory=list)
    launches: list[dict[str, Any]] = field(default_factory=list)
    autostops: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/validate" or path.startswith("/users/"):
            if self.away:
                raise httpx.ConnectError("connection refused")
            self.calls.append(path)
            body = json.loads(request.content) if request.content else {}
            status, found = self._at_once(path, request.method, body, request.headers)
            return httpx.Response(status, json=found, headers=HEADERS)
        if path == "/exec" and self.lose_exec:
            self.lose_exec = False
            super().answer(request)
            raise httpx.ReadTimeout("no answer")
        return super().answer(request)

    def _at_once(
        self, path: str, method: str, body: dict[str, Any], headers: httpx.Headers
    ) -> tuple[int, Any]:
        if path == "/validate":
            return (400, {"detail": json.loads(self.refuses)}) if self.refuses else (200, None)
        if path == "/users/role":
            token = headers.get("authorization", "").removeprefix("Bearer ")
            if token in self.revoked:
                return 401, {"detail": "Service account token revoked or rotated"}
            return 200, {"id": "sa-1", "name": "x", "role": "user"}
        if path.endswith("/rotate"):
            return 200, self._show(self._token(body["token_id"]), body)
        if path.endswith("/update-role"):
            self._token(body["token_id"])["service_account_roles"] = [body["role"]]
            return 200, {"message": "updated"}
        if path.endswith("/delete"):
            left = [each for each in self.tokens if each["token_id"] != body["token_id"]]
            known, self.tokens = len(left) < len(self.tokens), left
            return (200, {"message": "deleted"}) if known else (404, {"detail": "Token not found"})
        if method == "GET":
            return 200, self.tokens
        name = body["token_name"]
        if any(each["token_name"] == name for each in self.tokens):
            text = (
                "Failed to create service account token: 400: Service account with name "
                f"'{name}' already exists (sa-1). Please use a different name."
            )
            return 500, {"detail": text}
        made = {
            "token_id": f"id{len(self.tokens) + 1}",
            "token_name": name,
            "service_account_user_id": f"sa-{len(self.tokens) + 1}",
            "service_account_roles": [body.get("role", "user")],
            "made": 0,
        }
        self.tokens.append(made)
        shown = self._show(made, body)
        if self.lose_token:
            self.lose_token = False
            raise httpx.ReadTimeout("no answer")
        return 200, shown

    def _token(self, token_id: str) -> dict[str, Any]:
        return next(each for each in self.tokens if each["token_id"] == token_id)

    def _show(self, token: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        self.revoked.add(f"sky_{token['token_id']}_{token['made']}")
        token["made"] += 1
        token["expires_in_days"] = body.get("expires_in_days")
        return {**token, "token": f"sky_{token['token_id']}_{token['made']}", "expires_at": None}

    def _begin(self, path: str, body: dict[str, Any]) -> Asked:
        if path == "/launch" and body["dryrun"]:
            self.plans.insert(0, Plan(self.no_plan, after_s=self.plan_s, listed_s=None, up_s=1e9))
        made = super()._begin(path, body)
        if path == "/launch" and body["dryrun"]:
            made.name, made.cluster, made.plan = "sky.launch", "", None
        elif path == "/launch":
            self.launches.append(body)
        return made

    def _launch(self, each: Asked, plan: Plan, passed: float) -> None:
        super()._launch(each, plan, passed)
        if each.done and not each.cancelled and not plan.error and each.task.get("setup"):
            ended = "FAILED_SETUP" if self.setup_fails else "SUCCEEDED"
            status = "SETTING_UP" if self.setup_hangs else ended
            self.setup_fails = max(0, self.setup_fails - 1)
            self._job(each.cluster, each.task["name"], status)

    def _record(self, each: Asked) -> dict[str, Any]:
        resources = each.task["resources"]
        given = str(resources.get("accelerators", ""))
        name, _, count = given.partition(":")
        accelerators = {name: int(count or 1)} if name else {}
        return {**super()._record(each), "accelerators": repr(accelerators)}

    def _job(self, cluster: str, name: str, status: str) -> int:
        jobs = self.named.setdefault(cluster, [])
        jobs.append({"job_id": len(jobs) + 1, "job_name": name, "status": status})
        return len(jobs)

    def _read(self, path: str, body: dict[str, Any], name: str) -> tuple[Any, str]:
        if path == "/queue":
            return (self.named.get(name, []), "") if name in self.records else super()._read(path, body, name)
        if path == "/exec":
            task = json.loads(body["task"])
            self.execs.append(task)
            return {"job_id": self._job(name, task["name"], "RUNNING"), "handle": None}, ""
        if path == "/cancel":
            for job in self.named[name]:
                if job["job_id"] in body["job_ids"]:
                    job["status"] = "CANCELLED"
            return None, ""
        if path == "/autostop":
            self.autostops.append({key: body[key] for key in ("idle_minutes", "down")})
            return None, ""
        if path == "/cluster_events":
            return self.events, ""
        if path == "/cost_report":
            return [{"name": name, "last_event": "All nodes terminated.", "total_cost": 0.28}], ""
        if path.startswith("/workspaces"):
            return self._workspace(path, body)
        return super()._read(path, body, name)

    def _workspace(self, path: str, body: dict[str, Any]) -> tuple[Any, str]:
        name = body.get("workspace_name", "")
        if path.endswith("/update"):
            self.workspaces[name] = body["config"]
        elif path.endswith("/delete"):
            if name not in self.workspaces:
                return None, error_of("ValueError", f"Workspace '{name}' does not exist.")
            del self.workspaces[name]
        return {each: {**config, "writable": True} for each, config in self.workspaces.items()}, ""


def provider_of(kind: type[_Provider], sky: StackSky, **settings: Any) -> _Provider:
    """A provider whose credential set `main` is this server."""

    def open_cloud(name: str, source: CredentialSource, clock: object) -> GpuCloud:
        return SkyPilotCloud(sky.client(), name)

    sources = {"main": CredentialSource(cloud="skypilot", endpoint=ENDPOINT)}
    made = kind()
    made._shared = Shared(sources, Settings(**settings), STACK, sky.clock, open_cloud)
    return made
