"""A provider with nothing but the methods of `pulumi.dynamic`, not registered: found by its pickle."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi.dynamic as dynamic

from .provider import log


class PlainProvider(dynamic.ResourceProvider):
    """Makes `text!` of `text`."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        log("create")
        return dynamic.CreateResult("plain", {"text": props["text"], "made": props["text"] + "!"})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.UpdateResult:
        log("update")
        return dynamic.UpdateResult({"text": _news["text"], "made": _news["text"] + "!"})


class Plain(dynamic.Resource, module="toy", name="Plain"):
    """The resource of the plain provider."""

    made: pulumi.Output[str]

    def __init__(self, name: str, text: str) -> None:
        super().__init__(PlainProvider(), name, {"text": text, "made": None})
