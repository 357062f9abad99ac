"""Owner and cost centre."""

from __future__ import annotations

import pytest

from policies.reading import UNKNOWN
from policies.tags import STACK, look
from stack_config.policies import TagsRule
from tests.policies.made import made, node

BOTH = TagsRule(required=("owner", "cost-centre"))


@pytest.mark.parametrize(
    ("tags", "missing"),
    [
        ({"owner": "ml", "cost-centre": "42", "more": "x"}, ""),
        ({"owner": "ml"}, "cost-centre"),
        ({"owner": "", "cost-centre": "42"}, "owner"),
        (None, "owner, cost-centre"),
        (UNKNOWN, ""),
    ],
)
def test_missing_keys_are_named(tags: object, missing: str) -> None:
    stack = [made(STACK, tags=tags), node()]
    assert [broken.what for broken in look(stack, BOTH, "none")] == [f"has no tag {missing}"] * bool(missing)
    assert not list(look(stack, TagsRule(), "none"))
