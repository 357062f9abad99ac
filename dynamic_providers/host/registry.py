"""Which class serves which resource type.

The state of a dynamic resource names its provider's module and class inside a pickle, so moving the module
breaks refresh and destroy of everything that exists. The type token does not move: it is looked up here
first, and the pickle is used only for a token that is not listed.

A released token stays for ever; only the place that it points to may change.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from pulumi.dynamic import ResourceProvider

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "pulumi-python:dynamic/gpu:GpuNode": "dynamic_providers.gpu_node:GpuNodeProvider",
        "pulumi-python:dynamic/gpu:LeakGuard": "dynamic_providers.leak_guard:LeakGuardProvider",
        "pulumi-python:dynamic/skypilot:SkyPilotCluster": (
            "dynamic_providers.sky_pilot_cluster:SkyPilotClusterProvider"
        ),
        "pulumi-python:dynamic/skypilot:SkyPilotGuard": (
            "dynamic_providers.sky_pilot_guard:SkyPilotGuardProvider"
        ),
        "pulumi-python:dynamic/skypilot:SkyPilotServiceAccount": (
            "dynamic_providers.sky_pilot_service_account:SkyPilotServiceAccountProvider"
        ),
        "pulumi-python:dynamic/skypilot:SkyPilotWorkspace": (
            "dynamic_providers.sky_pilot_workspace:SkyPilotWorkspaceProvider"
        ),
        "pulumi-python:dynamic/gateway:GatewayNode": "dynamic_providers.gateway_node:GatewayNodeProvider",
        "pulumi-python:dynamic/gateway:NodeCertificate": (
            "dynamic_providers.node_certificate:NodeCertificateProvider"
        ),
        "pulumi-python:dynamic/local:GeneratedSecret": (
            "dynamic_providers.generated_secret:GeneratedSecretProvider"
        ),
        "pulumi-python:dynamic/local:LocalService": "dynamic_providers.local_service:LocalServiceProvider",
    }
)
"""Type token -> `module:Class`. The class is made without arguments."""

PROGRAM_FILE = "dynamic-providers.json"
"""A program's own providers: the same mapping as JSON, in the folder of the program."""


class RegistryError(Exception):
    """A registered provider can't be found, or the program's list is not valid."""


@cache
def program_providers(folder: Path) -> Mapping[str, str]:
    """The mapping in the program's own file; empty without one. Raises RegistryError when it is not valid."""
    path = folder / PROGRAM_FILE
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RegistryError(f"{PROGRAM_FILE} can't be read: {error}") from error
    if not isinstance(listed, dict) or not all(isinstance(place, str) for place in listed.values()):
        raise RegistryError(f'{PROGRAM_FILE} must be an object of "type token": "module:Class"')
    return listed


def find(token: str, folder: Path | None = None) -> type[ResourceProvider] | None:
    """The class for a type token.

    Args:
        token: Type token, such as `pulumi-python:dynamic/gpu:GpuNode`.
        folder: Folder of the program; default: the current one, where the engine starts the host.

    Returns:
        The class, or None when the token is not listed.

    Raises:
        RegistryError: It is listed, but the module or the class is not there, or it is no provider.
    """
    place = PROVIDERS.get(token) or program_providers(folder or Path.cwd()).get(token)
    if place is None:
        return None
    module_name, _, class_name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise RegistryError(f"the provider of {token} should be at {place}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, ResourceProvider)):
        raise RegistryError(f"the provider of {token} at {place} is not a pulumi.dynamic.ResourceProvider")
    return found
