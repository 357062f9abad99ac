"""What the gateway serves, and for whom: the form in which store, admin endpoint and seed hand it over."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Limits of one layer; 0 is no limit.

    Attributes:
        requests_per_minute: Requests let in per minute.
        tokens_per_minute: Prompt and completion tokens per minute: reserved at the start, settled at the end.
        in_flight: Requests at the same time.
        budget_usd: Money per calendar month (UTC), hard, USD.
    """

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    in_flight: int = 0
    budget_usd: float = 0.0


class Tenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A customer of the gateway.

    Attributes:
        name: Unique.
        limits: Of all its keys together.
        weight: Its share of a queue against other tenants.
    """

    name: str
    limits: Limits = Limits()
    weight: int = 1


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An API key, without the key.

    Attributes:
        id: Unique; no secret.
        tenant: Whose it is.
        sha256: SHA-256 of the key, hex.
        prefix: Its first characters, to tell it by.
        scopes: `inference` for `/v1/*` posts, `models` for `/v1/models`.
        models: Models that it may use; empty: all.
        limits: Of this key alone.
        expires_at: Seconds since the epoch; 0: never.
        revoked: Whether it is refused.
    """

    id: str
    tenant: str
    sha256: str
    prefix: str = ""
    scopes: tuple[str, ...] = ("inference", "models")
    models: tuple[str, ...] = ()
    limits: Limits = Limits()
    expires_at: float = 0.0
    revoked: bool = False


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An upstream: one vLLM server, or a router in front of several.

    Attributes:
        name: Unique.
        url: Where it answers, without `/v1`; http or https.
        models: Model names that it serves.
        api_key: Upstream key that it asks for. Secret.
        max_in_flight: Requests at the same time; 0: no limit.
        tls_sha256: SHA-256 of its certificate (DER), hex: no other is accepted; empty: the usual authorities.
        cordoned: Gets no new requests.
        router: Whether it balances over nodes of its own (vllm-router, smg): then it is asked again itself
            where another would be tried.
    """

    name: str
    url: str
    models: tuple[str, ...]
    api_key: str = ""
    max_in_flight: int = 0
    tls_sha256: str = ""
    cordoned: bool = False
    router: bool = False

    def __repr__(self) -> str:
        """Without its key."""
        return f"Node({self.name!r}, {self.url!r})"


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One of the models behind an alias.

    Attributes:
        model: Its name, as nodes serve it.
        weight: Its share.
    """

    model: str
    weight: int = 1


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A model name that clients may use. Models that nodes serve can be used by their own names without one.

    Attributes:
        name: Model or alias.
        targets: Models that answer for it, by weight; empty: it answers itself.
        limits: Of all requests to it.
        prompt_usd_per_million: Price of a million prompt tokens, USD.
        completion_usd_per_million: Price of a million completion tokens, USD.
    """

    name: str
    targets: tuple[Target, ...] = ()
    limits: Limits = Limits()
    prompt_usd_per_million: float = 0.0
    completion_usd_per_million: float = 0.0


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """All of it.

    Attributes:
        tenants: Of the gateway.
        keys: Of the tenants.
        nodes: Upstreams.
        models: Aliases, prices and limits of models.
        limits: Of this whole gateway.
    """

    tenants: tuple[Tenant, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    nodes: tuple[Node, ...] = ()
    models: tuple[Model, ...] = ()
    limits: Limits = Limits()
