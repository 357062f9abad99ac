"""Managed databases in the real engine, on pretended clouds; the connection is written to a real API.

No cloud accepts or refuses anything here: docs/stand-ins.md says what that means.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from engine.standins.servicer import STATE_VARIABLE
from tests.engine.harness import Stack
from tests.kubernetes.conftest import NewStack, Objects, with_stand_in
from tests.kubernetes.services import ENV, PROGRAM, configure

NETWORKS = {
    "aws": """\
from pulumi_aws import ec2

vpc = ec2.Vpc("vpc", cidr_block="10.0.0.0/16", region="us-east-1")
zones = {"us-east-1a": "10.0.0.0/24", "us-east-1b": "10.0.1.0/24"}
subnets = [
    ec2.Subnet(zone, vpc_id=vpc.id, cidr_block=block, availability_zone=zone, region="us-east-1")
    for zone, block in zones.items()
]
pulumi.export("vpcId", vpc.id)
pulumi.export("subnetIds", [subnet.id for subnet in subnets])
""",
    "gcp": """\
from pulumi_gcp import compute

network = compute.Network("n", name="n", project="gpuplane-stand-in", auto_create_subnetworks=False)
pulumi.export("network", network.id)
""",
    "azure-native": """\
from pulumi_azure_native import network, privatedns, resources

group = resources.ResourceGroup("g", resource_group_name="g", location="eastus")
vnet = network.VirtualNetwork(
    "v",
    virtual_network_name="v",
    resource_group_name=group.name,
    location="eastus",
    address_space={"address_prefixes": ["10.0.0.0/16"]},
)
for part, block in {"postgres": "10.0.0.0/24", "redis": "10.0.1.0/24"}.items():
    made = network.Subnet(
        part,
        subnet_name=part,
        virtual_network_name=vnet.name,
        resource_group_name=group.name,
        address_prefix=block,
    )
    pulumi.export(part, made.id)
for zone in ("g.postgres.database.azure.com", "privatelink.redis.azure.net"):
    made = privatedns.PrivateZone(
        zone, private_zone_name=zone, resource_group_name=group.name, location="Global"
    )
    pulumi.export(zone, made.id)
""",
}
TARGETS = {
    "aws": ("rds", "elasticache"),
    "gcp": ("cloud_sql", "memorystore"),
    "azure-native": ("azure", "azure"),
}


def where(cloud: str, outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the stack file says of the network, for PostgreSQL and Redis."""
    if cloud == "aws":
        place = {
            "region": "us-east-1",
            "vpcId": outputs["vpcId"],
            "subnetIds": outputs["subnetIds"],
            "allowedCidrs": ["10.0.0.0/16"],
        }
        return {"aws": place}, {"aws": place}
    if cloud == "gcp":
        place = {"project": "gpuplane-stand-in", "region": "us-central1", "network": outputs["network"]}
        return {"google": {**place, "connectNetwork": True}}, {"google": place}
    place = {"resourceGroup": "g", "region": "eastus"}
    names = ("g.postgres.database.azure.com", "privatelink.redis.azure.net")
    first, second = (
        {"azure": {**place, "subnetId": outputs[part], "dnsZoneId": outputs[zone]}}
        for part, zone in zip(("postgres", "redis"), names, strict=True)
    )
    return {**first, "storageGb": 32}, second


def declare(
    stack: Stack, cloud: str, outputs: dict[str, Any], namespace: str, protected: bool, **more: Any
) -> None:
    postgres, redis = TARGETS[cloud]
    here, there = where(cloud, outputs)
    common = {"deletionProtection": protected, "connection": {"namespace": namespace}}
    configure(
        stack,
        postgresServices={"main": {"target": postgres, **here, **common, **more}},
        redisServices={"cache": {"target": redis, **there, **common}},
    )


@pytest.mark.parametrize("cloud", NETWORKS)
def test_the_life_of_both(
    new_stack: NewStack, namespace: str, objects: Objects, tmp_path: Path, cloud: str
) -> None:
    store = tmp_path / "cloud"
    store.mkdir()
    network = "import pulumi\n" + NETWORKS[cloud]
    stack = with_stand_in(new_stack(network, env={**ENV, STATE_VARIABLE: str(store)}), cloud, "kubernetes")
    stack.up().expect_ok()
    outputs = stack.outputs()
    stack.set_program(PROGRAM + NETWORKS[cloud])
    declare(stack, cloud, outputs, namespace, protected=True)
    stack.up().expect_ok()
    state = stack.state_text()
    for name in ("main", "cache"):
        data = objects.get(f"/api/v1/namespaces/{namespace}/secrets/{name}-connection")["data"]
        url = base64.b64decode(data["connection_string"]).decode()
        assert data["url"] == data["connection_string"]
        password = urlsplit(url).password
        assert password and password not in state
        assert urlsplit(url).scheme == ("postgresql" if name == "main" else "rediss")
        assert ("ca.crt" in data) == (cloud == "gcp")
    assert "ciphertext" in json.dumps(stack.outputs()["databases"])
    # Neither the program nor what the cloud says of everything is a difference.
    assert set(stack.preview("--refresh").expect_ok().ops().values()) <= {"same", "refresh"}

    # A destroy is refused while they are protected: by the engine, or by the cloud, which is pretended here.
    if cloud != "gcp":
        refused = stack.run("destroy", "--preview-only", "--non-interactive", "--stack", "test")
        assert not refused.ok
        assert "protect" in refused.output
    declare(stack, cloud, outputs, namespace, protected=False, passwordRotation="2", highAvailability=True)
    changed = stack.up().expect_ok()
    assert "replace" not in {step["op"] for step in changed.steps() if "Secret" not in step["type"]}, (
        "another password and a second machine leave the database where it is"
    )
    stack.destroy().expect_ok()
    assert [
        each for file in store.glob("*.json") for each in json.loads(file.read_text()).values() if each
    ] == []
