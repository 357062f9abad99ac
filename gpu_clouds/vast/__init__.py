"""Vast.ai. docs/clouds/vast.md has its limits, prices and quirks."""

from __future__ import annotations

from gpu_clouds.cloud import Capabilities
from gpu_clouds.cloud_info import CloudInfo

INFO = CloudInfo(
    name="vast",
    title="Vast.ai",
    capabilities=Capabilities(
        spot=True,
        stop=False,  # it could, but the place may be gone afterwards, and the disk goes on costing
        tags=False,
        ttl=False,
        logs=False,
        updatable=frozenset(),
        price_before_create=True,
        provision_deadline_s=1200.0,
        provision_deadline_8_gpus_s=1200.0,
    ),
    endpoint="https://console.vast.ai/api",
    factory="gpu_clouds.vast.cloud:connect",
)
