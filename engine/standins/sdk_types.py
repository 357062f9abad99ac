"""What a cloud's SDK package says about its resources: which there are, their properties, types and names.

The packages carry no schema, but their classes do: each resource's class, its `…Args` and the input types
inside them. Only the module of the type in question is imported (azure-native has 2,288 types, all of them
take minutes). `pulumi._types` is not public: a test holds what is used of it against the pinned SDK.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import re
import threading
import types
import typing
import warnings
from collections import abc
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pulumi import _types

_REGISTRY = re.compile(r'resource_modules="""(.*?)"""', re.DOTALL)


@dataclass(frozen=True)
class Property:
    """One input property of a type.

    Attributes:
        type: its Python type.
        required: whether a program has to give it.
    """

    type: Any
    required: bool


class Sdk:
    """The SDK package of one cloud.

    Args:
        package: the plugin's name, for example `azure-native`.
    """

    def __init__(self, package: str) -> None:
        self.module = "pulumi_" + package.replace("-", "_")
        self.version = metadata.version(self.module.replace("_", "-"))
        # Two threads that import one module at once see it half made.
        self._lock = threading.RLock()

    @functools.cached_property
    def _registry(self) -> dict[str, tuple[str, str]]:
        spec = importlib.util.find_spec(self.module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"No module named {self.module!r}")
        found = _REGISTRY.search(Path(spec.origin).read_text(encoding="utf-8"))
        modules = json.loads(found[1]) if found else []
        return {token: (item["fqn"], name) for item in modules for token, name in item["classes"].items()}

    def has(self, token: str) -> bool:
        """Whether there is such a resource type."""
        return token in self._registry

    @functools.cache  # noqa: B019 - one Sdk lives as long as the process
    def _classes(self, token: str) -> tuple[type, type]:
        module_name, name = self._registry[token]
        with self._lock, warnings.catch_warnings():
            # The SDKs warn of their own deprecated resources.
            warnings.simplefilter("ignore", DeprecationWarning)
            module = importlib.import_module(module_name)
            resource = getattr(module, name)
            arguments = getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args")
        return resource, arguments

    @functools.cache  # noqa: B019
    def inputs(self, token: str) -> dict[str, Property]:
        """The input properties of a resource, by their names on the wire."""
        arguments = self._classes(token)[1]
        with self._lock:
            return properties(arguments)

    @functools.cache  # noqa: B019
    def provider_inputs(self) -> dict[str, Property]:
        """The settings of the provider itself."""
        with self._lock:
            return properties(importlib.import_module(f"{self.module}.provider").ProviderArgs)

    @functools.cache  # noqa: B019
    def outputs(self, token: str) -> dict[str, Any]:
        """The output properties of a resource: name on the wire -> type."""
        resource = self._classes(token)[0]
        with self._lock:
            found = typing.cast(dict[str, Any], _types.resource_types(resource))
        return {name: kind for name, kind in found.items() if name != "urn"}


@functools.cache
def properties(cls: type) -> dict[str, Property]:
    """The properties of an input type (an `…Args` class), by their names on the wire."""
    parameters = inspect.signature(cls).parameters
    names = _types.input_type_py_to_pulumi_names(cls)
    kinds = typing.cast(dict[str, Any], _types.input_type_types(cls))
    return {
        wire: Property(
            kinds.get(wire, Any),
            python in parameters and parameters[python].default is inspect.Parameter.empty,
        )
        for python, wire in names.items()
    }


def is_object(kind: Any) -> bool:
    """Whether this is an input type of the SDK: a class with properties of its own."""
    return isinstance(kind, type) and _types.is_input_type(kind)


def is_output_object(kind: Any) -> bool:
    """Whether this is an output type of the SDK."""
    return isinstance(kind, type) and _types.is_output_type(kind)


def output_properties(kind: type) -> dict[str, Any]:
    """Name on the wire -> type, of an output type."""
    return typing.cast(dict[str, Any], _types.output_type_types(kind))


def members(kind: Any) -> list[Any]:
    """The plain types behind `Input[Optional[Union[…]]]`."""
    origin = typing.get_origin(kind)
    if origin is not typing.Union and origin is not types.UnionType:
        return [kind]
    found: list[Any] = []
    for argument in typing.get_args(kind):
        inner = typing.get_origin(argument)
        if argument is type(None) or inner is abc.Awaitable or "Output" in repr(inner):
            continue
        if _is_dict_twin(argument):
            continue
        found += members(argument)
    return found


def _is_dict_twin(kind: Any) -> bool:
    """Every `…Args` has a TypedDict beside it, which says the same."""
    return isinstance(kind, type) and typing.is_typeddict(kind)
