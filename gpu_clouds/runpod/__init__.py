"""RunPod through its REST API v2. docs/clouds/runpod.md has its limits, prices and quirks."""

from __future__ import annotations

from gpu_clouds.cloud import Capabilities
from gpu_clouds.cloud_info import CloudInfo

INFO = CloudInfo(
    name="runpod",
    title="RunPod",
    capabilities=Capabilities(
        spot=False,  # REST v2 has no interruptible pods; only the old GraphQL API had
        stop=True,
        tags=False,
        ttl=False,
        logs=True,
        updatable=frozenset({"image", "env", "ports", "args", "disk_gb"}),
        price_before_create=True,
        provision_deadline_s=900.0,
        provision_deadline_8_gpus_s=900.0,
    ),
    endpoint="https://api.runpod.io/v2",
    factory="gpu_clouds.runpod.cloud:connect",
)
