"""The emulated Lambda: who may call, how often, what goes wrong, who answers."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from emulators.cloud import Frame
from emulators.http import Answer, Request, Response
from emulators.lambda_cloud import catalog_api, instances_api, objects_api
from emulators.lambda_cloud.call import Call, Handler, Routes
from emulators.lambda_cloud.control import control, summary
from emulators.lambda_cloud.fleet import Fleet
from emulators.lambda_cloud.machine import Machine
from emulators.lambda_cloud.node import Nodes
from emulators.lambda_cloud.objects import Objects
from emulators.lambda_cloud.problems import Refusal, bad_key, forbidden, inactive, too_many
from emulators.lambda_cloud.settings import AccountSettings, Settings
from emulators.lambda_cloud.trouble import Trouble
from emulators.store import Store

_OLD_HOST = "cloud.lambdalabs.com"
_LAUNCH = "/api/v1/instance-operations/launch"
_BURST = 2.0
"""Requests that may come at once: the published pace tells nothing of it, and no clock is exact."""


class Lambda:
    """An emulated Lambda.

    Args:
        frame: What all clouds share.

    Attributes:
        operations: Every `METHOD /path` of the API that it answers.
    """

    name = "lambda"
    prefixes = ("/api/v1", "/lambda/")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._store = Store(frame.database, self.name)
        self._config = Store(frame.database, f"{self.name}-settings")
        saved = self._config.read("settings", "all")
        self._settings = Settings().merged(saved if isinstance(saved, dict) else {})
        table = _routes()
        self.operations = tuple(table)
        self._routes = Routes(table)
        self._pace: dict[tuple[str, str], float] = {}
        self._objects = Objects(self._store)
        self.fleet = Fleet(self._store, frame.clock.now, lambda: self._settings)
        self._nodes = Nodes(self.fleet, frame, lambda: self._settings, self._rules_of)

    # -- requests ----------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Answer:
        """Answers one request to the API or to an instance."""
        if request.path.startswith("/lambda/"):
            request.plane, request.route = "node", "/lambda/{id}-{port}"
            return await self._nodes.handle(request)
        if self._settings.latency_s:
            await self._frame.clock.sleep(self._settings.latency_s)
        if self._settings.redirect_old_host and request.headers.get("host", "").startswith(_OLD_HOST):
            return Response(301, b"", headers={"Location": f"https://cloud.lambda.ai{request.path}"})
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return refusal.response()

    async def _answer(self, request: Request) -> Answer:
        account = self._authenticate(request)
        request.account = account.account
        self._limit(account.account, "general")
        request.route, object_id, handler = self._routes.find(request.method, request.path.rstrip("/"))
        if request.route == _LAUNCH:
            self._limit(account.account, "launch")
        if account.auth == "inactive":
            raise inactive()
        if account.auth == "forbidden" and request.method not in ("GET", "HEAD"):
            raise forbidden()
        trouble = Trouble(self._frame, self.fleet, request, self._settings.provider_unavailable)
        if early := await trouble.before():
            return early
        call = Call(
            request,
            account,
            self._settings,
            self.fleet,
            self._objects,
            self._frame.clock.now(),
            trouble.hits,
            object_id,
        )
        answer = await handler(call)
        await trouble.after()
        return answer

    def _authenticate(self, request: Request) -> AccountSettings:
        if not request.headers.get("authorization", "").strip():
            raise bad_key("No API key was provided.")
        account = self._settings.keys.get(request.bearer() or _basic(request))
        if account is None or account.auth == "invalid":
            raise bad_key()
        return account

    def _limit(self, account: str, kind: str) -> None:
        """One request each so many seconds, with a little room; a refused one uses nothing up."""
        interval = self._settings.limits().get(kind)
        if interval is None:
            return
        now = self._frame.clock.now()
        free_at = max(self._pace.get((account, kind), 0.0), now - (_BURST - 1) * interval)
        if free_at > now:
            raise too_many()
        self._pace[account, kind] = free_at + interval

    def _rules_of(self, machine: Machine) -> list[dict[str, Any]]:
        rows = {row["id"]: row for row in self._objects.rows(objects_api.RULESETS, machine.account)}
        own = [rule for one in machine.rulesets if one in rows for rule in rows[one]["rules"]]
        return own + objects_api.account_rules(self._objects, machine.account)

    # -- what the frame asks -----------------------------------------------------------------------

    def now(self) -> float:
        """Emulated time."""
        return self._frame.clock.now()

    def settle(self) -> None:
        """Does what is due by now."""
        self.fleet.settle()

    def endpoints(self, base: str) -> dict[str, str]:
        """Addresses for endpoints.json."""
        return {"api": f"{base}/api/v1", "proxy": f"{base}/lambda/{{id}}-{{port}}"}

    def settings(self) -> dict[str, Any]:
        """The settings, as JSON."""
        return self._settings.json()

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Changes some settings and keeps them."""
        self._settings = self._settings.merged(changes)
        self._config.write([("settings", "all", self._settings.json())])

    def state(self) -> dict[str, Any]:
        """Instances alive, instances that were, what else accounts have, money."""
        now = self.now()
        accounts = dict.fromkeys(one.account for one in self._settings.keys.values())
        return {
            "alive": sum(one.living(now) for one in self.fleet.all()),
            "instances": [summary(one, now) for one in self.fleet.all()],
            "ended": self.fleet.ended(),
            "accounts": {
                name: {
                    "spent_usd": round(self.fleet.spent(name), 6),
                    "ssh_keys": self._names(objects_api.KEYS, name),
                    "firewall_rulesets": self._names(objects_api.RULESETS, name),
                    "file_systems": self._names(objects_api.FILE_SYSTEMS, name),
                    "firewall_rules": objects_api.account_rules(self._objects, name),
                }
                for name in accounts
            },
        }

    def control(self, method: str, path: str, body: Any) -> Any:
        """Capacity, prices, accounts, single instances."""
        return control(self, method, path, body)

    def reset(self) -> None:
        """Forgets everything that is rented or was; settings stay."""
        self.fleet.clear()
        self._pace.clear()

    async def start(self) -> None:
        """Has nothing to start."""

    async def close(self) -> None:
        """Has nothing to close."""

    def _names(self, kind: str, account: str) -> list[str]:
        return [row["name"] for row in self._objects.rows(kind, account)]


def _basic(request: Request) -> str:
    """The key of `Authorization: Basic …`: the user name, encoded or as it is; empty if there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return token.strip()


def _routes() -> dict[str, Handler]:
    table: dict[str, Handler] = {
        "GET /instances": instances_api.list_instances,
        "GET /instances/{id}": instances_api.get_instance,
        "POST /instances/{id}": instances_api.rename,
        "POST /instance-operations/launch": instances_api.launch,
        "POST /instance-operations/terminate": instances_api.terminate,
        "POST /instance-operations/restart": instances_api.restart,
        "GET /instance-types": catalog_api.list_types,
        "GET /images": catalog_api.list_images,
        "GET /regions": catalog_api.list_regions,
        "GET /ssh-keys": objects_api.list_keys,
        "POST /ssh-keys": objects_api.add_key,
        "DELETE /ssh-keys/{id}": objects_api.delete_key,
        "GET /file-systems": objects_api.list_file_systems,
        "GET /filesystems": objects_api.list_file_systems,
        "POST /filesystems": objects_api.create_file_system,
        "DELETE /filesystems/{id}": objects_api.delete_file_system,
        "GET /firewall-rules": objects_api.get_rules,
        "PUT /firewall-rules": objects_api.put_rules,
        "GET /firewall-rulesets": objects_api.list_rulesets,
        "POST /firewall-rulesets": objects_api.create_ruleset,
        "GET /firewall-rulesets/global": objects_api.get_global,
        "PATCH /firewall-rulesets/global": objects_api.change_global,
        "GET /firewall-rulesets/{id}": objects_api.get_ruleset,
        "PATCH /firewall-rulesets/{id}": objects_api.change_ruleset,
        "DELETE /firewall-rulesets/{id}": objects_api.delete_ruleset,
    }
    return {key.replace(" ", " /api/v1", 1): handler for key, handler in table.items()}
