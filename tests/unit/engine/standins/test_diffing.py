"""What changed, and what that does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.standins.diffing import Difference, differences
from engine.standins.values import UNKNOWN

TABLE = ["name", "node.machine", "node.gpus", "placement"]


@pytest.mark.parametrize(
    ("olds", "news", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", "update", False)]),
        ({"name": "x"}, {"name": "y"}, [("name", "update", True)]),
        ({}, {"name": "y"}, [("name", "add", True)]),
        ({"node": {"disk": 1}}, {"node": {"disk": 2}}, [("node.disk", "update", False)]),
        ({"node": {"machine": "a"}}, {"node": {}}, [("node.machine", "delete", True)]),
        ({"node": {"machine": "a"}}, {}, [("node", "delete", True)]),
        (
            {"node": {"gpus": [{"count": 1}]}},
            {"node": {"gpus": [{"count": 2}]}},
            [("node.gpus[0].count", "update", True)],
        ),
        ({"taints": ["a"]}, {"taints": ["a", "b"]}, [("taints[1]", "add", False)]),
        ({"placement": UNKNOWN}, {"placement": UNKNOWN}, [("placement", "update", True)]),
        ({"a": 1}, {"a": True}, [("a", "update", False)]),
        ({"names": 1}, {"names": 2}, [("names", "update", False)]),
        ({"__x": 1}, {"__x": 2}, []),
    ],
)
def test_differences(olds, news, found):
    assert differences(olds, news, TABLE) == [Difference(*each) for each in found]


@given(st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.lists(st.text(max_size=2)))))
def test_nothing_differs_from_itself(values):
    assert differences(values, values, TABLE) == []
