from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi.dynamic import DiffResult
from pulumi.runtime.proto import provider_pb2

from dynamic_providers.host import diff, sdk
from dynamic_providers.host.results import DetailedDiff, Kind, root_of

NAMES = {number: name for name, number in provider_pb2.PropertyDiff.Kind.items()}
SOME, NONE = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE


def kinds(answer: provider_pb2.DiffResponse) -> dict[str, str]:
    return {path: NAMES[detail.kind] for path, detail in answer.detailedDiff.items()}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, {}),
        ({"a": 1.0}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": "update"}),
        ({}, {"a": 2}, {"a": "add"}),
        ({"a": 1}, {}, {"a": "delete"}),
        ({"a": None}, {}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}}, {"a.c": "update", "a.d": "add"}),
        ({"a": [1, 2, 3]}, {"a": [1, 9]}, {"a[1]": "update", "a[2]": "delete"}),
        ({"a": {"x": 1}}, {"a": [1]}, {"a": "update"}),
        ({"a": {"x.y/z": 1}}, {"a": {"x.y/z": 2}}, {'a["x.y/z"]': "update"}),
        ({"a": {'q"': 1}}, {"a": {'q"': 2}}, {'a["q\\""]': "update"}),
        ({"__provider": "x", "__defaults": []}, {"__provider": "y"}, {}),
        ({"a": 1}, {"a": sdk.unknown()}, {"a": "update"}),
    ],
)
def test_compare(old: dict[str, Any], new: dict[str, Any], expected: dict[str, str]) -> None:
    assert diff.compare(old, new) == expected


values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
inputs = st.dictionaries(st.text("abc", min_size=1, max_size=2), values, max_size=4)


@settings(deadline=None)
@given(inputs, inputs)
def test_compare_finds_a_difference_exactly_when_there_is_one(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    found = diff.compare(old, new)
    assert (found == {}) == (old == new)
    assert {root_of(path) for path in found} == {
        key for key in {*old, *new} if old.get(key) != new.get(key) or (key in old) != (key in new)
    }
    opposite = {Kind.ADD: Kind.DELETE, Kind.DELETE: Kind.ADD, Kind.UPDATE: Kind.UPDATE}
    assert diff.compare(new, old) == {path: opposite[kind] for path, kind in found.items()}


def test_a_provider_that_says_nothing_is_answered_for() -> None:
    assert diff.response(DiffResult(), {"a": 1}, {"a": 1}).changes == NONE
    answer = diff.response(DiffResult(), {"a": 1, "__provider": "x"}, {"a": 2, "__provider": "y"})
    assert answer.changes == SOME
    assert kinds(answer) == {"a": "UPDATE"}
    assert list(answer.diffs) == ["a"]


def test_no_means_no_whatever_the_inputs_say() -> None:
    answer = diff.response(DiffResult(changes=False), {"a": 1}, {"a": 2})
    assert answer.changes == NONE
    assert kinds(answer) == {}


def test_replaces_of_a_plain_diff_reach_the_paths_below_them() -> None:
    result = DiffResult(changes=True, replaces=["spec"], stables=["id"], delete_before_replace=True)
    answer = diff.response(result, {"spec": {"gpu": 1}, "a": 1}, {"spec": {"gpu": 2}, "a": 2})
    assert list(answer.replaces) == ["spec"]
    assert list(answer.stables) == ["id"]
    assert answer.deleteBeforeReplace
    assert kinds(answer) == {"spec.gpu": "UPDATE_REPLACE", "a": "UPDATE"}


def test_replaces_alone_are_a_change() -> None:
    answer = diff.response(DiffResult(replaces=["a"]), {"a": 1}, {"a": 1})
    assert answer.changes == SOME
    assert list(answer.replaces) == ["a"]


def test_drift_without_changed_inputs_is_a_change_that_never_shows_the_provider() -> None:
    answer = diff.response(DiffResult(changes=True), {"__provider": "x"}, {"__provider": "y"})
    assert answer.changes == SOME
    assert answer.hasDetailedDiff
    assert kinds(answer) == {}


def test_detailed_diff_is_passed_on() -> None:
    result = DetailedDiff(
        {"gpu": Kind.UPDATE_REPLACE, "env.A": "add", 'labels["a.b"]': "delete_replace", "ports[0]": "update"},
        stables=["address"],
        delete_before_replace=False,
    )
    answer = diff.response(result, {}, {})
    assert answer.changes == SOME
    assert sorted(answer.replaces) == ["gpu", "labels"]
    assert sorted(answer.diffs) == ["env", "gpu", "labels", "ports"]
    assert kinds(answer) == {
        "gpu": "UPDATE_REPLACE",
        "env.A": "ADD",
        'labels["a.b"]': "DELETE_REPLACE",
        "ports[0]": "UPDATE",
    }
    assert all(detail.inputDiff for detail in answer.detailedDiff.values())
    assert not answer.deleteBeforeReplace


def test_an_empty_detailed_diff_is_no_change() -> None:
    assert diff.response(DetailedDiff({}), {"a": 1}, {"a": 2}).changes == NONE


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="destroy"):
        DetailedDiff({"a": "destroy"})


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("a", "a"),
        ("a.b.c", "a"),
        ("a[0].b", "a"),
        ('a["x.y"]', "a"),
        ('["x.y"].b', "x.y"),
        ('["a\\"b"]', 'a"b'),
    ],
)
def test_root_of(path: str, root: str) -> None:
    assert root_of(path) == root
