"""The AWS functions that are answered: from small tables; a cluster, from what is pretended to be there."""

from __future__ import annotations

import json
from typing import Any

from engine.standins.cloud import Asked, Function, NoAnswer
from engine.standins.values import Values

#: Zones of the regions that the tests and examples use; any other region gets three, named a to c.
ZONES = {
    "us-east-1": "abcdef",
    "us-west-2": "abcd",
    "us-west-1": "ac",
    "eu-central-1": "abc",
    "eu-west-1": "abc",
}


def _region(asked: Asked) -> str:
    region = asked.arguments.get("region")
    return region if isinstance(region, str) else asked.settings["region"]


def zones(asked: Asked) -> Values:
    """getAvailabilityZones: names and ids; filters are not looked at."""
    region = _region(asked)
    letters = ZONES.get(region, "abc")
    short = "".join(part[0] for part in region.split("-")[:-1]) + region.rpartition("-")[2]
    return {
        "id": region,
        "region": region,
        "names": [f"{region}{letter}" for letter in letters],
        "zoneIds": [f"{short}-az{number}" for number, _ in enumerate(letters, 1)],
        "groupNames": [f"{region}-zg-1"],
        **{key: value for key, value in asked.arguments.items() if key in ("state", "filters")},
    }


def caller(asked: Asked) -> Values:
    """getCallerIdentity: the documentation's account."""
    account = asked.settings["account"]
    return {
        "id": account,
        "accountId": account,
        "arn": f"arn:aws:iam::{account}:user/stand-in",
        "userId": "AIDASTANDIN",
    }


def partition(asked: Asked) -> Values:
    """getPartition: always the commercial one."""
    return {
        "id": "aws",
        "partition": "aws",
        "dnsSuffix": "amazonaws.com",
        "reverseDnsPrefix": "com.amazonaws",
    }


def region(asked: Asked) -> Values:
    """The region: getRegion."""
    name = _region(asked)
    return {
        "id": name,
        "name": name,
        "region": name,
        "endpoint": f"ec2.{name}.amazonaws.com",
        "description": f"stand-in for {name}",
    }


def policy_document(asked: Asked) -> Values:
    """iam.getPolicyDocument: the document of the given statements."""
    names = {
        "actions": "Action",
        "notActions": "NotAction",
        "resources": "Resource",
        "notResources": "NotResource",
    }
    statements = []
    for given in asked.arguments.get("statements", []):
        statement: dict[str, Any] = {"Effect": given.get("effect", "Allow")}
        if "sid" in given:
            statement["Sid"] = given["sid"]
        statement.update({name: _single(given[key]) for key, name in names.items() if given.get(key)})
        for key, name in (("principals", "Principal"), ("notPrincipals", "NotPrincipal")):
            if given.get(key):
                statement[name] = {each["type"]: _single(each["identifiers"]) for each in given[key]}
        conditions: dict[str, dict[str, Any]] = {}
        for each in given.get("conditions", []):
            conditions.setdefault(each["test"], {})[each["variable"]] = _single(each["values"])
        if conditions:
            statement["Condition"] = conditions
        statements.append(statement)
    document = {"Version": asked.arguments.get("version", "2012-10-17"), "Statement": statements}
    text = json.dumps(document, indent=2)
    return {"id": "stand-in", "json": text, "minifiedJson": json.dumps(document), **asked.arguments}


def _single(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def cluster(asked: Asked) -> Values:
    """eks.getCluster: a cluster that is pretended to be there."""
    name = asked.text("name")
    found = asked.store.get("aws:eks/cluster:Cluster", name) if asked.store else None
    if found is None:
        raise NoAnswer(f"there is no cluster {name!r} among what is pretended")
    authority = found.get("certificateAuthority")
    return {
        **{key: value for key, value in found.items() if not key.startswith("__")},
        "id": name,
        "certificateAuthorities": [authority] if authority else [],
        "vpcConfig": {"vpcId": "vpc-0", **found.get("vpcConfig", {})},
    }


def cluster_auth(asked: Asked) -> Values:
    """eks.getClusterAuth: a token that opens nothing."""
    return {"id": asked.text("name"), "name": asked.text("name"), "token": "k8s-aws-v1.stand-in"}


FUNCTIONS: dict[str, Function] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": zones,
    "aws:index/getCallerIdentity:getCallerIdentity": caller,
    "aws:index/getPartition:getPartition": partition,
    "aws:index/getRegion:getRegion": region,
    "aws:iam/getPolicyDocument:getPolicyDocument": policy_document,
    "aws:eks/getCluster:getCluster": cluster,
    "aws:eks/getClusterAuth:getClusterAuth": cluster_auth,
}
