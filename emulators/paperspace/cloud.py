"""The emulated Paperspace: who may call, what goes wrong, who answers."""

from __future__ import annotations

from typing import Any

from emulators.cloud import Frame
from emulators.http import Answer, Request, json_response
from emulators.paperspace import machines_api, objects_api, preflight_api
from emulators.paperspace.call import Call, Handler, Routes
from emulators.paperspace.control import control, summary
from emulators.paperspace.fleet import Fleet
from emulators.paperspace.node import PREFIX, Nodes
from emulators.paperspace.objects import FAMILIES
from emulators.paperspace.problems import Refusal
from emulators.paperspace.settings import AccountSettings, Settings
from emulators.paperspace.trouble import Trouble
from emulators.ratelimit import RateLimiter, Window
from emulators.store import Store

BASE = "/paperspace/v1"


class Paperspace:
    """An emulated Paperspace.

    Args:
        frame: What all clouds share.

    Attributes:
        operations: Every `METHOD /path` of the API that it answers, below its base.
    """

    name = "paperspace"
    prefixes = ("/paperspace/",)

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._config = Store(frame.database, f"{self.name}-settings")
        saved = self._config.read("settings", "all")
        self._settings = Settings().merged(saved if isinstance(saved, dict) else {})
        table = _routes()
        self.operations = tuple(table)
        self._routes = Routes(table)
        self._limiters: dict[str, RateLimiter] = {}
        store = Store(frame.database, self.name)
        self.fleet = Fleet(store, frame.clock.now, lambda: self._settings, frame.wake)
        self._nodes = Nodes(self.fleet, frame, lambda: self._settings)

    # -- requests ----------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Answer:
        """Answers one request to the API or to a machine."""
        if request.path.startswith(PREFIX):
            request.plane, request.route = "node", f"{PREFIX}{{id}}-{{port}}"
            return await self._nodes.handle(request)
        if self._settings.latency_s:
            await self._frame.clock.sleep(self._settings.latency_s)
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return refusal.response()

    async def _answer(self, request: Request) -> Answer:
        if not request.path.startswith(f"{BASE}/"):
            raise Refusal(404, "Not found")
        path = request.path.removeprefix(BASE).rstrip("/")
        account = self._settings.keys.get(request.bearer())
        if account is None or account.auth == "none":
            if path == "/auth/session":
                request.route = path
                return json_response(None)
            raise Refusal(401, "You must be logged in to access this resource.")
        request.account = account.account
        self._limit(account)
        if account.auth == "readonly" and request.method not in ("GET", "HEAD"):
            raise Refusal(403, "You do not have permission to do this.")
        request.route, object_id, handler = self._routes.find(request.method, path)
        trouble = Trouble(self._frame, self.fleet, request, path)
        if early := await trouble.before():
            return early
        call = Call(
            request,
            account,
            self._settings,
            self.fleet,
            self._frame.clock.now(),
            trouble.hits,
            object_id,
        )
        answer = await handler(call)
        await trouble.after()
        return answer

    def _limit(self, account: AccountSettings) -> None:
        if not self._settings.rate_limit:
            return
        windows = (Window("minute", 60, self._settings.rate_limit),)
        limiter = self._limiters.get(account.account)
        if limiter is None or limiter.windows != windows:
            limiter = self._limiters[account.account] = RateLimiter(windows)
        verdict = limiter.check(self._frame.clock.now())
        if verdict.exceeded:
            told = {"Retry-After": str(verdict.retry_after_s)} if self._settings.retry_after else {}
            raise Refusal(429, "Too many requests", headers=told)

    # -- what the frame asks -----------------------------------------------------------------------

    def settle(self) -> None:
        """Does what is due by now."""
        self.fleet.settle()
        self._open_ports()

    def _open_ports(self) -> None:
        ports = self._frame.ports
        if ports is None or not self._settings.real_ports:
            return
        wanted = set()
        for machine in self.fleet.all():
            for port in machine.ports if machine.serves else ():
                path = f"{PREFIX}{machine.id}-{port}"
                wanted.add(path)
                ports.open(path, machine.certificate, port)
        ports.keep_only(PREFIX, wanted)

    def endpoints(self, base: str) -> dict[str, str]:
        """Addresses for endpoints.json."""
        return {"api": f"{base}{BASE}", "proxy": f"{base}{PREFIX}{{id}}-{{port}}"}

    def settings(self) -> dict[str, Any]:
        """The settings, as JSON."""
        return self._settings.json()

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Changes some settings and keeps them."""
        self._settings = self._settings.merged(changes)
        self._config.write([("settings", "all", self._settings.json())])

    def state(self) -> dict[str, Any]:
        """Machines alive, machines that were, what outlives them, money."""
        accounts = {one.account for one in self._settings.keys.values()}
        return {
            "alive": sum(machine.deleted_at is None for machine in self.fleet.all()),
            "machines": [summary(machine) for machine in self.fleet.all()],
            "ended": self.fleet.ended(),
            "accounts": {
                name: {
                    "spent_usd": round(self.fleet.spent(name), 6),
                    "usd_per_hour": round(self.fleet.rate(name), 6),
                    "objects": self.fleet.objects.counts(name),
                }
                for name in sorted(accounts)
            },
        }

    def control(self, method: str, path: str, body: Any) -> Any:
        """Capacity, prices, accounts, single machines."""
        return control(self, method, path, body)

    def reset(self) -> None:
        """Forgets everything that is rented or was; settings stay."""
        self.fleet.clear()
        self._limiters.clear()

    async def start(self) -> None:
        """Nothing waits for the event loop."""

    async def close(self) -> None:
        """No port is open."""


def _routes() -> dict[str, Handler]:
    table: dict[str, Handler] = {
        "GET /machines": machines_api.list_machines,
        "POST /machines": machines_api.create_machine,
        "GET /machines/{id}": machines_api.get_machine,
        "PUT /machines/{id}": machines_api.update_machine,
        "DELETE /machines/{id}": machines_api.delete_machine,
        "PATCH /machines/{id}/start": machines_api.start_machine,
        "PATCH /machines/{id}/stop": machines_api.stop_machine,
        "PATCH /machines/{id}/restart": machines_api.restart_machine,
        "GET /machine-events": machines_api.list_events,
        "GET /machine-events/{id}": machines_api.get_event,
        "GET /machine-availability": preflight_api.availability,
        "GET /os-templates": preflight_api.list_templates,
        "GET /auth/session": preflight_api.session,
        "GET /billing/account-standing": preflight_api.standing,
        "GET /health": preflight_api.health,
        "POST /startup-scripts": objects_api.create_script,
        "PUT /startup-scripts/{id}": objects_api.update_script,
        "POST /startup-scripts/{id}/assign": objects_api.assign_script,
        "POST /startup-scripts/{id}/unassign": objects_api.unassign_script,
        "POST /private-networks": objects_api.create_network,
        "PUT /private-networks/{id}": objects_api.update_network,
        "POST /public-ips": objects_api.claim_ip,
        "PUT /public-ips/{id}": objects_api.assign_ip,
        "POST /snapshots": objects_api.create_snapshot,
        "PUT /snapshots/{id}": objects_api.update_snapshot,
        "POST /snapshots/{id}/restore": objects_api.restore_snapshot,
        "POST /custom-templates": objects_api.create_template,
        "PUT /custom-templates/{id}": objects_api.update_template,
    }
    for family in FAMILIES:
        table |= objects_api.routes(family)
    return table
