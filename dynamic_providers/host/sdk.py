"""All that the host takes from the Pulumi SDK beyond its published interface, in one place.

The published part is `pulumi.dynamic` and the gRPC messages. What is listed in `RELIES_ON` is internal to the
SDK or may change with it: `tests/unit/host/test_sdk.py` compares, so an SDK update that moves something fails
there with one message instead of at a user's first `up`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

import dill
from google.protobuf import struct_pb2
from pulumi.dynamic import Config, ConfigureRequest, ResourceProvider
from pulumi.dynamic.dynamic import PROVIDER_KEY, serialize_provider
from pulumi.output import Unknown
from pulumi.runtime import Settings, configure, rpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime._serialization import _deserialize

RELIES_ON: Mapping[str, object] = {
    "pulumi.dynamic.dynamic.PROVIDER_KEY": "__provider",
    "pulumi.runtime.rpc.UNKNOWN": "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
    "pulumi.runtime.rpc._special_sig_key": "4dabf18193072939515e22adb298388d",
    "pulumi.runtime.rpc._special_secret_sig": "1b47061264138c4ac30d75fd1eb44270",
    "pulumi.dynamic.dynamic.serialize_provider": "(provider)",
    "pulumi.dynamic.Config": "(raw_config, project_name)",
    "pulumi.dynamic.ConfigureRequest": "(config)",
    "pulumi.dynamic.DiffResult": "(changes, replaces, stables, delete_before_replace)",
    "pulumi.runtime._serialization._deserialize": "(f, args, kwargs)",
    "pulumi.runtime.rpc.serialize_properties": (
        "(inputs, property_deps, resource_obj, input_transformer, typ, keep_output_values, "
        "exclude_resource_refs_from_deps)"
    ),
    "pulumi.runtime.rpc.deserialize_property": "(value, keep_unknowns, keep_internal)",
    "pulumi.runtime.rpc.wrap_rpc_secret": "(value)",
}
"""Dotted name -> its value, or the names of its parameters."""

SERVICE_METHODS = frozenset(
    {"Handshake", "Parameterize", "GetSchema", "CheckConfig", "DiffConfig", "Configure", "Invoke", "Call"}
    | {"Check", "Diff", "Create", "Read", "List", "Update", "Delete", "Construct", "Cancel", "GetPluginInfo"}
    | {"Attach", "GetMapping", "GetMappings"}
)
"""The methods of the provider service; a new one has to be looked at."""

UNKNOWN: str = rpc.UNKNOWN
SIGNATURE_KEY: str = rpc._special_sig_key
SECRET_SIGNATURE: str = rpc._special_secret_sig
CHANNEL_OPTIONS: Sequence[tuple[str, int]] = _GRPC_CHANNEL_OPTIONS

__all__ = ["PROVIDER_KEY", "ConfigureRequest", "ResourceProvider", "Unknown"]


def set_up_thread(project: str, stack: str) -> None:
    """Give this thread the settings that SDK functions such as `pulumi.get_stack()` read."""
    configure(Settings(project=project, stack=stack, organization="organization"))


def unpickle_provider(blob: str) -> ResourceProvider:
    """The provider that a program pickled into its resource's `__provider`."""
    return cast(ResourceProvider, _deserialize(lambda: dill.loads(base64.b64decode(blob))))


def pickle_provider(provider: ResourceProvider) -> str:
    """What a program puts into `__provider` for this provider."""
    return cast(str, serialize_provider(provider))


def configure_request(config: Mapping[str, Any], project: str) -> ConfigureRequest:
    """The argument of a provider's `configure`."""
    return ConfigureRequest(Config(dict(config), project))


def unknown() -> Unknown:
    """A value that is known only after the real run."""
    return cast(Unknown, cast(Any, Unknown)())


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Python values, secret wrappers and `Unknown`s to protobuf; top-level keys with None are left out."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(rpc.serialize_properties(dict(values), {}))
    finally:
        loop.close()


def special_value(struct: struct_pb2.Struct) -> Any:
    """An asset, archive or resource reference as the SDK's own object."""
    return rpc.deserialize_property(struct, True)


def secret(value: Any) -> Any:
    """Mark a value as secret for `to_struct`."""
    return rpc.wrap_rpc_secret(value)
