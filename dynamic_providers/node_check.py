"""What is wrong with a node's inputs, found before anything exists.

First what needs no network (names, rules, capabilities), then, for a node that is new or changed, the account
and today's prices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pulumi.dynamic import CheckFailure

from dynamic_providers.clouds import Shared
from dynamic_providers.estimates import dearest
from dynamic_providers.host.call import progress
from dynamic_providers.inputs import CandidateInput, NodeInputs
from gpu_clouds import catalog, marker
from gpu_clouds.errors import CancelledError, GpuCloudError, ValidationError
from gpu_clouds.models import AccountStatus, Candidate, CapacityType, Offer
from gpu_clouds.node_ssh import ssh_program
from gpu_clouds.registry import CLOUDS, cloud_info

_PORT = re.compile(r"([0-9]{1,5})/(http|tcp)")
_ROOM_USD = 0.001
"""Prices are sums of rounded numbers: a tenth of a cent above the cap passes."""


def broken_rules(inputs: NodeInputs, unknown: frozenset[str]) -> Iterator[CheckFailure]:
    """Rules that need no network, for inputs that are known.

    Args:
        inputs: The inputs; unknown ones have their default.
        unknown: Names of those.
    """
    yield from _names(inputs, unknown)
    if not {"image", "templateId"} & unknown:
        if inputs.image and inputs.template_id:
            yield CheckFailure("image", "give image or templateId, not both")
        elif not inputs.image and not inputs.template_id:
            yield CheckFailure("image", "give an image, or the templateId of a template of the cloud")
    if inputs.weights_cache is not None and inputs.volume_gb:
        yield CheckFailure("volumeGb", "a node mounts a weightsCache or a volume of its own, not both")
    for index, port in enumerate(inputs.ports):
        found = _PORT.fullmatch(port)
        if not found or not 1 <= int(found[1]) <= 65535:
            yield CheckFailure(f"ports[{index}]", f"{port!r} must look like 8000/http or 22/tcp")
    if "readiness" not in unknown:
        yield from _readiness(inputs, unknown)


def resolve(inputs: NodeInputs, shared: Shared) -> tuple[tuple[CandidateInput, ...], list[CheckFailure]]:
    """The candidates with canonical GPU names; an ambiguous name becomes several candidates.

    Args:
        inputs: The inputs.
        shared: Knows the credential sets.

    Returns:
        The candidates, and what is wrong with some of them.
    """
    resolved: list[CandidateInput] = []
    failures: list[CheckFailure] = []
    for index, given in enumerate(inputs.candidates):
        try:
            found = _resolve(given, shared)
            resolved += found if inputs.weights_cache is None else _places(given, found)
        except ValidationError as error:
            failures.append(CheckFailure(f"candidates[{index}]", error.message))
    return tuple(dict.fromkeys(resolved)), failures


def account_rules(inputs: NodeInputs, shared: Shared, *, is_new: bool) -> Iterator[CheckFailure]:
    """One authenticated read for each credential set, at most once in this process.

    Args:
        inputs: Resolved inputs.
        shared: Reads accounts.
        is_new: The node does not exist yet, so it needs room in a limit.
    """
    for name in dict.fromkeys(candidate.credentials for candidate in inputs.candidates):
        account = shared.account(name)
        if account.problem:
            yield CheckFailure("candidates", account.problem)
        elif account.status is not None and is_new and (limit := _limit(account.status)):
            yield CheckFailure("candidates", f"credential set {name!r} {limit}")


def price_rules(inputs: NodeInputs, offers: Mapping[Candidate, Offer]) -> Iterator[CheckFailure]:
    """The caps, against the dearest candidate: a failover may choose any of them.

    Args:
        inputs: Resolved inputs.
        offers: Prices of today or list prices.
    """
    found = dearest([c.candidate() for c in inputs.candidates], offers)
    if found is None:
        return
    candidate, price = found
    cap, budget, nodes = inputs.max_hourly_usd, inputs.budget_hourly_usd, inputs.cluster_nodes
    if cap is not None and price > cap + _ROOM_USD:
        yield CheckFailure(
            "maxHourlyUsd",
            f"{candidate} costs {price:.2f} USD/h, above the cap of {cap:.2f}: raise the cap or drop this "
            "candidate",
        )
    if budget is not None and price * nodes > budget + _ROOM_USD:
        yield CheckFailure(
            "budgetHourlyUsd",
            f"{nodes} node(s) of {candidate} cost {price * nodes:.2f} USD/h, above the budget of "
            f"{budget:.2f}: raise the budget, drop this candidate or use fewer nodes",
        )


def money_rules(
    inputs: NodeInputs, offers: Mapping[Candidate, Offer], shared: Shared
) -> Iterator[CheckFailure]:
    """What accounts that show their money can pay: one hour of the dearest candidate, and within their limit.

    For a node that is new; clouds refuse a launch beyond either.

    Args:
        inputs: Resolved inputs.
        offers: Prices of today or list prices.
        shared: Reads accounts.
    """
    for name in dict.fromkeys(candidate.credentials for candidate in inputs.candidates):
        status = shared.account(name).status
        found = dearest([c.candidate() for c in inputs.candidates if c.credentials == name], offers)
        if status is None or found is None:
            continue
        candidate, price = found
        if status.balance_usd is not None and status.balance_usd < price:
            yield CheckFailure(
                "candidates",
                f"credential set {name!r} has {status.balance_usd:.2f} USD left, and an hour of {candidate} "
                f"costs {price:.2f}: add credit",
            )
        limit, spent = status.spend_limit_hourly_usd, status.spend_hourly_usd or 0.0
        if limit is not None and spent + price > limit + _ROOM_USD:
            yield CheckFailure(
                "candidates",
                f"credential set {name!r} spends {spent:.2f} of at most {limit:.2f} USD/h, and {candidate} "
                f"costs {price:.2f}: raise the limit in the cloud's settings, or end something",
            )


def count_rules(
    inputs: NodeInputs, offers: Mapping[Candidate, Offer], shared: Shared
) -> Iterator[CheckFailure]:
    """A number of GPUs that today's catalogue of a cloud has not, though it has the GPU.

    Args:
        inputs: Resolved inputs.
        offers: Prices of today or list prices.
        shared: Asks the cloud what it has with one GPU.
    """
    for index, given in enumerate(inputs.candidates):
        candidate = given.candidate()
        if candidate in offers or candidate.gpu_count == 1:
            continue
        single = replace(candidate, gpu_count=1)
        found = offers_for([single], shared).get(single)
        if found is not None and shared.cloud(candidate.credentials).capabilities.price_before_create:
            yield CheckFailure(
                f"candidates[{index}]",
                f"{cloud_info(candidate.cloud).title} has {candidate.gpu} today, but no machine with "
                f"{candidate.gpu_count} of them: use fewer in a node, and more nodes",
            )


def expiry_rule(inputs: NodeInputs, now: datetime) -> Iterator[CheckFailure]:
    """A node that is no longer wanted is not made."""
    if inputs.expires_at is not None and inputs.expires_at <= now:
        yield CheckFailure(
            "expiresAt", f"{inputs.expires_at.isoformat()} has passed: remove the node, or set a later time"
        )


def offers_for(candidates: Sequence[Candidate], shared: Shared) -> dict[Candidate, Offer]:
    """Prices of today where the cloud tells them, else list prices.

    Args:
        candidates: Resolved candidates.
        shared: Asks each cloud once a minute, whoever wants to know.
    """
    offers = {c: price for c in candidates if (price := catalog.list_price(c)) is not None}
    for name in dict.fromkeys(c.credentials for c in candidates):
        wanted = [c for c in candidates if c.credentials == name]
        try:
            cloud = shared.cloud(name)
            if cloud.capabilities.price_before_create:
                live = {offer.candidate: offer for offer in shared.run.offers(cloud, wanted)}
                # What a live catalogue leaves out is not to be had, whatever it once cost.
                offers = {c: o for c, o in offers.items() if c not in wanted} | live
        except CancelledError:
            raise
        except GpuCloudError as error:
            progress(f"{wanted[0].cloud} tells no prices now ({error.kind}); list prices are used")
    return offers


def _readiness(inputs: NodeInputs, unknown: frozenset[str]) -> Iterator[CheckFailure]:
    asked = inputs.readiness
    try:
        readiness = asked.readiness()
        if readiness.logs_in:
            ssh_program()
    except ValidationError as error:
        place = "readiness.port" if asked.kind in ("http", "tcp") and not asked.port else "readiness"
        yield CheckFailure(place, error.message)
        return
    ports = "" if "ports" in unknown else ", ".join(inputs.ports) or "none"
    port = f"{asked.port}/{asked.kind}"
    if asked.kind in ("http", "tcp") and ports and port not in inputs.ports:
        yield CheckFailure("readiness.port", f"{port} is not one of ports ({ports})")
    if "candidates" in unknown or not readiness.logs_in:
        return
    needy = next((CLOUDS[c.cloud] for c in inputs.candidates if _needs_port(c.cloud)), None)
    if needy is not None and ports and "22/tcp" not in inputs.ports:
        yield CheckFailure(
            "readiness", f"{needy.title} lets nobody log in without port 22/tcp: add it to ports ({ports})"
        )
    if asked.gpu and any(_is_amd(c.gpu) for c in inputs.candidates):
        yield CheckFailure("readiness.gpu", "the GPU check knows NVIDIA's GPUs only: leave it out for MI300X")


def _needs_port(cloud: str) -> bool:
    return cloud in CLOUDS and CLOUDS[cloud].ssh_needs_port


def _is_amd(gpu: str) -> bool:
    try:
        return any(name.startswith("MI") for name in catalog.resolve_gpu(gpu))
    except ValidationError:
        return False  # told with the candidates


def _names(inputs: NodeInputs, unknown: frozenset[str]) -> Iterator[CheckFailure]:
    if "guard" not in unknown and not inputs.guard:
        yield CheckFailure("guard", "is required: the id of the stack's LeakGuard")
        return
    guard = inputs.guard or "00000000"
    for part, name in (("guard", "00000000"), ("node", inputs.node)):
        if part in unknown:
            continue
        try:
            marker.Marker(marker.DECLARED, guard if part == "guard" else "00000000", name, "00000000")
        except ValidationError as error:
            yield CheckFailure(part, error.message)


def _resolve(given: CandidateInput, shared: Shared) -> list[CandidateInput]:
    info = cloud_info(given.cloud)
    source = shared.source(given.credentials, given.cloud)
    if given.capacity is CapacityType.SPOT and not info.with_features(source.features).spot:
        feature = info.feature_for("spot")
        way = f"add features: [{feature}] to credential set {given.credentials!r}, or " if feature else ""
        raise ValidationError(f"{info.title} rents no spot nodes: {way}use capacity on_demand")
    if given.capacity not in (CapacityType.ON_DEMAND, CapacityType.SPOT):
        raise ValidationError(f"{info.title} rents no {given.capacity} nodes: use capacity on_demand")
    if given.bid_per_gpu_usd is not None and given.capacity is not CapacityType.SPOT:
        raise ValidationError(f"a bid is for capacity spot, not {given.capacity}: remove bidPerGpuUsd")
    catalog.resolve_region(given.cloud, given.region)
    names = catalog.resolve_gpu(given.gpu)
    sold = [name for name in names if catalog.native_gpu(given.cloud, name) is not None]
    if not sold:
        raise ValidationError(
            f"{info.title} has no GPU {' or '.join(names)}; it has: "
            f"{', '.join(catalog.native_gpus(given.cloud))}"
        )
    shaped = [name for name in sold if _has_count(given.cloud, name, given.gpu_count)]
    if not shaped:
        counts = sorted({count for name in sold for count in catalog.gpu_counts(given.cloud, name)})
        raise ValidationError(
            f"{info.title} has no machine with {given.gpu_count} {' or '.join(sold)}; gpuCount can be "
            f"{', '.join(map(str, counts))}"
        )
    # A cloud that has one word for several GPUs (SkyPilot's H100) would be asked for the same thing twice.
    distinct = {catalog.native_gpu(given.cloud, name): name for name in reversed(shaped)}
    return [given.model_copy(update={"gpu": name}) for name in shaped if name in distinct.values()]


def _has_count(cloud: str, gpu: str, count: int) -> bool:
    counts = catalog.gpu_counts(cloud, gpu)
    return not counts or count in counts


def _places(given: CandidateInput, resolved: Sequence[CandidateInput]) -> list[CandidateInput]:
    """A candidate for each place: a weights cache, and with it the node, is in one."""
    info = cloud_info(given.cloud)
    if not info.capabilities.weights_cache:
        raise ValidationError(f"{info.title} has no weights cache: remove weightsCache, or this candidate")
    places = catalog.resolve_region(given.cloud, given.region)
    if not places:
        raise ValidationError("a weightsCache is in one place: give this candidate a region")
    if given.region.startswith(catalog.NATIVE):
        return list(resolved)
    return [each.model_copy(update={"region": place}) for each in resolved for place in places]


def _limit(status: AccountStatus) -> str:
    """Why the account has no room for one more node; empty if it has, or does not tell."""
    if status.balance_usd is not None and status.balance_usd <= 0:
        return f"has a balance of {status.balance_usd:.2f} USD: add credit"
    if (
        status.machine_limit is not None
        and status.machines_in_use is not None
        and status.machines_in_use >= status.machine_limit
    ):
        used = f"{status.machines_in_use} of {status.machine_limit}"
        return f"has {used} allowed machines in use: end some, or ask the cloud for more"
    return ""
