"""What is wrong with a cluster's inputs, found before anything exists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pulumi.dynamic import CheckFailure

from dynamic_providers.host.call import progress
from dynamic_providers.sky_pilot_estimate import Estimate, estimate
from dynamic_providers.sky_pilot_inputs import SkyPilotClusterInputs
from gpu_clouds import marker
from gpu_clouds.errors import CapacityError, ConflictError, ValidationError
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from gpu_clouds.skypilot.errors import ApiError, as_cloud_error
from gpu_clouds.skypilot.task import as_text

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROOM_USD = 0.001
"""Prices are sums of rounded numbers: a tenth of a cent above the cap passes."""
_NO_CLOUD = "NoCloudAccessError"
_PLAN_S = 90.0
_PLAN_NAME = "gpuplane-plan"
"""A name that no cluster has: only a plan is made under it."""


def broken_rules(inputs: SkyPilotClusterInputs, unknown: frozenset[str]) -> Iterator[CheckFailure]:
    """Rules that need no network, for inputs that are known.

    Args:
        inputs: The inputs; unknown ones have their default.
        unknown: Names of those.
    """
    if "guard" not in unknown and not inputs.guard:
        yield CheckFailure("guard", "is required: the id of the server's guard")
    for part, stack_id, node in (
        ("guard", inputs.guard or "00000000", "x"),
        ("node", "00000000", inputs.node),
    ):
        if part not in unknown:
            try:
                marker.Marker(marker.DECLARED, stack_id, node, "00000000")
            except ValidationError as error:
                yield CheckFailure(part, error.message)
    if inputs.autodown and inputs.autostop_min is None and "autostopMin" not in unknown:
        yield CheckFailure("autodown", "needs autostopMin: after how many idle minutes")
    for key, variables in (("envs", inputs.envs), ("secrets", inputs.secrets)):
        for name in variables:
            if not _VARIABLE.fullmatch(name):
                yield CheckFailure(f"{key}.{name}", "is not the name of an environment variable")
    for name in sorted(set(inputs.envs) & set(inputs.secrets)):
        yield CheckFailure(f"secrets.{name}", "is in envs too: keep one of them")
    for index, port in enumerate(inputs.ports):
        low, _, high = port.partition("-")
        if not 1 <= int(low) <= int(high or low) <= 65535:
            yield CheckFailure(f"ports[{index}]", "must be ports from 1 to 65535, the lower first")


def server_rules(
    cloud: SkyPilotCloud, inputs: SkyPilotClusterInputs, *, is_new: bool
) -> Iterator[CheckFailure]:
    """What the server says of the task: its form, whether there is such a machine at all, and its price.

    `/validate` looks at the form alone; whether a machine exists, only a plan tells (measured, 0.14.1).

    Args:
        cloud: The server.
        inputs: The inputs, as far as they are known.
        is_new: The cluster does not exist yet.

    Raises:
        ApiError: The server can't be asked.
    """
    text = as_text(inputs.launch_task())
    secrets = frozenset(text for text in (inputs.setup, inputs.run) if text)
    refused = [*_refusal(inputs, lambda: cloud.client.validate(text, secrets=secrets))]
    if refused:
        yield from refused
        return
    yield from cap_rule(inputs, estimate(inputs, cloud.prices))
    if is_new:
        # Last: a server that is busy with launches may not get to it in time.
        plan = cloud.client.launch(text, _PLAN_NAME, dryrun=True, secrets=secrets)
        yield from _refusal(inputs, lambda: plan.result(_PLAN_S))


def _refusal(inputs: SkyPilotClusterInputs, ask: Callable[[], object]) -> Iterator[CheckFailure]:
    """What the server has against a task, if it has.

    Raises:
        ApiError: It can't be asked.
    """
    try:
        ask()
    except ApiError as error:
        known = as_cloud_error(error)
        if error.error_code == _NO_CLOUD:
            text = "it has no cloud for this: give it an account of one, and run `sky check` there"
        elif isinstance(known, ValidationError | CapacityError | ConflictError):
            text = reason_of(known.message)
        else:
            raise
        yield CheckFailure(_place(inputs), f"the SkyPilot server refuses it: {text}")


def cap_rule(inputs: SkyPilotClusterInputs, found: Estimate) -> Iterator[CheckFailure]:
    """The cap, against the dearest choice: the server may take any of them."""
    cap, dearest = inputs.max_hourly_usd, found.dearest
    if cap is None:
        return
    if dearest is None:
        progress(
            f"warning: the server tells no price for {inputs.node}: maxHourlyUsd can't be checked", keep=True
        )
    elif dearest.hourly_usd is not None and dearest.hourly_usd > cap + _ROOM_USD:
        yield CheckFailure(
            "maxHourlyUsd",
            f"{dearest} is above the cluster's cap of {cap:.2f}: raise the cap or drop this choice",
        )


def reason_of(message: str) -> str:
    """What a message of the server says, without where it comes from and without advice for its own tools."""
    text = " ".join(message.split())
    for before in ("Error: ", "HTTP 400: "):
        text = text.partition(before)[2] or text
    for after in (" To fix:", " Hint:"):
        text = text.partition(after)[0]
    return text.rstrip(".: ")


def _place(inputs: SkyPilotClusterInputs) -> str:
    return "accelerators" if inputs.accelerators else "infra" if inputs.infra else "node"
