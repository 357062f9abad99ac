"""Inputs against types, with types of our own: no SDK is needed."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi
import pytest

from engine.standins import sdk_types
from engine.standins.checking import check
from engine.standins.sdk_types import Property
from engine.standins.values import UNKNOWN


class Mode(enum.StrEnum):
    FAST = "Fast"
    SLOW = "Slow"


@pulumi.input_type
class SizesArgs:
    def __init__(self, *, most_nodes: pulumi.Input[int], step: pulumi.Input[float] | None = None) -> None:
        pulumi.set(self, "most_nodes", most_nodes)
        if step is not None:
            pulumi.set(self, "step", step)

    @property
    @pulumi.getter(name="mostNodes")
    def most_nodes(self) -> int:
        return cast(int, pulumi.get(self, "most_nodes"))

    @property
    @pulumi.getter
    def step(self) -> float | None:
        return cast(float | None, pulumi.get(self, "step"))


PROPERTIES = {
    "name": Property(str, required=True),
    "sizes": Property(SizesArgs | None, required=False),
    "tags": Property(Mapping[str, str], required=False),
    "zones": Property(Sequence[str], required=False),
    "mode": Property(str | Mode, required=False),
    "spot": Property(bool | None, required=False),
}


def lines(**values: Any) -> list[str]:
    return [finding.line for finding in check({"name": "n", **values}, PROPERTIES)]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"sizes": {"mostNodes": 2, "step": 0.5}},
        {"sizes": UNKNOWN, "zones": [UNKNOWN, "a"], "mode": UNKNOWN, "name": UNKNOWN},
        {"tags": {"anything": "goes"}, "zones": []},
        {"mode": "Fast", "spot": False},
        {"__internal": 1},
    ],
)
def test_right(values):
    assert lines(**values) == []


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"name": None}, "name: is required and missing"),
        ({"naem": "x"}, "naem: there is no such property: did you mean name?"),
        ({"sizes": {}}, "sizes.mostNodes: is required and missing"),
        (
            {"sizes": {"mostNodes": 1, "other": 1}},
            "sizes.other: there is no such property (there are mostNodes, step)",
        ),
        ({"sizes": {"mostNodes": "2"}}, "sizes.mostNodes: wants a number, and this is a string ('2')"),
        ({"sizes": {"mostNodes": True}}, "sizes.mostNodes: wants a number, and this is a boolean (True)"),
        ({"sizes": {"mostNodes": 1.5}}, "sizes.mostNodes: wants a whole number, and this is a number (1.5)"),
        ({"sizes": [1]}, "sizes: wants an object, and this is a list"),
        ({"tags": {"a": 1}}, "tags.a: wants a string, and this is a number (1)"),
        ({"tags": ["a"]}, "tags: wants a map, and this is a list"),
        ({"zones": "a"}, "zones: wants a list, and this is a string ('a')"),
        ({"zones": ["a", {}]}, "zones[1]: wants a string, and this is an object"),
        ({"mode": "fast"}, "mode: 'fast' is not one of Fast, Slow"),
        ({"spot": "true"}, "spot: wants true or false, and this is a string ('true')"),
    ],
)
def test_wrong(values, line):
    assert lines(**values) == [line]


def test_what_an_input_is_made_of():
    assert sdk_types.members(str | Mode | None) == [str, Mode]
    assert set(sdk_types.properties(SizesArgs)) == {"mostNodes", "step"}
    assert sdk_types.properties(SizesArgs)["mostNodes"].required
    assert not sdk_types.properties(SizesArgs)["step"].required
