"""The emulated RunPod: who may call, what goes wrong, who answers."""

from __future__ import annotations

from typing import Any

from emulators.cloud import Frame
from emulators.http import Answer, Request
from emulators.ratelimit import RateLimiter
from emulators.runpod import billing_api, catalog_api, graphql_api, logs_api, objects_api, pods_api
from emulators.runpod.call import Call, Handler, Routes
from emulators.runpod.control import control, summary
from emulators.runpod.fleet import Fleet
from emulators.runpod.node import Nodes
from emulators.runpod.problems import Refusal, cloudflare_page
from emulators.runpod.settings import AccountSettings, Settings
from emulators.runpod.tcp import TcpPorts
from emulators.runpod.trouble import Trouble
from emulators.store import Store


class RunPod:
    """An emulated RunPod.

    Args:
        frame: What all clouds share.

    Attributes:
        operations: Every `METHOD /path` of REST v2 that it answers.
    """

    name = "runpod"
    prefixes = ("/v2", "/proxy/", "/v1/", "/graphql")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._store = Store(frame.database, self.name)
        self._config = Store(frame.database, f"{self.name}-settings")
        saved = self._config.read("settings", "all")
        self._settings = Settings().merged(saved if isinstance(saved, dict) else {})
        table = _routes(frame)
        self.operations = tuple(operation for operation in table if "/v2/" in operation)
        self._routes = Routes(table)
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
        graphql = request.path.rstrip("/") == "/graphql"
        if graphql and settings.graphql_retired:
            request.route = "/graphql"
            raise Refusal(410, "GraphQL has been retired; use REST v2")
        agent = request.headers.get("user-agent", "")
        if settings.user_agent_check and (not agent or agent.startswith("Python-urllib")):
            return cloudflare_page()
        account = self._authenticate(request)
        request.account = account.account
        self._limit(account, headers)
        if account.auth == "readonly" and not graphql and request.method not in ("GET", "HEAD"):
            raise Refusal(403, "access denied")
        request.route, object_id, handler = self._routes.find(request.method, request.path.rstrip("/"))
        trouble = Trouble(self._frame, self.fleet, request)
        if early := await trouble.before():
            return early
        call = Call(
            request,
            account,
            self._settings,
            self.fleet,
            self._store,
            self._frame.clock.now(),
            trouble.hits,
            object_id,
        )
        answer = await handler(call)
        await trouble.after()
        return answer

    def _authenticate(self, request: Request) -> AccountSettings:
        token = request.bearer()
        if request.path.startswith("/graphql"):
            token = token or request.query.get("api_key", "")
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
        """Pods alive, pods that were, network volumes, money."""
        accounts = {one.account: one for one in self._settings.keys.values()}
        return {
            "alive": sum(pod.phase != "TERMINATED" for pod in self.fleet.all()),
            "pods": [summary(pod) for pod in self.fleet.all()],
            "ended": self.fleet.ended(),
            "volumes": {name: self.fleet.objects(f"network-volumes/{name}") for name in accounts},
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
        return control(self, method, path, body)

    def reset(self) -> None:
        """Forgets everything that is rented or was; settings stay."""
        self.fleet.clear()
        self._limiters.clear()

    async def start(self) -> None:
        """Begins to listen on the TCP ports of pods that were ready before a restart."""
        self._ports.start()

    async def close(self) -> None:
        """Closes the TCP ports of pods."""
        self._ports.close_all()


def _routes(frame: Frame) -> dict[str, Handler]:
    return {
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
        "POST /graphql": graphql_api.answer,
    }
