"""Paperspace through its API v1. docs/clouds/paperspace.md has its limits, prices and quirks."""

from __future__ import annotations

from gpu_clouds.cloud import Capabilities
from gpu_clouds.cloud_info import CloudInfo

INFO = CloudInfo(
    name="paperspace",
    title="Paperspace",
    capabilities=Capabilities(
        spot=False,
        stop=True,
        tags=False,
        ttl=True,  # stops, in whole hours; the disk goes on costing until the machine is deleted
        logs=False,
        updatable=frozenset({"disk_gb"}),
        price_before_create=False,  # `usageRate` is on an existing machine only
        provision_deadline_s=1200.0,
        provision_deadline_8_gpus_s=1200.0,
    ),
    endpoint="https://api.paperspace.com/v1",
    factory="gpu_clouds.paperspace.cloud:connect",
)
