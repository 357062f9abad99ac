from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamic_providers.host import sdk, secrets
from dynamic_providers.host.secrets import Secrets, conceal, concealed, decode

SECRET = 'pa$$ word/ü"1'

names = st.text("abcdefgh_", min_size=1, max_size=5)
plain = st.recursive(
    st.booleans() | st.integers(-1000, 1000) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
properties = st.dictionaries(names, plain, max_size=4)


def wrap_some(value: Any, choose: Any) -> Any:
    """The value with secret wrappers at some of its places."""
    if isinstance(value, dict):
        value = {key: wrap_some(item, choose) for key, item in value.items()}
    elif isinstance(value, list):
        value = [wrap_some(item, choose) for item in value]
    return sdk.secret(value) if choose() else value


def leaves(value: Any, hidden: bool = False) -> Iterator[tuple[Any, bool]]:
    """Every leaf, and whether it is inside a secret wrapper."""
    if isinstance(value, dict):
        if value.get(sdk.SIGNATURE_KEY) == sdk.SECRET_SIGNATURE:
            yield from leaves(value["value"], True)
            return
        for _, item in sorted(value.items()):
            yield from leaves(item, hidden)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, hidden)
    else:
        yield value, hidden


@settings(deadline=None)
@given(properties)
def test_plain_properties_come_back_as_they_were(values: dict[str, Any]) -> None:
    decoded, found = decode(sdk.to_struct(values))
    assert decoded == values
    assert found == Secrets()
    assert found.protect(decoded) == values


@settings(deadline=None)
@given(properties, st.data())
def test_what_came_in_secret_goes_out_secret(values: dict[str, Any], data: st.DataObject) -> None:
    wrapped = {
        key: wrap_some(item, lambda: data.draw(st.integers(0, 3)) == 0) for key, item in values.items()
    }
    decoded, found = decode(sdk.to_struct(wrapped))
    assert decoded == values
    protected = found.protect(decoded)
    for (before, was_hidden), (after, is_hidden) in zip(leaves(wrapped), leaves(protected), strict=True):
        assert before == after
        assert is_hidden or not was_hidden
    # And so it stays: what the state then holds gives the same again.
    again, found_again = decode(sdk.to_struct(protected))
    assert found_again.protect(again) == protected


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        f"http://user:{urllib.parse.quote(SECRET, safe='')}@192.0.2.1/",
        json.dumps({"token": SECRET}),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
@pytest.mark.parametrize(
    "place", [lambda x: x, lambda x: [1, x], lambda x: {"a": [{"b": x}]}, lambda x: {x: 1}]
)
def test_what_is_built_from_a_secret_is_secret(form: str, place: Any) -> None:
    _, found = decode(sdk.to_struct({"token": sdk.secret(SECRET)}))
    protected = found.protect({"other": place(form), "free": "to see"})
    assert form not in json.dumps([leaf for leaf, hidden in leaves(protected) if not hidden])
    assert sdk.SIGNATURE_KEY in json.dumps(protected["other"])
    assert protected["free"] == "to see"
    assert SECRET not in found.redact(f"401 for {form}")


def test_short_secrets_hide_their_own_place_and_nothing_else() -> None:
    decoded, found = decode(
        sdk.to_struct({"flag": sdk.secret("true"), "port": sdk.secret(8000), "ports": [1, sdk.secret(2)]})
    )
    protected = found.protect({**decoded, "other": "true", "more": [8000]})
    assert protected["flag"] == sdk.secret("true")
    assert protected["port"] == sdk.secret(8000.0)
    assert protected["ports"] == sdk.secret([1.0, 2.0])
    assert (protected["other"], protected["more"]) == ("true", [8000])


def test_named_outputs_are_secret() -> None:
    protected = Secrets().protect({"password": "x", "address": "y", "none": None}, {"password", "none"})
    assert protected == {"password": sdk.secret("x"), "address": "y", "none": None}


def test_the_pickled_provider_is_not_searched_for_even_when_it_is_secret() -> None:
    decoded, found = decode(sdk.to_struct({sdk.PROVIDER_KEY: sdk.secret("gASVJAAAAA")}))
    assert found.texts == set()
    assert found.protect(decoded) == {sdk.PROVIDER_KEY: sdk.secret("gASVJAAAAA")}


def test_unknown_values_stay_unknown_and_secret() -> None:
    struct = sdk.to_struct({"a": sdk.unknown(), "b": sdk.secret(sdk.unknown())})
    decoded, found = decode(struct)
    assert isinstance(decoded["a"], sdk.Unknown)
    assert isinstance(decoded["b"], sdk.Unknown)
    assert sdk.to_struct(found.protect(decoded)) == struct


def test_null_is_absent() -> None:
    from google.protobuf import struct_pb2

    struct = struct_pb2.Struct()
    struct.update({"a": None, "b": {"c": None}, "d": [None, 1]})
    assert decode(struct)[0] == {"b": {}, "d": [None, 1]}


def test_assets_are_the_sdk_s_objects() -> None:
    import pulumi

    decoded, _ = decode(sdk.to_struct({"file": pulumi.StringAsset("text")}))
    assert decoded["file"].text == "text"


def test_concealed_texts_hide_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_concealed", Secrets())
    conceal([SECRET, "abc"])
    assert concealed().redact(f"{SECRET} abc") == "[secret] abc"


def test_a_long_secret_that_contains_a_shorter_one_is_hidden_whole() -> None:
    found = Secrets()
    found.add_text("secret-1")
    found.add_text("secret-1-and-more")
    assert found.redact("x secret-1-and-more y") == "x [secret] y"
