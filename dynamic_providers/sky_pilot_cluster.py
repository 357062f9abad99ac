"""SkyPilotCluster: a cluster on a SkyPilot API server.

The provider is the thin skin: finding, launching, waiting and ending are those of every node (gpu_clouds);
what is SkyPilot's own is in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
from pulumi import dynamic

from dynamic_providers.base import own_props, parse
from dynamic_providers.host.call import current_call, progress
from dynamic_providers.host.results import DetailedDiff, root_of
from dynamic_providers.sky_pilot_bringing import Bringing
from dynamic_providers.sky_pilot_check import broken_rules, server_rules
from dynamic_providers.sky_pilot_cloud import StackCluster
from dynamic_providers.sky_pilot_diff import cluster_diff, replaces
from dynamic_providers.sky_pilot_estimate import Estimate, estimate
from dynamic_providers.sky_pilot_inputs import SkyPilotClusterInputs
from dynamic_providers.sky_pilot_outputs import (
    COMPUTED,
    ESTIMATED,
    REPLACED,
    computed,
    imported,
    old_inputs,
    refreshed,
)
from dynamic_providers.sky_pilot_servers import (
    SERVER,
    ServerInputs,
    SkyPilotProvider,
    checked_on_server,
    secret_inputs,
    server_of,
)
from gpu_clouds.errors import GpuCloudError, ValidationError
from gpu_clouds.marker import DECLARED, stack_prefix
from gpu_clouds.models import Instance, InstanceState
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from gpu_clouds.skypilot.errors import CLOUD, ApiError, cloud_errors
from gpu_clouds.skypilot.instances import is_impostor, is_ours
from gpu_clouds.skypilot.models import ClusterRecord

HIDDEN = ("token", "envs", "secrets", "setup", "run")
"""Inputs that may hold keys: they are secret whether the program says so or not."""


class SkyPilotClusterProvider(SkyPilotProvider):
    """Create is find-or-launch by name, delete ends when the server's cloud has nothing left of it."""

    secret_outputs = frozenset(HIDDEN)

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Rules always; for a new or changed cluster what the server says of the task, and the cap."""
        parsed = parse(SkyPilotClusterInputs, news)
        rules = [] if parsed.model is None else [*broken_rules(parsed.model, parsed.unknown)]
        is_new = not olds or replaces(olds, own_props(news))

        def ask(inputs: SkyPilotClusterInputs, unknown: frozenset[str]) -> Iterator[dynamic.CheckFailure]:
            if later := sorted(unknown - {"guard", *SERVER}):
                progress(f"{', '.join(later)}: not known yet, will be checked when the cluster is made")
            yield from server_rules(self.cloud(inputs, inputs.workspace), inputs, is_new=is_new)

        return checked_on_server(self, olds, news, parsed, rules, ask)

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Update or replace, property by property. Prices are in no input, so they are never a difference."""
        return DetailedDiff(cluster_diff(olds, news))

    def create_preview(self, props: dict[str, Any]) -> dict[str, Any]:
        """Places and cost, before anything exists. Only reads."""
        parsed = parse(SkyPilotClusterInputs, props)
        if parsed.model is None:
            return {}
        if SERVER & parsed.unknown:
            progress(
                f"{parsed.model.node} has no price in this preview: its server, or the tenant whose token it "
                "needs, is made by the same up; a preview after that has it",
                keep=True,
            )
            return {}
        inputs = parsed.model
        try:
            reachable = bool(self._health(inputs))
            server = self.cloud(inputs, inputs.workspace)
            return estimate(inputs, server.prices if reachable else None).as_outputs()
        except (ApiError, GpuCloudError):
            return {}  # `check` has told why

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Finds or launches the cluster, waits until it is up and set up, and starts its job.

        Raises:
            PartialState: A cluster exists, but is not as declared; the next `up` goes on with it.
            ProvisioningError, CancelledError, GpuCloudError: There is no cluster.
        """
        inputs = _known(props)
        outs = self._bringing(inputs).create(own_props(props))
        return dynamic.CreateResult(str(outs["clusterName"]), outs)

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What the cluster is now, by its cloud's own word: for a refresh, or for an import."""
        outs = own_props(props)
        if "clusterName" not in outs:
            return self._import(id)
        inputs = old_inputs(outs)
        return self.read_or_kept(id, server_of(outs), outs, inputs, lambda: self._read(id, outs))

    def _read(self, id: str, outs: dict[str, Any]) -> dynamic.ReadResult:
        name = str(outs["clusterName"])
        instance, record = self._look(outs, name)
        gone = instance.state in (InstanceState.GONE, InstanceState.DELETING)
        if gone or record is None or is_impostor(record):
            if not gone and record is not None:
                progress(f"cluster {name} is not ours any more: it lacks our label", keep=True)
            else:
                progress(self._why_gone(server_of(outs), name), keep=True)
            return dynamic.ReadResult("", {})
        new = refreshed(outs, instance, record)
        if new["state"] == REPLACED:
            progress(
                f"cluster {name} was made anew outside of this stack (hash {outs['clusterHash']} is now "
                f"{record.cluster_hash}): the next up sets it up",
                keep=True,
            )
        return dynamic.ReadResult(id, new, old_inputs(new))

    def update_preview(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """What stays known through an update."""
        known = computed(olds)
        for path in cluster_diff(olds, news):
            for name in _UNKNOWN_AFTER.get(root_of(path), ()):
                known.pop(name, None)
        return known

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Changes in place what the server changes in place, and makes the cluster as declared again.

        Raises:
            PartialState: It is not, or there is none left; the next `up` goes on.
        """
        inputs = _known(news)
        return dynamic.UpdateResult(self._bringing(inputs, olds).update(id, olds, own_props(news)))

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Cancels, takes down, and looks until nothing is left. Absent is success; what is not ours is left.

        Raises:
            GpuCloudError: It is still there; the state keeps it.
        """
        call = current_call()
        name = str(props.get("clusterName") or id)
        workspace = str(props.get("workspace") or "")
        server = server_of(props)
        cloud = self.cloud(server, workspace)
        with self.needed(server):
            instance, record = cloud.look(name)
            ours = record is None or is_ours(record)
            self.shared.ender(call).end(
                cloud,
                instance.id,
                deadline_s=call.timeout_s or self.shared.settings.delete_deadline_s,
                marker=name if ours else "",
                intents=self.shared.intents(str(props["guard"])) if ours else None,
            )

    def _bringing(self, inputs: SkyPilotClusterInputs, olds: Mapping[str, Any] | None = None) -> Bringing:
        server = self.cloud(inputs, inputs.workspace)
        cluster = StackCluster(server, inputs, self._estimate(server, inputs))
        paid = None if olds is None else olds.get("hourlyUsd")
        return Bringing(self.shared, cluster, inputs, current_call(), paid)

    def _estimate(self, server: SkyPilotCloud, inputs: SkyPilotClusterInputs) -> Estimate | None:
        try:
            return estimate(inputs, server.prices)
        except (ApiError, GpuCloudError):
            return None  # the launch itself tells what is wrong with the server

    def _look(self, outs: Mapping[str, Any], name: str) -> tuple[Instance, ClusterRecord | None]:
        """The cluster now. A refresh of many clusters shares one look."""
        cloud = self.cloud(server_of(outs), str(outs.get("workspace") or ""))
        seen = self.look_all(cloud, stack_prefix(DECLARED, str(outs["guard"]))).get(name)
        return seen if seen is not None else cloud.look(name)

    def _why_gone(self, server: ServerInputs, name: str) -> str:
        head = f"cluster {name} is gone"
        try:
            with cloud_errors():
                rows = self.client(server).cost_report([name])
        except GpuCloudError:
            return f"{head}: the next up makes it anew"
        row = max(rows, key=lambda each: each.launched_at or 0.0, default=None)
        said = " ".join(row.last_event.split()).rstrip(".") if row is not None else ""
        cost = f"; it has cost {row.total_cost:.2f} USD" if row is not None and row.total_cost else ""
        return f"{head}{f' ({said})' if said else ''}{cost}: the next up makes it anew"

    def _import(self, id: str) -> dynamic.ReadResult:
        """Looks for the name on every server that is a credential set."""
        failed: list[str] = []
        for account in self.shared.names():
            if self.shared.source(account).cloud != CLOUD:
                continue
            server = ServerInputs(credentials=account)
            try:
                instance, record = self.cloud(server).look(id)
            except GpuCloudError as error:
                failed.append(f"{account}: {error.message}")
                continue
            if record is not None:
                outs = imported(instance, record, account, self.shared.stack_id, current_call().name)
                return dynamic.ReadResult(id, outs, old_inputs(outs))
        if failed:
            raise ValidationError(
                f"cluster {id} was not found; not every server could be read: {'; '.join(failed)}"
            )
        return dynamic.ReadResult("", {})


class SkyPilotCluster(dynamic.Resource, module="skypilot", name="SkyPilotCluster"):
    """**Pulumi type:** `pulumi-python:dynamic/skypilot:SkyPilotCluster`. A cluster of a SkyPilot API server.

    Args:
        name: Name of the resource; `node` if that is not given.
        args: Inputs by their camelCase names, see `SkyPilotClusterInputs`. `guard` must be the id of the
            server's guard; `envs`, `secrets`, `setup`, `run` and `token` are made secret.
        opts: Resource options. `delete_before_replace` is on unless it is set: GPUs are scarce.
    """

    clusterName: pulumi.Output[str]
    clusterHash: pulumi.Output[str]
    state: pulumi.Output[str]
    cloud: pulumi.Output[str]
    place: pulumi.Output[str]
    gpus: pulumi.Output[dict[str, float]]
    hourlyUsd: pulumi.Output[float | None]
    endpoints: pulumi.Output[dict[str, str]]
    jobId: pulumi.Output[float | None]
    jobName: pulumi.Output[str]
    candidateInfra: pulumi.Output[list[str] | None]
    estimatedHourlyUsd: pulumi.Output[float | None]
    estimatedMonthlyUsd: pulumi.Output[float | None]
    estimateSource: pulumi.Output[str | None]
    estimateDate: pulumi.Output[str | None]

    def __init__(
        self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        opts = opts or pulumi.ResourceOptions()
        if opts.delete_before_replace is None:
            # The option, not the flag of a diff: only the option holds for `up --replace` and taint as well.
            opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True))
        hidden = pulumi.ResourceOptions(additional_secret_outputs=list(HIDDEN))
        props = {"node": name, **secret_inputs(args, *HIDDEN), **dict.fromkeys((*COMPUTED, *ESTIMATED))}
        super().__init__(SkyPilotClusterProvider(), name, props, pulumi.ResourceOptions.merge(opts, hidden))


_UNKNOWN_AFTER: Mapping[str, tuple[str, ...]] = {
    "state": ("state", "place", "clusterHash", "endpoints", "hourlyUsd", "jobId", "cloud", "gpus"),
    "setup": ("setupName", "jobId"),
    "run": ("jobId", "jobName"),
    "envs": ("jobId", "jobName", "setupName"),
    "secrets": ("jobId", "jobName", "setupName"),
    "ports": ("endpoints",),
}
"""Changed input -> outputs that an update makes anew."""


def _known(props: Mapping[str, Any]) -> SkyPilotClusterInputs:
    """The inputs of a real operation, where everything is known."""
    parsed = parse(SkyPilotClusterInputs, props)
    if parsed.model is None:
        first = parsed.failures[0]
        raise ValidationError(f"{first.property}: {first.reason}")
    if wrong := list(broken_rules(parsed.model, frozenset())):
        raise ValidationError(f"{wrong[0].property}: {wrong[0].reason}")
    return parsed.model
