"""The emulated Vast.ai: who may call, what goes wrong, who answers."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import Any

from emulators.clock import SettingError
from emulators.cloud import Frame
from emulators.http import Answer, CutConnection, Request
from emulators.node_tls import NO_SERVER
from emulators.ratelimit import RateLimiter, Window
from emulators.store import Store
from emulators.traffic import ServingNode, error_page, serve
from emulators.vast.api import ROUTES, Call
from emulators.vast.fleet import Fleet
from emulators.vast.machine import Machine, summary
from emulators.vast.problems import Refusal
from emulators.vast.settings import DEFAULT_KEY, AccountSettings, Settings
from emulators.vast.trouble import Trouble

BASE = "/vast/api"
NODE = "/vast/node/"
_NODE_PATH = re.compile(r"/vast/node/(?P<id>\d+)-(?P<port>\d+)(?P<rest>/.*)?")
_MACHINE_KEYS: dict[str, type] = {"reported_status": str, "trouble": str, "stopped": bool}


class Vast:
    """An emulated cloud.

    Args:
        frame: What all clouds share.
    """

    name = "vast"
    prefixes = ("/vast/",)

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._config = Store(frame.database, f"{self.name}-settings")
        saved = self._config.read("settings", "all")
        self._settings = Settings().merged(saved if isinstance(saved, dict) else {})
        self._limiters: dict[str, RateLimiter] = {}
        self.fleet = Fleet(Store(frame.database, self.name), frame.clock.now, lambda: self._settings)
        self._routes = [
            (method, route, re.compile(route.replace("{id}", "(?P<id>[^/]+)")), handler)
            for (method, route), handler in ROUTES.items()
        ]

    async def handle(self, request: Request) -> Answer:
        """Answers one request to the API or to an instance."""
        if request.path.startswith(NODE):
            request.plane, request.route = "node", f"{NODE}{{id}}-{{port}}"
            return await self._traffic(request)
        if self._settings.latency_s:
            await self._frame.clock.sleep(self._settings.latency_s)
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return refusal.response()

    async def _answer(self, request: Request) -> Answer:
        account = self._settings.keys.get(request.bearer())
        if account is None or account.auth == "none":
            raise Refusal(401, "auth_error", "Invalid user key")
        request.account = account.account
        self._limit(account)
        search = request.path.rstrip("/") == f"{BASE}/v0/bundles"
        if account.auth == "readonly" and request.method != "GET" and not search:
            raise Refusal(403, "not_authorized", "This key may not do this")
        path = request.path.removeprefix(BASE).rstrip("/")
        for method, route, pattern, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is None or method != request.method:
                continue
            request.route = route
            object_id = match.groupdict().get("id", "")
            trouble = Trouble(self._frame, request, self._label(request, object_id))
            if early := await trouble.before():
                return early
            call = Call(request, account, self._settings, self.fleet, trouble.hits, object_id)
            answer = handler(call)
            await trouble.after()
            return answer
        raise Refusal(404, "not_found", "no such path")

    async def _traffic(self, request: Request) -> Answer:
        match = _NODE_PATH.fullmatch(request.path)
        machine = self.fleet.any(match["id"]) if match else None
        if match is None or machine is None or int(match["port"]) not in machine.ports:
            raise CutConnection
        if not machine.serves(self._frame.clock.now(), self._settings) or machine.certificate == NO_SERVER:
            raise CutConnection
        if machine.certificate and not request.encrypted:
            raise CutConnection
        if machine.trouble == "unusable":
            return error_page(500)
        node = ServingNode(
            cloud=self.name,
            name=machine.label,
            account=machine.account,
            model=_model(machine),
            api_key=machine.env.get("VLLM_API_KEY", ""),
            alive=lambda: machine.serves(self._frame.clock.now(), self._settings),
            tokens_per_s=lambda: self._settings.tokens_per_s,
        )
        return await serve(self._frame, request, match["rest"] or "/", node)

    def _limit(self, account: AccountSettings) -> None:
        if not self._settings.rate_limit:
            return
        windows = (Window("minute", 60, self._settings.rate_limit),)
        limiter = self._limiters.get(account.account)
        if limiter is None or limiter.windows != windows:
            limiter = self._limiters[account.account] = RateLimiter(windows)
        if limiter.check(self._frame.clock.now()).exceeded:
            raise Refusal(429, "too_many_requests", "API requests too frequent")

    def _label(self, request: Request, object_id: str) -> str:
        """Label of the instance that a request is about, or makes; faults may be for some only."""
        if request.route.startswith("/v0/instances"):
            machine = self.fleet.any(object_id)
            return "" if machine is None else machine.label
        if request.method == "PUT":
            try:
                body = request.json()
            except ValueError:
                return ""
            label = body.get("label") if isinstance(body, dict) else None
            return label if isinstance(label, str) else ""
        return ""

    def settle(self) -> None:
        """Opens and closes ports; all else of an instance follows from its age."""
        ports = self._frame.ports
        if ports is None or not self._settings.real_ports:
            return
        now, wanted = self._frame.clock.now(), set()
        for machine in self.fleet.all():
            if machine.certificate == NO_SERVER or not machine.serves(now, self._settings):
                continue
            before = dict(machine.real_ports)
            for port in machine.ports:
                path = f"{NODE}{machine.id}-{port}"
                wanted.add(path)
                number = ports.open(path, machine.certificate, before.get(str(port), 0))
                machine.real_ports[str(port)] = number or ports.open(path, machine.certificate)
            if machine.real_ports != before:
                self.fleet.save(machine)
        ports.keep_only(NODE, wanted)

    def endpoints(self, base: str) -> dict[str, str]:
        """Addresses for endpoints.json."""
        return {"api": f"{base}{BASE}", "proxy": f"{base}{NODE}{{id}}-{{port}}"}

    def settings(self) -> dict[str, Any]:
        """The settings, as JSON."""
        return self._settings.json()

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Changes some settings and keeps them."""
        self._settings = self._settings.merged(changes)
        self._config.write([("settings", "all", self._settings.json())])

    def state(self) -> dict[str, Any]:
        """Instances that are and that were, and money."""
        now = self._frame.clock.now()
        machines = [summary(one, now, self._settings) for one in self.fleet.all()]
        accounts = sorted({one.account for one in self._settings.keys.values()})
        return {
            "alive": sum(one["deleted_at"] is None for one in machines),
            "machines": machines,
            "accounts": {name: {"spent_usd": round(self.fleet.spent(name), 6)} for name in accounts},
        }

    def control(self, method: str, path: str, body: Any) -> Any:
        """Capacity, prices, accounts, single instances."""
        if not isinstance(body, dict) and method != "GET":
            raise SettingError("the body is not an object")
        match method, path.split("/"):
            case "GET", ["capacity" | "prices" as table]:
                return self.settings()[table]
            case "PUT", ["capacity" | "prices" as table]:
                self.change_settings({table: {**self.settings()[table], **body}})
                return self.settings()[table]
            case "PATCH", ["account"]:
                return self._change_account(dict(body))
            case "POST", ["instances", machine_id, "destroy"]:
                self.fleet.destroy(self._machine(machine_id))
                return {"destroyed": machine_id}
            case "PATCH", ["instances", machine_id]:
                machine = self._machine(machine_id)
                for key, value in body.items():
                    if not isinstance(value, _MACHINE_KEYS.get(key, ())):
                        raise SettingError(f"an instance's {key!r} can not be set to {value!r}")
                    setattr(machine, key, value)
                self.fleet.save(machine)
                return summary(machine, self._frame.clock.now(), self._settings)
            case _:
                return None

    def reset(self) -> None:
        """Forgets everything that is rented or was; settings stay."""
        self.fleet.clear()
        self._limiters.clear()

    async def start(self) -> None:
        """Nothing waits for the event loop."""

    async def close(self) -> None:
        """No port is open."""

    def _change_account(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Changes the account of one key, or adds one."""
        key = changes.pop("key", DEFAULT_KEY)
        keys = self.settings()["keys"]
        before = AccountSettings(**keys[key]) if key in keys else AccountSettings("another")
        try:
            after = asdict(replace(before, **changes))
        except TypeError:
            raise SettingError("an account has account, auth and credit") from None
        self.change_settings({"keys": {**keys, key: after}})
        return after

    def _machine(self, machine_id: str) -> Machine:
        machine = self.fleet.any(machine_id)
        if machine is None:
            raise SettingError(f"there is no instance {machine_id!r}")
        return machine


def _model(machine: Machine) -> str:
    """The model that it serves: from its arguments, from MODEL, or the built-in one."""
    for option in ("--served-model-name", "--model"):
        for index, word in enumerate(machine.arguments[:-1]):
            if word == option:
                return machine.arguments[index + 1]
    return machine.env.get("MODEL", "tiny-markov")
