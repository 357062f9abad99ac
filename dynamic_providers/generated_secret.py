"""GeneratedSecret: a random text that the state keeps, encrypted."""

from __future__ import annotations

import secrets
from typing import Any

import pulumi
from pulumi import dynamic
from pydantic import Field

from dynamic_providers.base import Inputs
from dynamic_providers.made_once import MadeOnce


class SecretInputs(Inputs):
    """Inputs of a GeneratedSecret.

    Attributes:
        length: Letters and digits that it has, about; each is worth 6 bits.
        rotation: Any text; another text makes another secret.
    """

    length: int = Field(default=32, ge=16, le=512)
    rotation: str = ""


class GeneratedSecretProvider(MadeOnce):
    """Random letters and digits."""

    inputs = SecretInputs
    secret_outputs = frozenset({"value"})

    def make(self, props: dict[str, Any]) -> dict[str, Any]:
        """The text."""
        length = SecretInputs.model_validate(props).length
        return {"value": secrets.token_urlsafe(length)[:length]}


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
