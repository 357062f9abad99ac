"""Lambda through its Cloud API v1. docs/clouds/lambda.md has its limits, prices and quirks."""

from __future__ import annotations

from gpu_clouds.cloud import Capabilities
from gpu_clouds.cloud_info import CloudInfo

INFO = CloudInfo(
    name="lambda",
    title="Lambda",
    capabilities=Capabilities(
        spot=False,
        stop=False,
        tags=True,
        ttl=False,
        logs=False,
        updatable=frozenset(),  # only the name can be changed, and the name is the marker
        price_before_create=True,
        provision_deadline_s=600.0,
        provision_deadline_8_gpus_s=1200.0,
        deleting_counts_as_gone_after_s=180.0,
        weights_cache=True,
    ),
    endpoint="https://cloud.lambda.ai/api/v1",
    factory="gpu_clouds.lambda_cloud.cloud:connect",
)
