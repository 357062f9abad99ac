"""SkyPilotGuard: what LeakGuard is for accounts, for a SkyPilot API server that the same run makes.

LeakGuard knows credential sets alone. The address of a server of this run is an output, so it has a guard of
its own: made after the server and before its clusters, deleted after them and before the server. A launch of
a killed run then does not outlive the server that could still end it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
from pulumi import dynamic
from pydantic import Field

from dynamic_providers.base import inputs_in, own_props, parse
from dynamic_providers.host.call import current_call, progress
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import DetailedDiff, Kind, root_of
from dynamic_providers.leak_guard import SHOWN_ORPHANS
from dynamic_providers.sky_pilot_servers import (
    ServerInputs,
    SkyPilotProvider,
    checked_on_server,
    secret_inputs,
)
from gpu_clouds import ending
from gpu_clouds.errors import ValidationError
from gpu_clouds.marker import DECLARED, Marker


class SkyPilotGuardInputs(ServerInputs):
    """Inputs of a SkyPilotGuard.

    Attributes:
        stack_id: The stack's 8 characters.
        clusters: Names of all clusters that are declared on this server.
    """

    stack_id: str
    clusters: tuple[str, ...] = Field(default=())


class SkyPilotGuardProvider(SkyPilotProvider):
    """The guard of one stack on one server; its id is the stackId."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Names; and whether the server can be used, where it is there already."""
        parsed = parse(SkyPilotGuardInputs, news)
        rules = [] if parsed.model is None else [*_names(parsed.model, parsed.unknown)]
        return checked_on_server(self, olds, news, parsed, rules, lambda inputs, unknown: ())

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Another stackId is another guard; everything else is only recorded."""
        found = compare(inputs_in(SkyPilotGuardInputs, olds), own_props(news))
        return DetailedDiff(
            {
                path: Kind.UPDATE_REPLACE if root_of(path) == "stackId" else kind
                for path, kind in found.items()
            }
        )

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Asks the server nothing: it only has to be in the state before the first cluster."""
        inputs = SkyPilotGuardInputs.model_validate(own_props(props))
        return dynamic.CreateResult(inputs.stack_id, {**own_props(props), "orphans": []})

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Lists clusters of this stack that are not declared; ends nothing."""
        outs = own_props(props)
        if "stackId" not in outs:
            raise ValidationError("a guard can't be imported: declare it")
        known = inputs_in(SkyPilotGuardInputs, outs)
        inputs = SkyPilotGuardInputs.model_validate(known)
        return self.read_or_kept(id, inputs, outs, known, lambda: self._read(id, inputs, outs))

    def _read(self, id: str, inputs: SkyPilotGuardInputs, outs: dict[str, Any]) -> dynamic.ReadResult:
        cloud = self.cloud(inputs)
        found = ending.orphans({cloud.credentials: cloud}, DECLARED, inputs.stack_id, inputs.clusters)
        for orphan in found[:SHOWN_ORPHANS]:
            progress(
                f"cluster {orphan.instance.name} on {cloud.credentials} is {orphan.reason} and costs money: "
                "destroy ends it, or end it on the server",
                keep=True,
            )
        if len(found) > SHOWN_ORPHANS:
            progress(f"… {len(found) - SHOWN_ORPHANS} more such clusters", keep=True)
        orphans = [{"name": each.instance.name, "reason": each.reason} for each in found]
        return dynamic.ReadResult(id, {**outs, "orphans": orphans}, inputs_in(SkyPilotGuardInputs, outs))

    def update_preview(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """What was found stays known."""
        return {"orphans": olds.get("orphans", [])}

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Records names; asks the server nothing."""
        return dynamic.UpdateResult({**own_props(news), "orphans": olds.get("orphans", [])})

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Ends every cluster of this stack on the server, and waits until no other can appear.

        Raises:
            GpuCloudError: The server can't be asked, or a cluster can't be ended; the guard stays.
        """
        inputs = SkyPilotGuardInputs.model_validate(inputs_in(SkyPilotGuardInputs, props))
        cloud = self.cloud(inputs)
        with self.needed(inputs):
            ended = self.shared.ender(current_call()).end_all(
                {cloud.credentials: cloud},
                DECLARED,
                inputs.stack_id,
                self.shared.intents(inputs.stack_id),
                settle_s=self.shared.settings.settle_s,
            )
        for instance in ended[:SHOWN_ORPHANS]:
            progress(f"ended cluster {instance.name}, which no state knew", keep=True)


class SkyPilotGuard(dynamic.Resource, module="skypilot", name="SkyPilotGuard"):
    """**Pulumi type:** `pulumi-python:dynamic/skypilot:SkyPilotGuard`. Give its `id` to clusters as `guard`.

    Args:
        name: Name of the resource.
        args: Inputs by their camelCase names, see `SkyPilotGuardInputs`.
        opts: Resource options; `delete_before_replace` is always on, so that a forced replace of the guard
            replaces its clusters too, instead of ending them under a living stack.

    Attributes:
        orphans: Clusters of this stack that are not declared.
    """

    orphans: pulumi.Output[list[dict[str, Any]]]

    def __init__(
        self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        always = pulumi.ResourceOptions(delete_before_replace=True, additional_secret_outputs=["token"])
        super().__init__(
            SkyPilotGuardProvider(),
            name,
            {**secret_inputs(args), "orphans": None},
            pulumi.ResourceOptions.merge(opts or pulumi.ResourceOptions(), always),
        )


def _names(inputs: SkyPilotGuardInputs, unknown: frozenset[str]) -> Iterator[dynamic.CheckFailure]:
    if "stackId" not in unknown:
        try:
            Marker(DECLARED, inputs.stack_id, "x", "00000000")
        except ValidationError as error:
            yield dynamic.CheckFailure("stackId", error.message)
    for index, cluster in enumerate(inputs.clusters):
        try:
            Marker(DECLARED, "00000000", cluster, "00000000")
        except ValidationError as error:
            yield dynamic.CheckFailure(f"clusters[{index}]", error.message)
