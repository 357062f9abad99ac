"""An error about a text of databases and model servers says what the text must be like."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from stack_config import StackConfigError, databases, load, model_servers
from stack_config.shape import Model

MODELS = [model for _, model in (*databases.SECTIONS, *model_servers.SECTIONS)]


def patterns(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for value in schema.values():
            yield from patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from patterns(value)


@pytest.mark.parametrize("model", MODELS)
def test_every_pattern_has_a_sentence(model: type[Model]) -> None:
    known = {**databases.PATTERNS, **model_servers.PATTERNS, r"^\S+$": ""}
    assert set(patterns(model.model_json_schema())) <= set(known)


@pytest.mark.parametrize("pattern", [*databases.PATTERNS, *model_servers.PATTERNS])
def test_every_sentence_is_of_a_pattern_that_is_used(pattern: str) -> None:
    assert pattern in {each for model in MODELS for each in patterns(model.model_json_schema())}
    assert re.compile(pattern)


def test_the_sentence_reaches_the_user() -> None:
    values = {
        "stackId": "teststck",
        "redisServices": {"a": {"target": "kubernetes", "image": "redis:latest"}},
    }
    with pytest.raises(
        StackConfigError, match=r"redisServices.a.image: must be an image with a version, like redis"
    ):
        load(values, "dev")
