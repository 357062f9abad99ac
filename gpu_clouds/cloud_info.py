"""What is known of a cloud before anything connects to it; each cloud's folder states its own as `INFO`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gpu_clouds.cloud import Capabilities
from gpu_clouds.weights_cache import CachePrice


@dataclass(frozen=True, slots=True)
class CloudInfo:
    """One cloud, described without importing its client.

    Args:
        name: The name used in stack files: `runpod`.
        title: The name as people write it: `RunPod`.
        capabilities: What it can do.
        endpoint: Base URL of its API; empty where each credential set has to name its own.
        factory: `module:function` that connects; imported at the first use.
        features: What a credential set may switch on -> the capabilities that it gives then.
        ssh_needs_port: Nobody can log in to a node unless its ports have 22/tcp.
        cache_price: What a weights cache costs; None where there is none.
        needs_key: A credential set must have a key.
    """

    name: str
    title: str
    capabilities: Capabilities
    endpoint: str
    factory: str
    features: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ssh_needs_port: bool = False
    cache_price: CachePrice | None = None
    needs_key: bool = True

    def with_features(self, features: Collection[str]) -> Capabilities:
        """What the cloud can do with some features switched on; unknown names count for nothing."""
        flags: dict[str, Any] = {flag: True for name in features for flag in self.features.get(name, ())}
        return replace(self.capabilities, **flags)

    def feature_for(self, capability: str) -> str:
        """The feature that gives a capability; empty if none does."""
        return next((name for name, flags in self.features.items() if capability in flags), "")
