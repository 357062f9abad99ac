"""The emulated RunPod: who may call, what goes wrong, who answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from emulators.clock import SettingError
from emulators.cloud import Frame
from emulators.faults import Fault
from emulators.http import Answer, CutConnection, Request
from emulators.ratelimit import RateLimiter
from emulators.runpod import billing_api, catalog_api, logs_api, objects_api, pods_api
from emulators.runpod.call import Call, Routes
from emulators.runpod.fleet import Fleet
from emulators.runpod.node import Nodes
from emulators.runpod.pod import Pod
from emulators.runpod.problems import Refusal, cloudflare_page, gateway_page
from emulators.runpod.settings import DEFAULT_KEY, AccountSettings, Settings
from emulators.runpod.tcp import TcpPorts
from emulators.store import Store

FAULT_KINDS = frozenset(
    {
        # Any call to the API, nothing done:
        "error",
        "html_error_page",
        "cloudflare_403_html",
        "rate_limited",
        "slow",
        "hang",
        "cut",
        # Any call, done, and then:
        "error_after",
        "hang_after",
        "cut_after",
        # Creates:
        "create_refused",
        "create_then_500",
        "create_then_hang",
        "pool_refused",
        "no_capacity",
        "stuck_provisioning",
        "boot_fails",
        "exits",
        "unknown_state",
        "unusable",
        # Starts and deletes:
        "start_no_free_gpu",
        "start_without_gpu",
        "delete_refused",
        "delete_5xx_but_deleted",
        # Traffic to nodes:
        "node_error",
        "node_slow",
        "node_hang",
        "node_cut",
    }
)
"""Every fault that can be set; docs/emulators.md says what each does."""


class RunPod:
    """An emulated RunPod.

    Args:
        frame: What all clouds share.
    """

    name = "runpod"
    prefixes = ("/v2", "/proxy/", "/v1/")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._store = Store(frame.database, self.name)
        self._config = Store(frame.database, f"{self.name}-settings")
        saved = self._config.read("settings", "all")
        self._settings = Settings().merged(saved if isinstance(saved, dict) else {})
        self._routes = _routes(frame)
        self._limiters: dict[str, RateLimiter] = {}
        self._ports = TcpPorts(self._settings.tcp_listeners)
        self.fleet = Fleet(self._store, frame.clock.now, lambda: self._settings, self._ports, frame.wake)
        self._nodes = Nodes(self.fleet, frame, lambda: self._settings)

    # -- requests ----------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Answer:
        """Answers one request to the API or to a pod."""
        if request.path.startswith("/proxy/"):
            request.plane, request.route = "node", "/proxy/{id}-{port}"
            return await self._nodes.handle(request)
        if self._settings.latency_s:
            await self._frame.clock.sleep(self._settings.latency_s)
        headers: dict[str, str] = {}
        try:
            answer = await self._answer(request, headers)
        except Refusal as refusal:
            answer = refusal.response()
        answer.headers.update(headers)
        return answer

    async def _answer(self, request: Request, headers: dict[str, str]) -> Answer:
        settings = self._settings
        if request.path.startswith("/v1/"):
            request.route = "/v1/…"
            raise (
                Refusal(410, "REST v1 has been retired; use v2")
                if settings.v1_retired
                else Refusal(404, "not found")
            )
        agent = request.headers.get("user-agent", "")
        if settings.user_agent_check and (not agent or agent.startswith("Python-urllib")):
            return cloudflare_page()
        account = self._authenticate(request)
        request.account = account.account
        self._limit(account, headers)
        if account.auth == "readonly" and request.method not in ("GET", "HEAD"):
            raise Refusal(403, "access denied")
        request.route, object_id, handler = self._routes.find(request.method, request.path.rstrip("/"))
        if early := await self._fail_before(request):
            return early
        call = Call(
            request,
            account,
            self._settings,
            self.fleet,
            self._store,
            self._frame.clock.now(),
            lambda kind, name: self._fault(kind, request, name),
            object_id,
        )
        pod = self.fleet.get(account.account, object_id) if object_id else None
        answer = await handler(call)
        await self._fail_after(request, "" if pod is None else pod.name)
        return answer

    def _authenticate(self, request: Request) -> AccountSettings:
        token = request.bearer()
        if not token:
            raise Refusal(401, "missing bearer token")
        account = self._settings.keys.get(token)
        if account is None or account.auth == "none":
            raise Refusal(401, "invalid bearer token")
        return account

    def _limit(self, account: AccountSettings, headers: dict[str, str]) -> None:
        windows = self._settings.windows()
        if not windows:
            return
        limiter = self._limiters.get(account.account)
        if limiter is None or limiter.windows != windows:
            limiter = self._limiters[account.account] = RateLimiter(windows)
        verdict = limiter.check(self._frame.clock.now())
        headers.update(verdict.headers)
        if verdict.exceeded:
            raise Refusal(
                429,
                f"rate limit exceeded for the {verdict.exceeded.name} window",
                headers={"Retry-After": str(verdict.retry_after_s)},
            )

    def _fault(self, kind: str, request: Request, name: str = "") -> Fault | None:
        return self._frame.faults.take(
            kind,
            cloud=self.name,
            method=request.method,
            path=request.path,
            name=name,
            account=request.account,
        )

    async def _fail_before(self, request: Request) -> Answer | None:
        """Faults that leave the call without effect."""
        name = _node_name(request, self.fleet)
        if fault := self._fault("slow", request, name):
            await self._frame.clock.sleep(fault.number("seconds", 5))
        if fault := self._fault("hang", request, name):
            await self._frame.clock.sleep(fault.number("seconds", 600))
            raise CutConnection
        if self._fault("cut", request, name):
            raise CutConnection
        if fault := self._fault("rate_limited", request, name):
            seconds = int(fault.number("retry_after_s", 12))
            raise Refusal(
                429, "rate limit exceeded for the minute window", headers={"Retry-After": str(seconds)}
            )
        if fault := self._fault("error", request, name):
            status = int(fault.number("status", 500))
            raise Refusal(status, fault.text("detail", "internal error"))
        if fault := self._fault("html_error_page", request, name):
            return gateway_page(int(fault.number("status", 502)))
        if self._fault("cloudflare_403_html", request, name):
            return cloudflare_page()
        return None

    async def _fail_after(self, request: Request, pod_name: str) -> None:
        """Faults of calls that have had their effect."""
        name = pod_name or _node_name(request, self.fleet)
        create = request.route == "/v2/pods" and request.method == "POST"
        delete = request.route == "/v2/pods/{id}" and request.method == "DELETE"
        for kind, applies in (
            ("create_then_500", create),
            ("delete_5xx_but_deleted", delete),
            ("error_after", True),
        ):
            if applies and (fault := self._fault(kind, request, name)):
                raise Refusal(int(fault.number("status", 500)), fault.text("detail", "internal error"))
        for kind, applies in (("create_then_hang", create), ("hang_after", True)):
            if applies and (fault := self._fault(kind, request, name)):
                await self._frame.clock.sleep(fault.number("seconds", 600))
                raise CutConnection
        if self._fault("cut_after", request, name):
            raise CutConnection

    # -- what the frame asks -----------------------------------------------------------------------

    def settle(self) -> None:
        """Does what is due by now."""
        self.fleet.settle()

    def endpoints(self, base: str) -> dict[str, str]:
        """Addresses for endpoints.json."""
        return {"api": f"{base}/v2", "proxy": f"{base}/proxy/{{id}}-{{port}}"}

    def settings(self) -> dict[str, Any]:
        """The settings, as JSON."""
        return self._settings.json()

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Changes some settings and keeps them."""
        self._settings = self._settings.merged(changes)
        self._ports.listening = self._settings.tcp_listeners
        self._config.write([("settings", "all", self._settings.json())])
        self.fleet.forget_views()

    def state(self) -> dict[str, Any]:
        """Pods alive, pods that were, money."""
        accounts = {one.account: one for one in self._settings.keys.values()}
        return {
            "pods": [_summary(pod) for pod in self.fleet.all()],
            "ended": self.fleet.ended(),
            "accounts": {
                name: {
                    "spent_usd": round(self.fleet.spent(name), 6),
                    "usd_per_hour": round(self.fleet.rate(name), 6),
                    "balance_usd": None
                    if one.balance is None
                    else round(one.balance - self.fleet.spent(name), 6),
                }
                for name, one in accounts.items()
            },
        }

    def control(self, method: str, path: str, body: Any) -> Any:
        """Capacity, prices, accounts, single pods."""
        parts = path.split("/")
        match method, parts:
            case "GET", ["capacity" | "prices" as table]:
                return getattr(self._settings, table)
            case "PUT", ["capacity" | "prices" as table]:
                self.change_settings({table: {**getattr(self._settings, table), **_object(body)}})
                return getattr(self._settings, table)
            case "DELETE", ["capacity" | "prices" as table]:
                self.change_settings({table: {}})
                return {}
            case "PATCH", ["account"]:
                return self._change_account(dict(_object(body)))
            case "POST", ["pods", pod_id, "crash"]:
                pod = self._pod(pod_id)
                self.fleet.stop(pod, phase=_object(body).get("phase", "EXITED"), reason="container crashed")
                return _summary(pod)
            case "POST", ["pods", pod_id, "terminate"]:
                self.fleet.terminate(self._pod(pod_id), reason="terminated by the cloud")
                return {"terminated": pod_id}
            case "PATCH", ["pods", pod_id]:
                pod = self._pod(pod_id)
                for key, value in _object(body).items():
                    if key not in ("reported_status", "unusable", "locked", "gpu_count"):
                        raise SettingError(f"a pod's {key!r} can not be set")
                    setattr(pod, key, value)
                self.fleet.touch(pod)
                return _summary(pod)
            case _:
                return None

    def reset(self) -> None:
        """Forgets everything that is rented or was, and all settings."""
        self.fleet.clear()
        self._limiters.clear()
        self._config.clear()
        self._settings = Settings()
        self._ports.listening = self._settings.tcp_listeners

    async def start(self) -> None:
        """Begins to listen on the TCP ports of pods that were ready before a restart."""
        self._ports.start()

    async def close(self) -> None:
        """Closes the TCP ports of pods."""
        self._ports.close_all()

    def _change_account(self, changes: dict[str, Any]) -> dict[str, Any]:
        key = changes.pop("key", DEFAULT_KEY)
        before = self._settings.keys.get(key, AccountSettings(account=str(changes.get("account", "another"))))
        try:
            after = replace(before, **changes)
        except TypeError:
            raise SettingError("an account has account, auth, balance, spend_limit") from None
        keys = {**self.settings()["keys"], key: replace(after)}
        self.change_settings({"keys": {k: v if isinstance(v, dict) else _fields(v) for k, v in keys.items()}})
        return _fields(after)

    def _pod(self, pod_id: str) -> Pod:
        pod = self.fleet.any(pod_id)
        if pod is None:
            raise SettingError(f"there is no pod {pod_id!r}")
        return pod


def _fields(account: AccountSettings) -> dict[str, Any]:
    return {
        "account": account.account,
        "auth": account.auth,
        "balance": account.balance,
        "spend_limit": account.spend_limit,
    }


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise SettingError("the body is not an object")
    return body


def _node_name(request: Request, fleet: Fleet) -> str:
    """Name of the node that a request is about: from the body of a create, or of the pod in the path."""
    parts = request.path.strip("/").split("/")
    if len(parts) >= 3 and parts[1] == "pods":
        pod = fleet.any(parts[2])
        return "" if pod is None else pod.name
    if request.method == "POST" and parts[-1] == "pods":
        try:
            body = request.json()
        except ValueError:
            return ""
        name = body.get("name") if isinstance(body, dict) else None
        return name if isinstance(name, str) else ""
    return ""


def _summary(pod: Pod) -> dict[str, Any]:
    """A pod for state dumps: no environment, which may hold secrets."""
    return {
        "id": pod.id,
        "account": pod.account,
        "name": pod.name,
        "phase": pod.phase,
        "gpu": pod.gpu_id,
        "gpu_count": pod.gpu_count,
        "cloud": pod.cloud,
        "data_center": pod.data_center,
        "usd_per_hour": pod.rate,
        "created_at": pod.created_at,
        "boots": pod.boots,
    }


def _routes(frame: Frame) -> Routes:
    return Routes(
        {
            "GET /v2/pods": pods_api.list_pods,
            "POST /v2/pods": pods_api.create_pod,
            "GET /v2/pods/{id}": pods_api.get_pod,
            "PATCH /v2/pods/{id}": pods_api.update_pod,
            "DELETE /v2/pods/{id}": pods_api.delete_pod,
            "POST /v2/pods/{id}/action": pods_api.act,
            "GET /v2/pods/{id}/logs": logs_api.handler(frame),
            "GET /v2/catalog/gpus": catalog_api.list_gpus,
            "GET /v2/catalog/gpus/{id}": catalog_api.get_gpu,
            "GET /v2/catalog/cpus": catalog_api.list_cpus,
            "GET /v2/catalog/cpus/{id}": catalog_api.get_cpu,
            "GET /v2/catalog/datacenters": catalog_api.list_data_centers,
            "GET /v2/catalog/datacenters/{id}": catalog_api.get_data_center,
            "GET /v2/catalog/templates": catalog_api.list_templates,
            "GET /v2/account/ssh-keys": objects_api.get_ssh_keys,
            "PUT /v2/account/ssh-keys": objects_api.put_ssh_keys,
            "GET /v2/network-volumes": objects_api.list_volumes,
            "POST /v2/network-volumes": objects_api.create_volume,
            "GET /v2/network-volumes/{id}": objects_api.get_volume,
            "PATCH /v2/network-volumes/{id}": objects_api.update_volume,
            "DELETE /v2/network-volumes/{id}": objects_api.delete_volume,
            "GET /v2/templates": objects_api.list_templates,
            "POST /v2/templates": objects_api.create_template,
            "GET /v2/templates/{id}": objects_api.get_template,
            "PATCH /v2/templates/{id}": objects_api.update_template,
            "DELETE /v2/templates/{id}": objects_api.delete_template,
            "GET /v2/registries": objects_api.list_registries,
            "POST /v2/registries": objects_api.create_registry,
            "GET /v2/registries/{id}": objects_api.get_registry,
            "DELETE /v2/registries/{id}": objects_api.delete_registry,
            "GET /v2/billing/pods": billing_api.list_pod_billing,
        }
    )
