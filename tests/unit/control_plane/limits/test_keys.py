"""API keys: made at random, found by their hash, refused in one text."""

from __future__ import annotations

import re
import tracemalloc

import pytest

from control_plane.gateway.declared import ApiKey, Declared
from control_plane.gateway.keys import KeyTable, digest, new_key, require
from control_plane.gateway.parts import Refused

SECRET = "gp-" + "a" * 43
NOW = 1_000.0


def table(**changes: object) -> KeyTable:
    fields = {"id": "k", "tenant": "t", "sha256": digest(SECRET), **changes}
    found = KeyTable()
    found.update(Declared(keys=(ApiKey(**fields),)))  # type: ignore[arg-type]  # a table of fields
    return found


def test_a_new_key_is_random_and_shown_only_once() -> None:
    made = [new_key() for _ in range(100)]
    assert len({key.secret for key in made}) == 100
    for key in made:
        assert re.fullmatch(r"gp-[A-Za-z0-9_-]{43}", key.secret)
        assert key.sha256 == digest(key.secret)
        assert key.secret.startswith(key.prefix) and len(key.prefix) == 11
        assert key.secret not in repr(key)


def test_a_key_is_found_by_what_a_client_sends() -> None:
    assert table().find(SECRET.encode(), NOW).id == "k"
    assert table(expires_at=NOW + 1).find(SECRET.encode(), NOW).id == "k"


@pytest.mark.parametrize(
    ("changes", "secret"),
    [
        ({}, b""),
        ({}, b"gp-unknown"),
        ({}, b"\xff\xfe"),
        ({}, b"x" * 100_000),
        ({"revoked": True}, SECRET.encode()),
        ({"expires_at": NOW}, SECRET.encode()),
    ],
    ids=["none", "unknown", "no text", "huge", "revoked", "expired"],
)
def test_every_other_is_refused_in_the_same_words(changes: dict[str, object], secret: bytes) -> None:
    with pytest.raises(Refused) as caught:
        table(**changes).find(secret, NOW)
    with pytest.raises(Refused) as unknown:
        table().find(b"gp-other", NOW)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert caught.value.message == unknown.value.message


def test_another_table_replaces_the_first_as_a_whole() -> None:
    found = table()
    found.update(Declared())
    assert found.lookup(SECRET.encode(), NOW) is None


def test_a_wrong_hash_changes_nothing() -> None:
    found = table()
    with pytest.raises(ValueError, match="key bad: sha256 must have 64 hexadecimal digits"):
        found.update(Declared(keys=(ApiKey("bad", "t", "zz"),)))
    assert found.lookup(SECRET.encode(), NOW) is not None


def test_unknown_keys_leave_no_trace_in_memory() -> None:
    found = table()
    found.lookup(b"gp-warm", NOW)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(20_000):
            found.lookup(b"gp-%d" % number, NOW)
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()


def test_scopes_and_models() -> None:
    key = ApiKey("k", "t", "0" * 64, scopes=("models",), models=("small",))
    require(key, "models", "small")
    with pytest.raises(Refused) as scope:
        require(key, "inference")
    assert (scope.value.status, scope.value.code) == (403, "insufficient_permissions")
    with pytest.raises(Refused) as model:
        require(key, "models", "large")
    assert (model.value.status, model.value.code) == (404, "model_not_found")
