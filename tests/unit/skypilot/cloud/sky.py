"""A SkyPilot server in memory that answers in the shapes, and with the words, of the recorded one.

What it does was seen at the real server 0.14.1: a launch is a request that ends later; a cluster is listed
before it is up; one that is gone, or whose launch was cut short, is listed as it was until somebody asks with
FORCE; requests are forgotten at a restart; a cancelled launch leaves its machine.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from gpu_clouds.clock import Clock
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import SkyPilotConnection

RECORDINGS = Path(__file__).parents[3] / "contract_client" / "recordings" / "skypilot"
ENDPOINT = "http://127.0.0.1:46580"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
HEADERS = {"x-skypilot-api-version": "62", "x-skypilot-version": "0.14.1"}


@lru_cache
def _entries(file: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RECORDINGS / f"{file}.json").read_text(encoding="utf-8"))
    return found


def recorded(file: str, call: str) -> Any:
    """The body that the real server has sent for a call."""
    return json.loads(next(each["response"]["text"] for each in _entries(file) if each["call"] == call))


def recorded_value(file: str, call: str) -> Any:
    """The return value of a recorded request that succeeded."""
    return json.loads(recorded(file, call)["return_value"])


def recorded_error(file: str, call: str) -> str:
    """The error of a recorded request that failed, as JSON text."""
    return str(recorded(file, call)["detail"]["error"])


NO_CAPACITY = recorded_error("errors", "launch.impossible.get")
MISMATCH = recorded_error("clusters", "launch.other_gpu.get")
ABSENT = recorded_error("errors", "down.absent.get")
NO_STOP = recorded_error("clusters", "stop.unsupported.get")
NO_ENDPOINTS = recorded_error("clusters", "endpoints.unsupported.get")
NOTHING_FOUND = recorded_error("catalogue", "list_accelerators.none.get")
CATALOGUE = recorded_value("catalogue", "list_accelerators.get")
(REQUEST,) = recorded("launch", "api_status.running")
UP = {"status": "UP", "init_kind": None, "init_status_reason": None, "cluster_ever_up": True}
LAUNCHING = recorded_value("clusters", "status.get")[0] | {
    "status": "INIT",
    "init_kind": "launching",
    "init_status_reason": "Provisioning on slurm in fake",
    "cluster_ever_up": False,
}


def error_of(kind: str, message: str) -> str:
    """An error in the recorded shape."""
    return json.dumps({"object": "<pickle>", "type": kind, "message": message})


NOT_UP = error_of("ClusterNotUpError", "Cluster 'x' has been stopped or not properly set up.")


@dataclass
class Plan:
    """How one launch goes.

    Attributes:
        error: It ends so; empty: well.
        after_s: When it ends.
        listed_s: When the cluster is listed; None for never.
        up_s: When its machine runs.
    """

    error: str = ""
    after_s: float = 40.0
    listed_s: float | None = 1.0
    up_s: float = 20.0


@dataclass
class Asked:
    """A request of the server."""

    id: str
    name: str
    cluster: str
    value: Any = None
    error: str = ""
    began: float = 0.0
    ends: float = 0.0
    plan: Plan | None = None
    task: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False
    done: bool = False


@dataclass
class Sky:
    """The server."""

    clock: Clock
    plans: list[Plan] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)
    """Cluster -> `booting` or `running`: what really is there."""
    jobs: dict[str, int] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    clouds: list[str] = field(default_factory=lambda: ["slurm"])
    down_s: float = 15.0
    refused: int = 0
    away: bool = False
    lose_answer: bool = False
    on_call: Callable[[str], None] = lambda path: None

    def client(self, cancel: threading.Event | None = None, may_send: Any = lambda: None) -> SkyPilotClient:
        connection = SkyPilotConnection(
            ENDPOINT, clock=self.clock, cancel=cancel or threading.Event(), may_send=may_send, name="sky"
        )
        return SkyPilotClient(connection, transport=httpx.MockTransport(self.answer))

    def sent(self, path: str) -> int:
        return self.calls.count(path)

    @property
    def left(self) -> int:
        """Machines that cost money."""
        self._advance()
        return len(self.machines)

    def restart(self) -> None:
        """Killed and started again: no request is known any more, and what they worked on stays as it is."""
        self._advance()
        self.asked.clear()
        self.machines = dict.fromkeys(self.machines, "running")

    def take_away(self, name: str) -> None:
        """The machine is gone; nobody has told the server."""
        self.machines.pop(name, None)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        body = json.loads(request.content) if request.content else {}
        if self.away:
            raise httpx.ConnectError("connection refused")
        if self.refused:
            return httpx.Response(self.refused, json={"detail": "Invalid or expired token"})
        self._advance()
        self.calls.append(path)
        self.on_call(path)
        if path == "/api/health":
            return httpx.Response(
                200, json=recorded("server", "health") | {"status": "healthy"}, headers=HEADERS
            )
        if path == "/api/status":
            return self._status_of_requests(request.url.params)
        if path == "/api/get":
            return self._result(request.url.params["request_id"])
        if path in ("/logs", "/provision_logs"):
            return httpx.Response(200, text="".join(f"{line}\n" for line in self.log))
        made = self._begin(path, body)
        if path == "/launch" and self.lose_answer:
            self.lose_answer = False
            raise httpx.ReadTimeout("no answer")
        return httpx.Response(200, json=None, headers={**HEADERS, "x-skypilot-request-id": made.id})

    def _begin(self, path: str, body: dict[str, Any]) -> Asked:
        now = self.clock.monotonic()
        name = str(body.get("cluster_name") or body.get("cluster") or "")
        made = Asked(
            f"00000000-0000-4000-8000-{len(self.calls):012d}", f"sky.{path[1:]}", name, began=now, ends=now
        )
        self.asked[made.id] = made
        if path == "/launch":
            made.task = json.loads(body["task"])
            made.plan = self.plans.pop(0) if self.plans else Plan()
            made.ends, made.error = now + made.plan.after_s, made.plan.error
            made.value = {"job_id": 1, "handle": "gAROLg=="}
        elif path == "/start":
            made.ends = now + 30
        elif path == "/down":
            made.ends, made.error = (now + self.down_s, "") if name in self.records else (now, ABSENT)
        elif path == "/stop":
            made.error = NO_STOP
        elif path == "/api/cancel":
            self._cancel(body["request_ids"])
            made.value = body["request_ids"]
        else:
            made.value, made.error = self._read(path, body, name)
        return made

    def _read(self, path: str, body: dict[str, Any], name: str) -> tuple[Any, str]:
        if path == "/status":
            return self._status(body), ""
        if path == "/enabled_clouds":
            return self.clouds, ""
        if path == "/list_accelerators":
            wanted = str(body["name_filter"]).strip("^$").replace("\\", "")
            found = {wanted: CATALOGUE[wanted]} if wanted in CATALOGUE else {}
            return (found, "") if found else (None, NOTHING_FOUND)
        if path == "/queue":
            if self.jobs.get(name, -1) < 0:
                return None, NOT_UP
            return [{"job_id": number + 1, "status": "RUNNING"} for number in range(self.jobs[name])], ""
        if path == "/endpoints":
            return (self.urls, "") if self.urls else (None, NO_ENDPOINTS)
        raise AssertionError(f"nobody expects {path}")

    def _status(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        assert body["include_credentials"] is False
        wanted = body["cluster_names"]
        names = [name for name in self.records if wanted is None or name in wanted]
        if body["refresh"] == "FORCE":
            for name in names:
                self._refresh(name)
        return [copy.deepcopy(self.records[name]) for name in names if name in self.records]

    def _refresh(self, name: str) -> None:
        """Asks the cloud, unless somebody works on the cluster."""
        if any(each.cluster == name and not self._over(each) for each in self.asked.values()):
            return
        record = self.records[name]
        if name not in self.machines:
            del self.records[name]
        elif self.machines[name] == "running" and record["status"] == "INIT":
            # Measured: also one whose launch was cut short.
            record.update(**UP)

    def _advance(self) -> None:
        """What has happened by now."""
        now = self.clock.monotonic()
        for each in self.asked.values():
            if each.done:
                continue
            each.done = now >= each.ends
            if each.plan is not None:
                self._launch(each, each.plan, min(now, each.ends) - each.began)
            elif each.name == "sky.down" and each.done and not each.error:
                self.records.pop(each.cluster, None)
                self.machines.pop(each.cluster, None)
                self.jobs.pop(each.cluster, None)
            elif each.name == "sky.start" and each.done and each.cluster in self.records:
                self.records[each.cluster].update(status="UP")
                self.machines[each.cluster] = "running"

    def _launch(self, each: Asked, plan: Plan, passed: float) -> None:
        name = each.cluster
        if plan.listed_s is not None and passed >= plan.listed_s and name not in self.records:
            self.records[name] = self._record(each)
            self.jobs[name] = -1
            self.machines[name] = "booting"
        if name in self.machines and passed >= plan.up_s:
            self.machines[name] = "running"
        if each.done and not each.cancelled and not plan.error:
            self.records[name].update(**UP)
            self.machines[name] = "running"
            self.jobs[name] = 1 if each.task.get("run") or each.task.get("setup") else 0

    def _record(self, each: Asked) -> dict[str, Any]:
        resources = each.task["resources"]
        region = str(resources.get("infra", "slurm/fake")).partition("/")[2] or "fake"
        return {
            **copy.deepcopy(LAUNCHING),
            "name": each.cluster,
            "launched_at": int(each.began),
            "cluster_hash": each.id,
            "nodes": each.task.get("num_nodes", 1),
            "region": region,
            "accelerators": repr(resources.get("accelerators", {})),
            "labels": resources.get("labels") or {},
        }

    def _cancel(self, ids: list[str]) -> None:
        for each in ids:
            if each in self.asked and not self._over(self.asked[each]):
                self.asked[each].cancelled = True
                self.asked[each].ends = self.clock.monotonic()

    def _over(self, each: Asked) -> bool:
        return self.clock.monotonic() >= each.ends

    def _state(self, each: Asked) -> str:
        if not self._over(each):
            return "RUNNING"
        return "CANCELLED" if each.cancelled else "FAILED" if each.error else "SUCCEEDED"

    def _entry(self, each: Asked) -> dict[str, Any]:
        return {
            **REQUEST,
            "request_id": each.id,
            "name": each.name,
            "cluster_name": each.cluster or None,
            "status": self._state(each),
        }

    def _status_of_requests(self, params: httpx.QueryParams) -> httpx.Response:
        ids = params.get_list("request_ids")
        found = [
            self._entry(each)
            for each in self.asked.values()
            if (each.id in ids if ids else not self._over(each))
            and params.get("cluster_name") in (None, each.cluster)
        ]
        return httpx.Response(200, json=found, headers=HEADERS)

    def _result(self, request_id: str) -> httpx.Response:
        each = self.asked.get(request_id)
        if each is None:
            return httpx.Response(404, json={"detail": f"Request {request_id!r} not found"}, headers=HEADERS)
        self.clock.sleep(max(0.0, each.ends - self.clock.monotonic()))  # the server holds its answer back
        self._advance()
        entry = {
            **self._entry(each),
            "return_value": json.dumps(each.value),
            "error": each.error or "null",
        }
        if each.error and not each.cancelled:
            return httpx.Response(500, json={"detail": entry}, headers=HEADERS)
        return httpx.Response(200, json=entry, headers=HEADERS)
