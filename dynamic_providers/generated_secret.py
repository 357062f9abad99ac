"""GeneratedSecret: a random text that the state keeps, encrypted."""

from __future__ import annotations

import secrets
from typing import Any

import pulumi
from pulumi import dynamic
from pydantic import Field

from dynamic_providers.base import Inputs, Provider, checked, inputs_in, own_props, parse
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import DetailedDiff, Kind
from dynamic_providers.host.secrets import conceal

_REPLACE = {Kind.ADD: Kind.ADD_REPLACE, Kind.DELETE: Kind.DELETE_REPLACE, Kind.UPDATE: Kind.UPDATE_REPLACE}


class SecretInputs(Inputs):
    """Inputs of a GeneratedSecret.

    Attributes:
        length: Letters and digits that it has, about; each is worth 6 bits.
        rotation: Any text; another text makes another secret.
    """

    length: int = Field(default=32, ge=16, le=512)
    rotation: str = ""


class GeneratedSecretProvider(Provider):
    """A secret that is made once; nothing of it is anywhere but in the state."""

    secret_outputs = frozenset({"value"})

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Its length."""
        parsed = parse(SecretInputs, news)
        return checked(news, parsed.model, parsed.unknown, parsed.failures)

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Any change is another secret."""
        found = compare(inputs_in(SecretInputs, olds), own_props(news))
        return DetailedDiff({path: _REPLACE[kind] for path, kind in found.items()})

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Makes it."""
        inputs = SecretInputs.model_validate(own_props(props))
        value = secrets.token_urlsafe(inputs.length)[: inputs.length]
        conceal([value])
        return dynamic.CreateResult(secrets.token_hex(8), {**own_props(props), "value": value})

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What the state keeps: there is nothing else to ask."""
        if "value" not in props:
            return dynamic.ReadResult("", {})
        return dynamic.ReadResult(id, own_props(props), inputs_in(SecretInputs, props))

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Nothing to do: with the state it is gone."""


class GeneratedSecret(dynamic.Resource, module="local", name="GeneratedSecret"):
    """**Pulumi type:** `pulumi-python:dynamic/local:GeneratedSecret`. A random password or key.

    Args:
        name: Name of the resource.
        length: Letters and digits that it has.
        rotation: Any text; another text makes another secret.
        opts: Resource options.
    """

    value: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        length: int = 32,
        rotation: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["value"])
        super().__init__(
            GeneratedSecretProvider(),
            name,
            {"length": length, "rotation": rotation, "value": None},
            pulumi.ResourceOptions.merge(opts or pulumi.ResourceOptions(), hidden),
        )
