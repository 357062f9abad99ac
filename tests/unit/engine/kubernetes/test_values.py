"""Property maps of the engine as plain values, and back; secrets in messages."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from engine.standins.kubernetes.redaction import Redactor
from engine.standins.kubernetes.values import UNKNOWN, Path, at, dump, has_unknown, load, widened

KEYS = st.text("abcxyz", min_size=1, max_size=3)
PLAIN = st.dictionaries(
    KEYS,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=10,
    ),
    max_size=4,
)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


@given(PLAIN, st.data())
def test_values_and_the_places_of_secrets_come_back(value, data):
    found = [path for path in places(value) if path]
    secrets = frozenset(data.draw(st.sets(st.sampled_from(found))) if found else ())
    loaded = load(dump(value, secrets))
    assert loaded.value == value
    assert loaded.secrets == secrets


def test_the_engine_is_told_which_values_are_secret():
    sent = json_format.MessageToDict(
        dump({"data": {"k": "v"}, "kind": "Secret"}, {("data",), ("no", "such")})
    )
    assert sent["kind"] == "Secret"
    assert sent["data"] == {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "value": {"k": "v"},
    }


def test_types_of_yaml_that_json_has_not_become_text():
    assert load(dump({"d": datetime.date(2026, 1, 2)})).value == {"d": "2026-01-02"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (UNKNOWN, True),
        ({"a": [1, {"b": UNKNOWN}]}, True),
        ({"a": [1, {"b": f"x{UNKNOWN}"}]}, False),
        ([], False),
    ],
)
def test_unknown_values_are_seen_at_any_depth(value, expected):
    assert has_unknown(value) is expected


def test_in_a_list_of_the_server_every_item_counts_as_secret():
    assert widened([("spec", "env", 0, "value"), ("data", "k")]) == {("spec", "env"), ("data", "k")}
    assert widened([(0, "a")]) == {()}


def test_a_place_that_is_not_there_is_nothing():
    assert at({"a": [1]}, ("a", 0)) == 1
    for path in (("b",), ("a", 5), ("a", 0, "x"), ("a", "x")):
        assert at({"a": [1]}, path) is None


@given(st.text("abcdefgh0123456789-", min_size=8, max_size=30))
def test_no_message_holds_a_secret_in_clear_or_in_base64(word):
    redactor = Redactor()
    redactor.learn({"spec": {"env": [{"value": word}]}}, [("spec", "env", 0, "value")])
    encoded = base64.b64encode(word.encode()).decode()
    cleaned = redactor.clean(f'Invalid value: "{word}" ({encoded})')
    assert word not in cleaned and encoded not in cleaned
    assert cleaned == 'Invalid value: "[secret]" ([secret])'


def test_what_a_secret_holds_in_base64_is_as_secret_and_so_is_each_of_its_lines():
    redactor = Redactor()
    data = base64.b64encode(b"hunter2-hunter2").decode()
    redactor.learn(
        {"data": {"k": data}, "stringData": {"f": "first line\nsecond line\n"}}, [("data",), ("stringData",)]
    )
    assert redactor.clean("a hunter2-hunter2 b second line") == "a [secret] b [secret]"


def test_short_words_are_left_in_messages():
    redactor = Redactor()
    redactor.learn({"a": "on", "b": 7}, [("a",), ("b",), ("c",)])
    assert redactor.clean("on 7") == "on 7"
