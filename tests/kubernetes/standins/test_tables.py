"""Every type and property in the tables exists in the installed SDK; every table says where it is from."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest

from engine.standins import sdk_types
from engine.standins.aws import CLOUD as AWS
from engine.standins.aws import machines
from engine.standins.azure_native import CLOUD as AZURE
from engine.standins.cloud import Cloud
from engine.standins.gcp import CLOUD as GCP
from engine.standins.sdk_types import Property, Sdk

CLOUDS = {cloud.package: cloud for cloud in (AWS, GCP, AZURE)}


@pytest.fixture(scope="module", params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    return CLOUDS[request.param]


@pytest.fixture(scope="module")
def sdk(cloud: Cloud) -> Sdk:
    return Sdk(cloud.package)


def inside(properties: dict[str, Property], path: str) -> bool:
    """Whether a type has a property at this place, lists with or without `[]`."""
    name, _, rest = path.partition(".")
    about = properties.get(name.removesuffix("[]"))
    if about is None or not rest:
        return about is not None
    return any(inside(sdk_types.properties(kind), rest) for kind in objects(about.type))


def objects(kind: Any) -> list[Any]:
    """The input types in a type, also inside lists."""
    found = []
    for option in sdk_types.members(kind):
        found += [option] if sdk_types.is_object(option) else []
        for argument in getattr(option, "__args__", ()):
            found += objects(argument)
    return found


def test_every_type_exists(cloud: Cloud, sdk: Sdk) -> None:
    tables = cloud.tables
    tokens = {
        *tables.kinds,
        *tables.references,
        *tables.replacement,
        *tables.enums,
        *tables.immutable,
        *cloud.rules,
    }
    tokens |= {other for entry in tables.references.values() for other, _ in entry.values()}
    assert [token for token in sorted(tokens) if not sdk.has(token)] == []


def test_every_property_exists(cloud: Cloud, sdk: Sdk) -> None:
    tables, unknown = cloud.tables, []
    for table in (tables.references, tables.replacement, tables.enums, tables.immutable):
        for token, entry in table.items():
            unknown += [f"{token} {path}" for path in entry if not inside(sdk.inputs(token), path)]
    for token, kind in tables.kinds.items():
        names = {*kind.scope, *([kind.name] if kind.name else [])}
        unknown += [f"{token} {name}" for name in names if name not in sdk.inputs(token)]
        known = {**sdk.inputs(token), **sdk.outputs(token)}
        unknown += [f"{token} {name}" for name in (*kind.outputs, *kind.changing) if name not in known]
    assert unknown == []


def fields(template: Any) -> set[str]:
    if isinstance(template, dict):
        return {name for item in template.values() for name in fields(item)}
    if isinstance(template, list):
        return {name for item in template for name in fields(item)}
    if not isinstance(template, str):
        return set()
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_every_template_can_be_filled(cloud: Cloud, sdk: Sdk) -> None:
    made = ("hex", "digits", "uuid", "certificate")
    unknown = []
    for token, kind in cloud.tables.kinds.items():
        known = {*sdk.inputs(token), *cloud.settings({}), "id"}
        names = fields(kind.id) | fields(kind.outputs)
        unknown += [f"{token} {name}" for name in names if name not in known and not name.startswith(made)]
    assert unknown == []


def test_every_table_has_its_source(cloud: Cloud) -> None:
    files = list(cloud.folder.glob("*.json"))
    assert len(files) >= 4
    for file in files:
        assert len(json.loads(file.read_text())["_source"]) > 40, file


def test_what_is_used_of_the_private_parts_of_the_sdk() -> None:
    """`pulumi._types` is not public: this fails when an upgrade takes away what is used of it."""
    sdk = Sdk("aws")
    inputs = sdk.inputs("aws:eks/nodeGroup:NodeGroup")
    assert [name for name, about in inputs.items() if about.required] == [
        "clusterName",
        "nodeRoleArn",
        "scalingConfig",
        "subnetIds",
    ]
    (scaling,) = objects(inputs["scalingConfig"].type)
    assert all(about.required for about in sdk_types.properties(scaling).values())
    assert {"arn", "resources"} <= set(sdk.outputs("aws:eks/nodeGroup:NodeGroup"))
    assert "region" in sdk.provider_inputs()
    assert not sdk.has("aws:eks/nodeGroup:NodeGroups")


def test_the_instance_types_of_the_sdk() -> None:
    assert len(machines.known_types()) > 1000
    assert set(machines.EFA_CARDS) <= machines.known_types()
