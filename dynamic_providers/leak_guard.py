"""LeakGuard: made before every node of the stack, deleted after all of them.

It reports nodes of this stack that nobody declares, and when the stack is destroyed it ends whatever still
carries the stack's marker: also what a killed run has launched and no state knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi
from pulumi import dynamic
from pydantic import Field

from dynamic_providers.base import Inputs, Provider, checked, inputs_in, own_props, parse
from dynamic_providers.host import fence
from dynamic_providers.host.call import current_call, progress
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import DetailedDiff, Kind, root_of
from gpu_clouds import ending
from gpu_clouds.caching import end_caches, list_caches
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.errors import ValidationError
from gpu_clouds.marker import DECLARED, Marker
from gpu_clouds.weights_cache import orphans as cache_orphans
from gpu_clouds.weights_cache import slug

SHOWN_ORPHANS = 8


class GuardInputs(Inputs):
    """Inputs of a LeakGuard, plain strings all of them.

    Attributes:
        stack_id: The stack's 8 characters.
        credentials: Names of the credential sets that its nodes may use.
        nodes: Names of all declared nodes.
        caches: Node class of each declared weights cache -> whether it stays when the stack is destroyed.
    """

    stack_id: str
    credentials: tuple[str, ...] = ()
    nodes: tuple[str, ...] = Field(default=())
    caches: dict[str, bool] = Field(default_factory=dict)

    def kept(self) -> dict[str, bool]:
        """The same by the part of the cache's name that stands for the class."""
        return {slug(name): keep for name, keep in self.caches.items()}


class LeakGuardProvider(Provider):
    """The guard of one stack; its id is the stackId."""

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Names, and one authenticated read for each credential set: the guard is the first to be checked."""
        parsed = parse(GuardInputs, news)
        failures = list(parsed.failures)
        if parsed.model is not None:
            failures += _names(parsed.model)
            if not failures:
                accounts = ((name, self.shared.account(name)) for name in parsed.model.credentials)
                failures += [
                    dynamic.CheckFailure("credentials", account.problem)
                    for _, account in accounts
                    if account.problem
                ]
        return checked(news, parsed.model, parsed.unknown, failures)

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Another stackId is another guard; everything else is only recorded."""
        found = compare(inputs_in(GuardInputs, olds), own_props(news))
        return DetailedDiff(
            {
                path: Kind.UPDATE_REPLACE if root_of(path) == "stackId" else kind
                for path, kind in found.items()
            }
        )

    def create_preview(self, props: dict[str, Any]) -> dict[str, Any]:
        """There can be no orphan of a stack that is made in this run, as far as this run knows."""
        return {}

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Changes no cloud: it only has to be in the state before the first node."""
        inputs = _known(props)
        self.shared.mark_new(inputs.stack_id)
        return dynamic.CreateResult(inputs.stack_id, {**own_props(props), "orphans": []})

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Lists nodes of this stack that are not declared, or exist twice; ends nothing."""
        outs = own_props(props)
        if "stackId" not in outs:  # an import: everything else comes from the program
            outs = {"stackId": id, "credentials": list(self.shared.names()), "nodes": []}
        inputs = GuardInputs.model_validate(inputs_in(GuardInputs, outs))
        clouds = self.shared.clouds(inputs.credentials)
        found = ending.orphans(clouds, DECLARED, inputs.stack_id, inputs.nodes)
        for orphan in found[:SHOWN_ORPHANS]:
            progress(
                f"node {orphan.instance.id} ({orphan.instance.name}) of {orphan.credentials} is "
                f"{orphan.reason} and costs money: `gpuplane orphans` tells more",
                keep=True,
            )
        if len(found) > SHOWN_ORPHANS:
            progress(f"… {len(found) - SHOWN_ORPHANS} more such nodes", keep=True)
        orphans = [
            {
                "id": orphan.instance.id,
                "name": orphan.instance.name,
                "credentials": orphan.credentials,
                "reason": orphan.reason,
            }
            for orphan in found
        ]
        orphans += self._cache_orphans(inputs, clouds)
        return dynamic.ReadResult(id, {**outs, "orphans": orphans}, inputs_in(GuardInputs, outs))

    def _cache_orphans(self, inputs: GuardInputs, clouds: Mapping[str, GpuCloud]) -> list[dict[str, str]]:
        """Weights caches that are not declared, or exist twice in one place."""
        listed = list_caches(clouds, DECLARED, inputs.stack_id, declared=inputs.caches)
        found = cache_orphans(listed, inputs.kept())
        for orphan in found:
            progress(
                f"weights cache {orphan.volume.id} ({orphan.volume.name}) of {orphan.credentials} is "
                f"{orphan.reason} and costs money: `gpuplane orphans` tells more",
                keep=True,
            )
        return [
            {
                "id": orphan.volume.id,
                "name": orphan.volume.name,
                "credentials": orphan.credentials,
                "reason": orphan.reason,
            }
            for orphan in found
        ]

    def update_preview(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """What was found stays known."""
        return {"orphans": olds.get("orphans", [])}

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Records names; changes no cloud."""
        return dynamic.UpdateResult({**own_props(news), "orphans": olds.get("orphans", [])})

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Ends every node of this stack, waits until no other can appear, then ends its weights caches.

        Raises:
            GpuCloudError: A cloud can't be listed, or a node or cache can't be ended; the guard stays, for
                the next destroy.
        """
        inputs = GuardInputs.model_validate(inputs_in(GuardInputs, props))
        call = current_call()
        ended = self.shared.ender(call).end_all(
            self.shared.clouds(inputs.credentials),
            DECLARED,
            inputs.stack_id,
            self.shared.intents(inputs.stack_id),
            settle_s=self.shared.settings.settle_s,
        )
        for instance in ended[:SHOWN_ORPHANS]:
            progress(f"ended node {instance.id} ({instance.name}), which no state knew", keep=True)
        # After the nodes: a disk ends once nothing mounts it, and no launch can take effect any more.
        gone, kept = end_caches(
            self.shared.clouds(inputs.credentials),
            DECLARED,
            inputs.stack_id,
            declared=inputs.kept(),
            intents=self.shared.intents(inputs.stack_id),
            clock=self.shared.clock,
            cancel=call.cancel,
            may_send=fence.check,
        )
        for volume in gone:
            progress(f"ended weights cache {volume.id} ({volume.name}) in {volume.region}", keep=True)
        for volume in kept:
            progress(
                f"weights cache {volume.id} ({volume.name}) in {volume.region} stays and costs money: "
                "its keep is true",
                keep=True,
            )
        # Imported here: few stacks have services, and every run of the engine waits for imports.
        from dynamic_providers.local_service import end_services

        end_services(inputs.stack_id)


class LeakGuard(dynamic.Resource, module="gpu", name="LeakGuard"):
    """**Pulumi type:** `pulumi-python:dynamic/gpu:LeakGuard`. Give its `id` to every node as `guard`.

    Args:
        name: Name of the resource.
        stack_id: The stack's 8 characters, a plain string.
        credentials: Names of the credential sets.
        nodes: Names of all declared nodes.
        caches: Node class of each weights cache -> whether it stays when the stack is destroyed.
        opts: Resource options; `delete_before_replace` is always on, so that a forced replace of the guard
            replaces its nodes too, instead of ending them under a living stack.
    """

    orphans: pulumi.Output[list[dict[str, Any]]]

    def __init__(
        self,
        name: str,
        *,
        stack_id: str,
        credentials: list[str],
        nodes: list[str],
        caches: Mapping[str, bool] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props: dict[str, Any] = {"stackId": stack_id, "credentials": credentials, "nodes": nodes}
        props |= {"caches": dict(caches)} if caches else {}
        props |= {"orphans": None}
        before = pulumi.ResourceOptions(delete_before_replace=True)
        super().__init__(
            LeakGuardProvider(),
            name,
            props,
            pulumi.ResourceOptions.merge(opts or pulumi.ResourceOptions(), before),
        )


def _known(props: Mapping[str, Any]) -> GuardInputs:
    return GuardInputs.model_validate(own_props(props))


def _names(inputs: GuardInputs) -> Iterator[dynamic.CheckFailure]:
    seen: set[str] = set()
    try:
        Marker(DECLARED, inputs.stack_id, "x", "00000000")
    except ValidationError as error:
        yield dynamic.CheckFailure("stackId", error.message)
    for name in inputs.caches:
        try:
            Marker(DECLARED, "00000000", slug(name), "00000000")
        except ValidationError as error:
            yield dynamic.CheckFailure(f"caches.{name}", error.message)
    for index, node in enumerate(inputs.nodes):
        try:
            Marker(DECLARED, "00000000", node, "00000000")
        except ValidationError as error:
            yield dynamic.CheckFailure(f"nodes[{index}]", error.message)
        if node in seen:
            yield dynamic.CheckFailure(
                f"nodes[{index}]", f"{node!r} is declared twice; every node has its own name"
            )
        seen.add(node)
