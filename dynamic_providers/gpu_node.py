"""GpuNode: one node, from an ordered list of candidates.

The provider is the thin skin: what it decides itself is in node_check, node_diff, node_outputs and estimates;
finding, launching, waiting and ending are in gpu_clouds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pulumi
from pulumi import dynamic

from dynamic_providers.base import Provider, checked, own_props, parse
from dynamic_providers.estimates import candidate_output, estimate
from dynamic_providers.host.call import current_call, progress
from dynamic_providers.host.results import DetailedDiff, PartialState, root_of
from dynamic_providers.inputs import TEMPLATE, NodeInputs, RunFacts, candidate_from
from dynamic_providers.node_check import (
    account_rules,
    broken_rules,
    count_rules,
    expiry_rule,
    money_rules,
    offers_for,
    price_rules,
    resolve,
)
from dynamic_providers.node_diff import living_candidate, node_diff
from dynamic_providers.node_outputs import (
    COMPUTED,
    ESTIMATED,
    computed,
    imported,
    is_ours,
    node_outputs,
    old_inputs,
    refreshed,
    taken_back,
)
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.errors import GpuCloudError, NotFoundError, ValidationError
from gpu_clouds.intents import ending
from gpu_clouds.marker import DECLARED, stack_prefix
from gpu_clouds.models import Candidate, Instance, InstanceState
from gpu_clouds.provisioning import Provisioned, ProvisioningError
from gpu_clouds.registry import cloud_info


class GpuNodeProvider(Provider):
    """Create is find-or-launch, delete ends when billing has ended. Rules: docs/provisioning.md."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Rules and the catalogue always; the account and today's prices for a new or changed node.

        An unchanged node costs no network call, and no price that has moved makes it fail.
        """
        parsed = parse(NodeInputs, news)
        inputs, unknown = parsed.model, parsed.unknown
        failures = list(parsed.failures)
        if inputs is not None:
            failures += broken_rules(inputs, unknown)
            if "candidates" not in unknown:
                candidates, wrong = resolve(inputs, self.shared)
                failures += wrong
                inputs = inputs.model_copy(update={"candidates": candidates})
        result = checked(news, inputs, unknown, failures)
        if inputs is None or result.failures or "candidates" in unknown or result.inputs == own_props(olds):
            return result
        failures += expiry_rule(inputs, datetime.now(UTC))
        failures += account_rules(inputs, self.shared, is_new=not olds)
        if not failures:
            offers = offers_for([c.candidate() for c in inputs.candidates], self.shared)
            failures += count_rules(inputs, offers, self.shared)
            failures += price_rules(inputs, offers)
            failures += [] if olds else money_rules(inputs, offers, self.shared)
        if later := sorted(unknown - {"guard"}):
            progress(f"{', '.join(later)}: not known yet, will be checked when the node is made")
        return checked(news, inputs, unknown, failures)

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Update or replace, property by property. Prices are in no input, so they are never a difference."""
        return DetailedDiff(node_diff(olds, news, _updatable(olds)))

    def create_preview(self, props: dict[str, Any]) -> dict[str, Any]:
        """Candidate and cost, before anything exists. Only reads."""
        inputs = parse(NodeInputs, props)
        if inputs.model is None or "candidates" in inputs.unknown:
            return {}
        candidates = [c.candidate() for c in inputs.model.candidates]
        return estimate(candidates, offers_for(candidates, self.shared), inputs.model.order).as_outputs()

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Finds or launches the node and waits until it is ready.

        Raises:
            PartialState: A node exists, but is not ready; the next `up` goes on with it.
            ProvisioningError, CancelledError: There is no node.
        """
        inputs, names = self._known(props)
        call = current_call()
        run = RunFacts(
            self.shared.settings.settle_s, call.timeout_s, first_listing_once=self.shared.is_new(inputs.guard)
        )
        try:
            done = self.shared.provisioner(call, inputs.guard, names).find_or_launch(inputs.request(run))
        except ProvisioningError as error:
            if error.kept is None:
                raise
            outs = _kept_outputs(own_props(props), inputs, error)
            raise PartialState(error.kept.id, outs, str(error).splitlines()) from error
        return dynamic.CreateResult(done.instance.id, self._done(own_props(props), done))

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What the node is now: for a refresh, or for an import when there is no state yet."""
        if "candidate" not in props:
            return self._import(id)
        outs = own_props(props)
        cloud = self._home(outs)
        self._let_deletes_land(outs)
        instance = self._look(cloud, str(outs.get("instanceId") or id), outs)
        if instance.state in (InstanceState.GONE, InstanceState.DELETING):
            return dynamic.ReadResult("", {})
        new = refreshed(outs, instance)
        if taken_back(outs, instance):
            progress(
                f"[{outs['node']}] spot node {instance.id} was taken back: the next up makes it anew",
                keep=True,
            )
        return dynamic.ReadResult(id, new, old_inputs(new))

    def update_preview(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """What stays known through an update: all but the ways in, where the node starts anew."""
        known = computed(olds)
        if self._restarts(olds, news):
            for name in ("endpoints", "ssh", "state"):
                known.pop(name, None)
        return known

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Changes in place what the cloud can change so, and makes the node ready again.

        Raises:
            PartialState: The node is not ready, or there is none left; the next `up` goes on.
        """
        inputs, names = self._known(news)
        candidate = living_candidate(olds, [c.candidate() for c in inputs.candidates])
        node_id = str(olds.get("instanceId") or id)
        new = own_props(news)
        if candidate is not None and olds.get("expiresAt") != news.get("expiresAt"):
            self._warn_of_set_end(inputs, candidate, olds)
        if candidate is not None and not self._restarts(olds, news):
            outs = {**computed(olds), **new}
            # The same machine may be asked for in other words now, or through a renamed credential set.
            outs["candidate"] = candidate_output(candidate)
            return dynamic.UpdateResult(outs)
        call = current_call()
        request = inputs.request(
            RunFacts(
                self.shared.settings.settle_s,
                call.timeout_s,
                adopt_id="" if is_ours(olds) else node_id,
                paid_hourly_usd=olds.get("hourlyUsd"),
            )
        )
        if candidate is not None and _changes_template(olds, news):
            cloud = self.shared.cloud(candidate.credentials)
            try:
                cloud.update(node_id, request.spec(candidate, cloud.capabilities.updatable))
            except NotFoundError:
                progress(f"[{inputs.node}] {cloud.name} node {node_id} is gone: making it anew")
        try:
            done = self.shared.provisioner(call, inputs.guard, names).ensure_ready(request, node_id)
        except ProvisioningError as error:
            if error.kept is not None:
                outs = _kept_outputs(new, inputs, error)
            else:
                # The state must not call a node ready that is not there any more.
                outs = {**computed(olds), **new, "state": str(InstanceState.GONE)}
            raise PartialState(id, outs, str(error).splitlines()) from error
        return dynamic.UpdateResult(self._done(new, done))

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Deletes until the cloud says that it is gone, and with it the billing. Absent is success.

        Raises:
            GpuCloudError: It is still there; the state keeps it.
        """
        call = current_call()
        cloud = self._home(props)
        prefix = stack_prefix(DECLARED, str(props["guard"])) if _is_listed(props) else ""
        self.shared.ender(call).end(
            cloud,
            str(props.get("instanceId") or id),
            prefix=prefix,
            deadline_s=call.timeout_s or self.shared.settings.delete_deadline_s,
            marker=str(props["marker"]) if is_ours(props) else "",
            intents=self.shared.intents(str(props["guard"])) if is_ours(props) else None,
        )

    def _home(self, outs: Mapping[str, Any]) -> GpuCloud:
        """The account that the node lives in."""
        name = candidate_from(outs["candidate"]).credentials
        if name not in self.shared.names():
            raise ValidationError(
                f"[{outs['node']}] this node lives in the account of credential set {name!r}, which is not "
                "declared any more: put it back until the node is gone"
            )
        return self.shared.cloud(name)

    def _let_deletes_land(self, outs: Mapping[str, Any]) -> None:
        """A delete of a killed run may still take effect: what it ends must not be read as living."""
        if not is_ours(outs):
            return
        intents = self.shared.intents(str(outs["guard"]))
        left = intents.settle_left(ending(str(outs["marker"])), self.shared.settings.settle_s)
        if left > 0:
            progress(f"[{outs['node']}] a delete of a killed run may still take effect: waiting {left:.0f} s")
            self.shared.clock.sleep(left, current_call().cancel)

    def _done(self, inputs: Mapping[str, Any], done: Provisioned) -> dict[str, Any]:
        """Outputs of a node that is ready; tells what the user should hear of its way there."""
        for note in done.notes:
            self.shared.note(f"[{inputs['node']}] {note}")
        return node_outputs(inputs, done.candidate, done.instance, ready=True, hourly_usd=done.hourly_usd)

    def _known(self, props: Mapping[str, Any]) -> tuple[NodeInputs, list[str]]:
        """The inputs of a real operation, where everything is known, and their credential sets."""
        parsed = parse(NodeInputs, props)
        if parsed.model is None:
            first = parsed.failures[0]
            raise ValidationError(f"{first.property}: {first.reason}")
        if wrong := list(broken_rules(parsed.model, frozenset())):
            raise ValidationError(f"{wrong[0].property}: {wrong[0].reason}")
        return parsed.model, [c.credentials for c in parsed.model.candidates]

    def _warn_of_set_end(self, inputs: NodeInputs, candidate: Candidate, olds: Mapping[str, Any]) -> None:
        """A cloud that was told an end at the launch can't be told another one."""
        cloud = self.shared.cloud(candidate.credentials)
        if cloud.capabilities.ttl and (at := olds.get("expiresAt")):
            progress(
                f"[{inputs.node}] {cloud.name} may end this node at {at} all the same, because that was "
                "said at its launch: change replaceTrigger to have it made anew",
                keep=True,
            )

    def _restarts(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
        """Whether the change needs the cloud: what runs on the node, its probe, a node not ready."""
        roots = {root_of(path) for path in node_diff(olds, news, _updatable(olds))}
        return bool(roots & {*TEMPLATE, "readiness", "state"})

    def _look(self, cloud: GpuCloud, node_id: str, outs: Mapping[str, Any]) -> Instance:
        """The node now. A refresh of many nodes shares one listing; only who is missing is asked alone."""
        if is_ours(outs):
            feed = self.shared.run.feed(cloud, stack_prefix(DECLARED, str(outs["guard"])))
            seen = feed.fresh(current_call().cancel).by_id.get(node_id)
            if seen is not None:
                return seen
        return cloud.get(node_id)

    def _import(self, id: str) -> dynamic.ReadResult:
        """Looks for the id in every account."""
        call = current_call()
        failed: list[str] = []
        for name in self.shared.names():
            try:
                instance = self.shared.cloud(name).get(id)
            except GpuCloudError as error:
                failed.append(f"{name}: {error.message}")
                continue
            if instance.state is not InstanceState.GONE:
                outs = imported(instance, name, self.shared.stack_id, call.name)
                return dynamic.ReadResult(id, outs, old_inputs(outs))
        if failed:
            raise ValidationError(
                f"node {id} was not found; not every account could be read: {'; '.join(failed)}"
            )
        return dynamic.ReadResult("", {})


class GpuNode(dynamic.Resource, module="gpu", name="GpuNode"):
    """**Pulumi type:** `pulumi-python:dynamic/gpu:GpuNode`. One rented node.

    Args:
        name: Name of the resource; `node` if that is not given.
        args: Inputs by their camelCase names, see `dynamic_providers.inputs.NodeInputs`. `guard` must be the
            id of the stack's LeakGuard; `env`, `startup`, `readiness` and `tls` are made secret, as they may
            hold keys.
        opts: Resource options. `delete_before_replace` is on unless it is set: no node has to exist twice.
    """

    candidate: pulumi.Output[dict[str, Any]]
    cloud: pulumi.Output[str]
    region: pulumi.Output[str]
    gpu: pulumi.Output[str]
    gpuCount: pulumi.Output[float]
    instanceId: pulumi.Output[str]
    marker: pulumi.Output[str]
    state: pulumi.Output[str]
    hourlyUsd: pulumi.Output[float | None]
    endpoints: pulumi.Output[list[dict[str, Any]]]
    ssh: pulumi.Output[str]
    estimatedHourlyUsd: pulumi.Output[float | None]
    estimatedMonthlyUsd: pulumi.Output[float | None]
    estimateSource: pulumi.Output[str | None]
    estimateDate: pulumi.Output[str | None]

    def __init__(
        self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props: dict[str, Any] = {"node": name, **args}
        for key in ("env", "startup", "readiness", "tls"):
            if key in props:
                props[key] = pulumi.Output.secret(props[key])
        opts = opts or pulumi.ResourceOptions()
        if opts.delete_before_replace is None:
            # The option, not the flag of a diff: only the option holds for `up --replace` and taint as well.
            opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True))
        super().__init__(GpuNodeProvider(), name, {**props, **dict.fromkeys((*COMPUTED, *ESTIMATED))}, opts)


def _updatable(outs: Mapping[str, Any]) -> frozenset[str]:
    """What the node's cloud can change in place."""
    return cloud_info(candidate_from(outs["candidate"]).cloud).capabilities.updatable


def _changes_template(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    roots = {root_of(path) for path in node_diff(olds, news, _updatable(olds))}
    return bool(roots & set(TEMPLATE)) and olds.get("state") != InstanceState.GONE


def _kept_outputs(inputs: Mapping[str, Any], parsed: NodeInputs, error: ProvisioningError) -> dict[str, Any]:
    """Outputs of a node that exists but did not get ready."""
    assert error.kept is not None
    candidate = error.kept_candidate or parsed.candidates[0].candidate()
    return node_outputs(inputs, candidate, error.kept, ready=False, hourly_usd=error.kept.hourly_usd)


def _is_listed(props: Mapping[str, Any]) -> bool:
    """Whether the shared listings show this node: it carries our marker and has been seen ready."""
    return is_ours(props) and props.get("state") == InstanceState.READY
