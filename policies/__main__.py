"""The policy pack, as the engine starts it: `pulumi preview --policy-pack policies`."""

from pulumi_policy import EnforcementLevel, PolicyPack

from policies.leak_guard import leak_guard_wherever_nodes_are

PolicyPack(
    name="gpuplane",
    description="Rules that every stack of this project keeps.",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[leak_guard_wherever_nodes_are],
)
