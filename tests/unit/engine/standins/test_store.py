"""The file of pretended objects."""

from __future__ import annotations

import json
import threading

import pytest

from engine.standins.store import HIDDEN, Store, Taken, hide, unhide
from engine.standins.values import Secret


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "world" / "aws.json")


def never(other):
    return False


def test_objects_come_and_go(store):
    assert store.get("t", "a") is None and store.all("t") == {}
    store.add("t", "a", {"x": 1}, never)
    assert store.get("t", "a") == {"x": 1}
    store.put("t", "a", {"x": 2})
    assert store.all("t") == {"a": {"x": 2}}
    store.remove("t", "a")
    store.remove("t", "a")
    assert store.get("t", "a") is None


def test_an_id_or_a_name_is_taken_once(store):
    store.add("t", "a", {"name": "n"}, never)
    with pytest.raises(Taken, match="t 'a' already exists"):
        store.add("t", "a", {}, never)
    with pytest.raises(Taken, match="t 'b' already exists"):
        store.add("t", "b", {"name": "n"}, lambda other: other["name"] == "n")
    store.add("other", "a", {"name": "n"}, never)


def test_several_at_once_lose_nothing(tmp_path):
    stores = [Store(tmp_path / "aws.json") for _ in range(4)]
    threads = [
        threading.Thread(
            target=lambda s=store, n=number: [s.add("t", f"{n}-{i}", {}, never) for i in range(10)]
        )
        for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].all("t")) == 40


def test_a_change_by_hand_is_seen(store, tmp_path):
    store.add("t", "a", {"x": 1}, never)
    (tmp_path / "world" / "aws.json").write_text(json.dumps({"t": {"a": {"x": 9}}}))
    assert store.get("t", "a") == {"x": 9}


def test_no_secret_is_written(store, tmp_path):
    store.add("t", "a", {"login": {"password": Secret("hunter-2222")}, "keys": [Secret("k-33333")]}, never)
    text = (tmp_path / "world" / "aws.json").read_text()
    assert "hunter" not in text and "k-3" not in text and HIDDEN in text


def test_secrets_come_back_from_where_they_are_known():
    secret = Secret("hunter-2222")
    values = {"login": {"password": secret, "user": "u"}, "keys": [secret, "open"]}
    assert unhide(hide(values), values) == values
    assert unhide(hide(values), {}) == {"login": {"user": "u"}, "keys": ["open"]}
