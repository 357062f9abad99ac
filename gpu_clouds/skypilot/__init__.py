"""SkyPilot through the HTTP API of a server. docs/clouds/skypilot.md has its limits, prices and quirks.

Nothing here imports SkyPilot's own package: its import alone costs seconds.
"""

from __future__ import annotations

from gpu_clouds.cloud import Capabilities
from gpu_clouds.cloud_info import CloudInfo

BARE = "bare"
"""Feature of a credential set: machines without containers (Slurm without Pyxis), so images are left out."""

INFO = CloudInfo(
    name="skypilot",
    title="SkyPilot",
    capabilities=Capabilities(
        spot=True,  # where the cloud behind it has it: the server says so at the launch
        stop=True,  # the same
        tags=True,
        ttl=False,  # an idle stop is no end at a set time
        logs=True,
        updatable=frozenset(),  # a launch with other resources is refused or changes nothing (measured)
        price_before_create=True,
        provision_deadline_s=600.0,
        provision_deadline_8_gpus_s=600.0,
    ),
    endpoint="",
    factory="gpu_clouds.skypilot.cloud:connect",
    features={BARE: frozenset()},
    needs_key=False,
)
