"""RunPod through its REST API v2, and its GraphQL API where a credential set asks for it.

docs/clouds/runpod.md has its limits, prices and quirks.
"""

from __future__ import annotations

from datetime import date

from gpu_clouds.cloud import Capabilities
from gpu_clouds.cloud_info import CloudInfo
from gpu_clouds.weights_cache import CachePrice

GRAPHQL = "graphql"
"""Feature of a credential set: the old API too, for what REST v2 has not. RunPod ends it in early 2027."""

INFO = CloudInfo(
    name="runpod",
    title="RunPod",
    capabilities=Capabilities(
        spot=False,  # REST v2 has no interruptible pods; only the old GraphQL API has
        stop=True,
        tags=False,
        ttl=False,
        logs=True,
        updatable=frozenset({"image", "env", "ports", "args", "disk_gb"}),
        price_before_create=True,
        provision_deadline_s=900.0,
        provision_deadline_8_gpus_s=900.0,
        weights_cache=True,
    ),
    endpoint="https://api.runpod.io/v2",
    factory="gpu_clouds.runpod.cloud:connect",
    features={GRAPHQL: frozenset({"spot", "ttl"})},
    ssh_needs_port=True,  # without it there is a relay at most, which runs no commands
    # Whether the lower price holds for a larger volume as a whole is not said: this is the dearer reading.
    cache_price=CachePrice(((1000, 0.07), (None, 0.05)), date(2026, 11, 21), "RunPod's documentation"),
)
