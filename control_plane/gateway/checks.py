"""Rules that what is declared must keep, beyond its types. Each broken one is a line that names its place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from control_plane.gateway.declared import ApiKey, Declared, Limits, Model, Node, Tenant

SCOPES = frozenset({"inference", "models"})
_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME = 200
_PATH = re.compile(r"^(.*) - at `([^`]*)`$")

T = TypeVar("T")


class Wrong(Exception):
    """Something declared makes no sense; the message is for the user and names the JSON path."""


def decode(text: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as one of the declared types.

    Args:
        text: JSON.
        kind: The type.

    Raises:
        Wrong: It is no JSON or of another form.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        found = _PATH.match(str(error))
        reason, path = found.groups() if found else (str(error), "$")
        raise Wrong(f"{path}: {reason[:1].lower()}{reason[1:]}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Wrong(f"no valid JSON: {error}") from None
    except RecursionError:
        raise Wrong("no valid JSON: nested too deeply") from None


def check(declared: Declared) -> None:
    """Looks at all of it together.

    Raises:
        Wrong: The first rule that is broken.
    """
    _first(_limits("$.limits", declared.limits))
    tenants = {tenant.name for tenant in declared.tenants}
    for kind, names in (
        ("tenants", [tenant.name for tenant in declared.tenants]),
        ("keys", [key.id for key in declared.keys]),
        ("nodes", [node.name for node in declared.nodes]),
        ("models", [model.name for model in declared.models]),
    ):
        for index, name in enumerate(names):
            if name in names[:index]:
                raise Wrong(f"$.{kind}[{index}]: {name!r} is there twice")
    for index, tenant in enumerate(declared.tenants):
        check_tenant(tenant, f"$.tenants[{index}]")
    for index, key in enumerate(declared.keys):
        check_key(key, tenants, f"$.keys[{index}]")
    for index, node in enumerate(declared.nodes):
        check_node(node, f"$.nodes[{index}]")
    for index, model in enumerate(declared.models):
        check_model(model, declared.models, f"$.models[{index}]")


def check_tenant(tenant: Tenant, at: str = "$") -> None:
    """Looks at a tenant.

    Raises:
        Wrong: The first rule that is broken.
    """

    def wrong() -> Iterator[str]:
        yield from _name(f"{at}.name", tenant.name)
        yield from _limits(f"{at}.limits", tenant.limits)
        if tenant.weight < 1:
            yield f"{at}.weight: must be 1 or more"

    _first(wrong())


def check_key(key: ApiKey, tenants: Collection[str], at: str = "$") -> None:
    """Looks at a key.

    Args:
        key: The key.
        tenants: Names of all tenants.
        at: Its JSON path.

    Raises:
        Wrong: The first rule that is broken.
    """

    def wrong() -> Iterator[str]:
        yield from _name(f"{at}.id", key.id)
        if key.tenant not in tenants:
            yield f"{at}.tenant: there is no tenant {key.tenant!r}"
        if not _HASH.fullmatch(key.sha256):
            yield f"{at}.sha256: must be 64 hex digits in lower case"
        for index, scope in enumerate(key.scopes):
            if scope not in SCOPES:
                yield f"{at}.scopes[{index}]: must be one of {', '.join(sorted(SCOPES))}"
        yield from _limits(f"{at}.limits", key.limits)
        if key.expires_at < 0:
            yield f"{at}.expiresAt: must be 0 or more"

    _first(wrong())


def check_node(node: Node, at: str = "$") -> None:
    """Looks at a node.

    Raises:
        Wrong: The first rule that is broken.
    """

    def wrong() -> Iterator[str]:
        yield from _name(f"{at}.name", node.name)
        yield from _url(f"{at}.url", node.url)
        if not node.models or not all(node.models):
            yield f"{at}.models: must name the models that it serves"
        if node.max_in_flight < 0:
            yield f"{at}.maxInFlight: must be 0 or more"
        if node.api_key and not (node.api_key.isascii() and node.api_key.isprintable()):
            yield f"{at}.apiKey: must be printable ASCII"
        if node.tls_sha256 and not _HASH.fullmatch(node.tls_sha256):
            yield f"{at}.tlsSha256: must be 64 hex digits in lower case"

    _first(wrong())


def check_model(model: Model, others: Collection[Model], at: str = "$") -> None:
    """Looks at a model.

    Args:
        model: The model.
        others: All models that are declared; itself may be among them.
        at: Its JSON path.

    Raises:
        Wrong: The first rule that is broken.
    """
    aliases = {other.name for other in others if other.targets} | ({model.name} if model.targets else set())

    def wrong() -> Iterator[str]:
        yield from _name(f"{at}.name", model.name)
        for index, target in enumerate(model.targets):
            if target.weight < 0:
                yield f"{at}.targets[{index}].weight: must be 0 or more"
            if target.model in aliases:
                yield f"{at}.targets[{index}].model: {target.model!r} is an alias itself"
        if model.targets and not any(target.weight for target in model.targets):
            yield f"{at}.targets: one of them needs a weight above 0"
        yield from _limits(f"{at}.limits", model.limits)
        for name, price in (
            ("promptUsdPerMillion", model.prompt_usd_per_million),
            ("completionUsdPerMillion", model.completion_usd_per_million),
        ):
            if price < 0:
                yield f"{at}.{name}: must be 0 or more"

    _first(wrong())
    if not model.targets:
        return
    for other in others:
        if other.name != model.name and any(target.model == model.name for target in other.targets):
            raise Wrong(f"{at}.targets: {model.name!r} answers for {other.name!r} and cannot be an alias")


def check_limits(limits: Limits, at: str = "$") -> None:
    """Looks at limits.

    Raises:
        Wrong: The first rule that is broken.
    """
    _first(_limits(at, limits))


def _first(wrong: Iterator[str]) -> None:
    for line in wrong:
        raise Wrong(line)


def _name(at: str, name: str) -> Iterator[str]:
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        yield f"{at}: must have 1 to {_LONGEST_NAME} printable characters"


def _limits(at: str, limits: Limits) -> Iterator[str]:
    for name, value in (
        ("requestsPerMinute", limits.requests_per_minute),
        ("tokensPerMinute", limits.tokens_per_minute),
        ("inFlight", limits.in_flight),
        ("budgetUsd", limits.budget_usd),
    ):
        if value < 0:
            yield f"{at}.{name}: must be 0 or more"


def _url(at: str, url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        yield f"{at}: is no URL"
        return
    if parts.scheme not in ("http", "https") or not host:
        yield f"{at}: must be a URL with http or https"
    elif parts.username or parts.password or parts.query or parts.fragment:
        yield f"{at}: must hold no user, password, query or fragment"
