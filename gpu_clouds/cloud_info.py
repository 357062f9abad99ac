"""What is known of a cloud before anything connects to it; each cloud's folder states its own as `INFO`."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_clouds.cloud import Capabilities


@dataclass(frozen=True, slots=True)
class CloudInfo:
    """One cloud, described without importing its client.

    Args:
        name: The name used in stack files: `runpod`.
        title: The name as people write it: `RunPod`.
        capabilities: What it can do.
        endpoint: Base URL of its API.
        factory: `module:function` that connects; imported at the first use.
    """

    name: str
    title: str
    capabilities: Capabilities
    endpoint: str
    factory: str
