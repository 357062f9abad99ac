"""Rules of EC2: launch templates, networks.

Sources: the EC2 API reference and user guide (EFA, capacity blocks).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from engine.standins.aws import machines
from engine.standins.checking import Finding
from engine.standins.rules import between, exclusive, given, matching, network, objects, one
from engine.standins.values import Values, at

_TARGET = "capacityReservationSpecification.capacityReservationTarget"


def template_machine(values: Values) -> Iterator[Finding]:
    """The instance type exists."""
    kind = one(values, "instanceType")
    if isinstance(kind, str) and kind not in machines.known_types():
        yield Finding("instanceType", f"{kind!r} is no EC2 instance type")
    yield from exclusive(
        values, "instanceType", "instanceRequirements", because="EC2 takes a type or requirements"
    )


def template_interfaces(values: Values) -> Iterator[Finding]:
    """Network interfaces: EFA only where the type has it, the first one no efa-only, each card once."""
    interfaces = list(objects(values, "networkInterfaces[]"))
    if given(values, "vpcSecurityGroupIds") and interfaces:
        yield Finding("vpcSecurityGroupIds", "security groups stand in networkInterfaces when there are any")
    kind = one(values, "instanceType")
    cards = machines.EFA_CARDS.get(kind, 0) if isinstance(kind, str) else None
    efa = [path for path, each in interfaces if str(one(each, "interfaceType")).startswith("efa")]
    if efa and cards is not None and len(efa) > cards:
        has = f"has {cards} network cards for EFA" if cards else "has no network card for EFA"
        yield Finding(f"{efa[-1]}.interfaceType", f"{kind} {has}, and these are {len(efa)} interfaces")
    seen: set[tuple[int, int]] = set()
    for path, each in interfaces:
        card, device = one(each, "networkCardIndex") or 0, one(each, "deviceIndex") or 0
        if (card, device) in seen:
            yield Finding(f"{path}.deviceIndex", f"two interfaces have card {card} and device {device}")
        seen.add((card, device))
        if (card, device) == (0, 0) and one(each, "interfaceType") == "efa-only":
            yield Finding(f"{path}.interfaceType", "the first interface needs an address: efa, not efa-only")
        if len(interfaces) > 1 and str(one(each, "associatePublicIpAddress")).lower() == "true":
            yield Finding(
                f"{path}.associatePublicIpAddress", "is for a single interface, and there are several"
            )


def template_market(values: Values) -> Iterator[Finding]:
    """Spot, capacity blocks and reservations: which go together."""
    market = one(values, "instanceMarketOptions.marketType")
    reserved = given(values, f"{_TARGET}.capacityReservationId") or given(
        values, f"{_TARGET}.capacityReservationResourceGroupArn"
    )
    if market == "capacity-block":
        if not given(values, f"{_TARGET}.capacityReservationId"):
            yield Finding(f"{_TARGET}.capacityReservationId", "is required with marketType capacity-block")
        kind = one(values, "instanceType")
        if isinstance(kind, str) and machines.family(kind) not in machines.BLOCK_FAMILIES:
            yield Finding("instanceType", f"capacity blocks are not sold for {kind}")
    if market == "spot" and reserved:
        yield Finding("instanceMarketOptions.marketType", "spot can't use a capacity reservation")
    if market != "spot" and given(values, "instanceMarketOptions.spotOptions") and market is not None:
        yield Finding("instanceMarketOptions.spotOptions", f"is for spot, and marketType is {market}")
    yield from matching(
        values, f"{_TARGET}.capacityReservationId", r"cr-[0-9a-f]{8,17}", "an id of a capacity reservation"
    )


def template_disks(values: Values) -> Iterator[Finding]:
    """Disks: size and speed of each volume type."""
    yield from between(values, "metadataOptions.httpPutResponseHopLimit", 1, 64)
    for path, disk in objects(values, "blockDeviceMappings[].ebs"):
        kind = one(disk, "volumeType")
        if given(disk, "throughput") and kind not in ("gp3", None):
            yield Finding(f"{path}.throughput", f"only gp3 has it, and volumeType is {kind}")
        if given(disk, "iops") and kind not in ("gp3", "io1", "io2", None):
            yield Finding(f"{path}.iops", f"only gp3, io1 and io2 have it, and volumeType is {kind}")
        for finding in between(disk, "volumeSize", 1, 65536):
            yield Finding(f"{path}.volumeSize", finding.text)
        for finding in between(disk, "throughput", 125, 2000):
            yield Finding(f"{path}.throughput", finding.text)


def template_text(values: Values) -> Iterator[Finding]:
    """Name and user data."""
    yield from matching(values, "name", r"[a-zA-Z0-9()./_-]{3,128}", "a name of a launch template")
    data = one(values, "userData")
    if isinstance(data, str):
        try:
            base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            yield Finding("userData", "has to be base64")


def placement_group(values: Values) -> Iterator[Finding]:
    """What goes with which strategy."""
    strategy = one(values, "strategy")
    for name, needed in (("partitionCount", "partition"), ("spreadLevel", "spread")):
        if given(values, name) and isinstance(strategy, str) and strategy != needed:
            yield Finding(name, f"is for the strategy {needed}, and this is {strategy}")


def vpc(values: Values) -> Iterator[Finding]:
    """The range of a network."""
    yield from network(values, "cidrBlock", 16, 28)


def capacity_reservation(values: Values) -> Iterator[Finding]:
    """The instance type of a reservation exists."""
    for path, kind in at(values, "instanceType"):
        if kind not in machines.known_types():
            yield Finding(path, f"{kind!r} is no EC2 instance type")


def security_group_rule(values: Values) -> Iterator[Finding]:
    """Ports of a rule."""
    if one(values, "ipProtocol") == "-1":
        for name in ("fromPort", "toPort"):
            if given(values, name):
                yield Finding(name, "a rule for all protocols (-1) has no ports")
    sources = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
    yield from exclusive(values, *sources, because="a rule has one source or destination")
    if not any(given(values, name) for name in sources):
        yield Finding("cidrIpv4", f"one of {', '.join(sources)} is required")
    yield from network(values, "cidrIpv4", 0, 32)
