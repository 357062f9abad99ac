"""One configured provider object for each provider class in this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from dynamic_providers.host import registry, sdk
from dynamic_providers.host.registry import RegistryError


class Providers:
    """Finds, makes and configures providers.

    Args:
        project: Name of the Pulumi project: the namespace of unqualified configuration keys.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._config: Mapping[str, Any] = {}
        self._made: dict[object, sdk.ResourceProvider] = {}
        self._locks: dict[object, threading.Lock] = {}
        self._lock = threading.Lock()

    def set_config(self, config: Mapping[str, Any]) -> None:
        """The stack's configuration, decrypted, for the providers' `configure`."""
        self._config = config

    def get(self, token: str, blob: object) -> sdk.ResourceProvider:
        """The provider of a resource.

        Args:
            token: The resource's type token.
            blob: Its `__provider` property, used when the token is not registered.

        Raises:
            RegistryError: Neither way leads to a provider.
            Exception: Whatever the provider's `configure` raises; the next call tries again.
        """
        found = registry.find(token)
        key: object = found or blob
        if found is None and not isinstance(blob, str):
            raise RegistryError(
                f"no provider is known for {token}: list it in {registry.PROGRAM_FILE} beside Pulumi.yaml"
            )
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                provider = found() if found is not None else sdk.unpickle_provider(str(blob))
                provider.configure(sdk.configure_request(self._config, self._project))
                self._made[key] = provider
        return self._made[key]
