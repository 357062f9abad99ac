"""GatewayNode: a node in the table of a gateway.

The gateway is asked through its admin endpoint alone. Registering is a PUT, so a lost answer or a lost state
is healed by the next `up`. A node that goes is drained first; a gateway that is gone has nothing to forget.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import pulumi
from pulumi import dynamic
from pydantic import Field

from dynamic_providers.base import Inputs, Provider, checked, inputs_in, own_props, parse
from dynamic_providers.clouds import Shared
from dynamic_providers.gateway_admin import GatewayAdmin, GatewayAwayError
from dynamic_providers.host import fence
from dynamic_providers.host.call import current_call, progress
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import DetailedDiff, Kind, root_of
from gpu_clouds.clock import SystemClock
from gpu_clouds.connection import is_loopback
from gpu_clouds.errors import AuthError, TransientError, ValidationError

COMPUTED = ("state",)
HEALTHY, OPEN = "healthy", "open"
SEEN_S = 5.0
"""How long a new node may take until the gateway has seen it answer, seconds; only a warning follows."""
_LOOK_S = 0.1
_REPLACING = frozenset({"gateway", "node", "nodeId"})
_REPLACE = {Kind.ADD: Kind.ADD_REPLACE, Kind.DELETE: Kind.DELETE_REPLACE, Kind.UPDATE: Kind.UPDATE_REPLACE}
_TOLD = ("url", "models", "maxInFlight", "tlsSha256", "router")
"""What the gateway tells of a node and the stack declares."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_SHA256 = re.compile(r"([0-9a-f]{64})?")


class GatewayNodeInputs(Inputs):
    """Inputs of a GatewayNode. What may not be known yet has a default, and a rule that refuses it.

    Attributes:
        gateway: Base URL of the gateway.
        admin_token: Its admin token. Secret.
        node: Name of the node.
        node_id: Id of the machine behind it: another one is another node, and the old one is drained first.
        url: Where it answers, without `/v1`.
        models: Names of the models that it serves.
        api_key: Key that it asks for; every node has to ask for one. Secret.
        max_in_flight: Requests at the same time; 0: no limit.
        tls_sha256: SHA-256 of its certificate, hex; empty: the usual authorities.
        router: Whether it balances over servers of its own.
        drain_s: How long its answers may take once it is to go, seconds.
        allow_plain_http: Accept plain http to a public address.
    """

    gateway: str = ""
    admin_token: str = Field(default="", repr=False)
    node: str
    node_id: str = ""
    url: str = ""
    models: tuple[str, ...] = ()
    api_key: str = Field(default="", repr=False)
    max_in_flight: int = Field(default=0, ge=0)
    tls_sha256: str = ""
    router: bool = False
    drain_s: float = Field(default=30.0, ge=0, le=3600, allow_inf_nan=False)
    allow_plain_http: bool = False

    def body(self) -> dict[str, Any]:
        """The node in the gateway's form, without its name."""
        return {
            "url": self.url,
            "models": list(self.models),
            "apiKey": self.api_key,
            "maxInFlight": self.max_in_flight,
            "tlsSha256": self.tls_sha256,
            "router": self.router,
        }


class GatewayNodeProvider(Provider):
    """One node of one gateway; its id is its name."""

    secret_outputs = frozenset({"adminToken", "apiKey"})

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Rules alone: the gateway is not asked."""
        parsed = parse(GatewayNodeInputs, news)
        failures = list(parsed.failures)
        if parsed.model is not None:
            failures += broken_rules(parsed.model, parsed.unknown)
            if not {"gateway", "adminToken"} & parsed.unknown:
                self._remember(parsed.model)
        return checked(news, parsed.model, parsed.unknown, failures)

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Another gateway or machine is another registration, made after the old one has ended.

        What is not known yet counts as another one: so a node that is to be replaced is drained before its
        machine ends.
        """
        found = {
            path: _REPLACE[kind] if root_of(path) in _REPLACING else kind
            for path, kind in compare(inputs_in(GatewayNodeInputs, olds), own_props(news)).items()
        }
        if olds.get("state") == OPEN:
            found["state"] = Kind.UPDATE
        return DetailedDiff(found, delete_before_replace=True)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Registers it; one of this name that is there already is taken over."""
        inputs = _inputs(props)
        self._remember(inputs)
        with self._admin(inputs) as admin:
            found = admin.put(inputs.node, inputs.body())
            state = self._seen(admin, inputs, str(found.get("state", "")))
        return dynamic.CreateResult(inputs.node, {**own_props(props), "state": state})

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What the gateway has of it. One that does not answer is started anew by the next `up`."""
        outs = own_props(props)
        if "gateway" not in outs:
            return dynamic.ReadResult("", {})  # an import: nothing tells which gateway
        known = inputs_in(GatewayNodeInputs, outs)
        inputs = GatewayNodeInputs.model_validate(known)
        try:
            with self._admin(inputs) as admin:
                found = admin.get(inputs.node)
        except (TransientError, AuthError) as error:
            progress(f"warning: [{inputs.node}] left as it is in the state: {error.message}", keep=True)
            return dynamic.ReadResult(id, outs, known)
        if found is None:
            return dynamic.ReadResult("", {})
        for key in _TOLD:
            if key in found and found[key] != inputs.body()[key]:
                outs[key] = found[key]
        outs["state"] = str(found.get("state", ""))
        return dynamic.ReadResult(id, outs, inputs_in(GatewayNodeInputs, outs))

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Registers it anew under its name, without a gap. One that somebody has cordoned stays so."""
        inputs = _inputs(news)
        self._remember(inputs)
        with self._admin(inputs) as admin:
            before = admin.get(inputs.node) or {}
            found = admin.put(inputs.node, {**inputs.body(), "cordoned": bool(before.get("cordoned"))})
            state = self._seen(admin, inputs, str(found.get("state", "")))
        return dynamic.UpdateResult({**own_props(news), "state": state})

    def update_preview(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """Nothing is known of how the gateway will see it."""
        return {}

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Drains it and takes it out of the table. A gateway that is gone has forgotten it."""
        inputs = GatewayNodeInputs.model_validate(inputs_in(GatewayNodeInputs, props))
        newest = inputs.model_copy(update={"admin_token": self._remembered(inputs)})
        for each in dict.fromkeys((newest.admin_token, inputs.admin_token)):
            try:
                with self._admin(inputs.model_copy(update={"admin_token": each})) as admin:
                    admin.delete(inputs.node, inputs.drain_s)
                    return
            except AuthError:
                continue
            except GatewayAwayError:
                if not is_loopback(inputs.gateway):
                    raise
                progress(f"[{inputs.node}] the gateway is gone, and with it what it knew of this node")
                return
        # A run that was killed between the change of the token and this node's own change: the state has the
        # old one, and an error would be in the way of every destroy.
        progress(
            f"warning: the gateway at {inputs.gateway} takes neither token that is known here: {inputs.node} "
            "stays in its table until it is started with an empty folder",
            keep=True,
        )

    def _admin(self, inputs: GatewayNodeInputs) -> GatewayAdmin:
        return GatewayAdmin(
            inputs.gateway, inputs.admin_token, cancel=current_call().cancel, may_write=fence.check
        )

    def _seen(self, admin: GatewayAdmin, inputs: GatewayNodeInputs, state: str) -> str:
        """Waits a moment for the gateway's first look at the node; its state then."""
        clock, reason = SystemClock(), ""
        end = clock.monotonic() + SEEN_S
        while state != HEALTHY and clock.monotonic() < end:
            clock.sleep(_LOOK_S, current_call().cancel)
            found = admin.get(inputs.node) or {}
            state, reason = str(found.get("state", "")), str(found.get("reason", ""))
        if state != HEALTHY:
            why = f": {reason}" if reason else ""
            progress(f"warning: [{inputs.node}] the gateway calls it {state or 'unknown'}{why}", keep=True)
        return state

    def _remember(self, inputs: GatewayNodeInputs) -> None:
        """Keeps the newest token: a node that goes in the same run knows only the one before."""
        with _lock:
            _tokens.setdefault(self.shared, {})[inputs.gateway] = inputs.admin_token

    def _remembered(self, inputs: GatewayNodeInputs) -> str:
        with _lock:
            return _tokens.get(self.shared, {}).get(inputs.gateway, inputs.admin_token)


class GatewayNode(dynamic.Resource, module="gateway", name="GatewayNode"):
    """**Pulumi type:** `pulumi-python:dynamic/gateway:GatewayNode`. A node that a gateway sends requests to.

    Args:
        name: Name of the resource; `node` if that is not given.
        args: Inputs by their camelCase names, see `GatewayNodeInputs`. `adminToken` and `apiKey` are made
            secret.
        opts: Resource options; `delete_before_replace` is always on: two can't have one name.
    """

    gateway: pulumi.Output[str]
    node: pulumi.Output[str]
    url: pulumi.Output[str]
    state: pulumi.Output[str | None]

    def __init__(
        self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props: dict[str, Any] = {"node": name, **args, **dict.fromkeys(COMPUTED)}
        for key in ("adminToken", "apiKey"):
            if key in props:
                props[key] = pulumi.Output.secret(props[key])
        always = pulumi.ResourceOptions(
            delete_before_replace=True, additional_secret_outputs=["adminToken", "apiKey"]
        )
        super().__init__(
            GatewayNodeProvider(),
            name,
            props,
            pulumi.ResourceOptions.merge(opts or pulumi.ResourceOptions(), always),
        )


def broken_rules(inputs: GatewayNodeInputs, unknown: frozenset[str]) -> Iterator[dynamic.CheckFailure]:
    """Rules that need no look at the gateway.

    Args:
        inputs: The inputs.
        unknown: Names of those that are not known yet.
    """
    if "node" not in unknown and not _NAME.fullmatch(inputs.node):
        yield dynamic.CheckFailure("node", "must be lower-case letters, digits and inner hyphens")
    if "gateway" not in unknown and (problem := _url_problem(inputs.gateway)):
        yield dynamic.CheckFailure("gateway", problem)
    if "adminToken" not in unknown and not inputs.admin_token:
        yield dynamic.CheckFailure("adminToken", "must not be empty")
    if "url" not in unknown:
        if problem := _url_problem(inputs.url):
            yield dynamic.CheckFailure("url", problem)
        elif _is_open_to_readers(inputs.url) and not inputs.allow_plain_http:
            yield dynamic.CheckFailure(
                "url",
                "is plain http to a public address, where keys and prompts can be read on the way: "
                "use https, or set allowPlainHttp",
            )
    if "models" not in unknown and not (inputs.models and all(inputs.models)):
        yield dynamic.CheckFailure("models", "name the models that it serves")
    if "apiKey" not in unknown and not inputs.api_key:
        yield dynamic.CheckFailure("apiKey", "must not be empty: a node that asks for no key answers anybody")
    if "tlsSha256" not in unknown and not _SHA256.fullmatch(inputs.tls_sha256):
        yield dynamic.CheckFailure("tlsSha256", "must be 64 hexadecimal digits, lower case")


def _inputs(props: Mapping[str, Any]) -> GatewayNodeInputs:
    """The inputs of a real operation, where everything is known."""
    parsed = parse(GatewayNodeInputs, props)
    failures = list(parsed.failures)
    if parsed.model is not None:
        failures += broken_rules(parsed.model, frozenset())
    if parsed.model is None or failures:
        raise ValidationError(f"{failures[0].property}: {failures[0].reason}")
    return parsed.model


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https") or not host:
        return "must be a URL with http or https"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "must hold no user, password, query or fragment"
    return ""


def _is_open_to_readers(url: str) -> bool:
    """Whether it is plain http to a host that is not on this machine or in a private network."""
    parts = urlsplit(url)
    if parts.scheme == "https" or is_loopback(url):
        return False
    try:
        return not ipaddress.ip_address(parts.hostname or "").is_private
    except ValueError:
        return True


_lock = threading.Lock()
_tokens: WeakKeyDictionary[Shared, dict[str, str]] = WeakKeyDictionary()
