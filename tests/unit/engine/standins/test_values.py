"""The wire format, secrets and places in values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.standins.values import UNKNOWN, Secret, at, decode, encode, plain, redact

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.text(max_size=8),
    st.just(UNKNOWN),
    st.builds(Secret, st.text()),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3),
        st.builds(Secret, st.lists(inner, max_size=2)),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("xyz", min_size=1, max_size=3), VALUES, max_size=4))
def test_what_is_sent_comes_back(values):
    assert decode(encode(values)) == values


def test_what_is_null_is_left_out():
    assert decode(encode({"a": None, "b": {"c": None}})) == {"b": {}}


def test_no_secret_is_shown():
    secret = Secret({"password": ["hunter-2222"]})
    assert "hunter" not in repr({"a": secret})
    assert redact("got 'hunter-2222'", {"x": [secret]}) == "got '[secret]'"
    assert redact("got 'abc'", {"x": Secret("abc")}) == "got 'abc'", "too short to look for"
    assert plain({"a": secret}) == {"a": {"password": ["hunter-2222"]}}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("name", [("name", "n")]),
        ("pool.size", [("pool.size", 3)]),
        ("taints[].effect", [("taints[0].effect", "X"), ("taints[2].effect", "Y")]),
        ("ids[]", [("ids[1]", "b")]),
        ("nothing", []),
        ("name.inside", []),
        ("unknown.inside", []),
        ("pool[].size", []),
    ],
)
def test_places(pattern, found):
    values = {
        "name": "n",
        "pool": {"size": 3},
        "taints": [{"effect": "X"}, {"key": "k"}, {"effect": "Y"}],
        "ids": [UNKNOWN, "b"],
        "unknown": UNKNOWN,
    }
    assert list(at(values, pattern)) == found
