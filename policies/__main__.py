"""The policy pack, as the engine starts it: `pulumi preview --policy-pack policies`."""

from pulumi_policy import EnforcementLevel, PolicyPack
from pulumi_policy import policy as sdk

from policies.pack import POLICIES
from policies.serving import Servicer

# The SDK has no place for a server of one's own.
sdk._PolicyAnalyzerServicer = Servicer  # type: ignore[misc]

PolicyPack(
    name="gpuplane",
    description="Rules that every stack of this project keeps; docs/policies.md.",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=list(POLICIES),
)
