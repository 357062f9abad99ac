"""The host against the installed SDK: what it relies on is still there, and still the same."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import version
from typing import Any

import pulumi
from pulumi.runtime.proto import provider_pb2

from dynamic_providers.host import sdk


def look_up(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name, None)


def described(thing: Any) -> object:
    if callable(thing):
        return f"({', '.join(inspect.signature(thing).parameters)})"
    return thing


def test_the_sdk_still_has_what_the_host_relies_on() -> None:
    moved = [
        f"{name}: expected {expected!r}, found {described(look_up(name))!r}"
        for name, expected in sdk.RELIES_ON.items()
        if described(look_up(name)) != expected
    ]
    methods = {method.name for method in provider_pb2.DESCRIPTOR.services_by_name["ResourceProvider"].methods}
    moved += [f"provider service: {name} came or went" for name in sorted(methods ^ sdk.SERVICE_METHODS)]
    assert not moved, (
        f"the Pulumi SDK {version('pulumi')} differs from what dynamic_providers/host/sdk.py relies on; "
        f"look at each, then change sdk.py: {'; '.join(moved)}"
    )


def test_the_messages_have_the_fields_that_the_host_reads_and_writes() -> None:
    needed: dict[Any, set[str]] = {
        provider_pb2.CreateRequest: {"urn", "properties", "timeout", "preview"},
        provider_pb2.UpdateRequest: {"id", "urn", "olds", "news", "timeout", "preview"},
        provider_pb2.ReadRequest: {"id", "urn", "properties", "inputs", "timeout"},
        provider_pb2.DeleteRequest: {"id", "urn", "properties", "old_inputs", "timeout"},
        provider_pb2.DiffRequest: {"id", "urn", "olds", "news", "old_inputs"},
        provider_pb2.ErrorResourceInitFailed: {"id", "properties", "reasons", "inputs"},
        provider_pb2.ConfigureResponse: {"acceptSecrets", "supportsPreview"},
    }
    for message, fields in needed.items():
        assert fields <= {field.name for field in message.DESCRIPTOR.fields}, message.DESCRIPTOR.name


def test_a_pickled_provider_comes_back() -> None:
    provider = pulumi.dynamic.ResourceProvider()
    assert type(sdk.unpickle_provider(sdk.pickle_provider(provider))) is pulumi.dynamic.ResourceProvider


def test_threads_know_the_real_project_and_stack() -> None:
    import contextvars

    def look() -> tuple[str, str]:
        sdk.set_up_thread("a-project", "a-stack")
        return pulumi.get_project(), pulumi.get_stack()

    assert contextvars.copy_context().run(look) == ("a-project", "a-stack")
