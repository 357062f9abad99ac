"""Names, ids, outputs, references and reading back."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from engine.standins import naming, outputs
from engine.standins.reading import inputs_now
from engine.standins.references import Planned, missing
from engine.standins.sdk_types import Property
from engine.standins.store import Store
from engine.standins.tables import Kind, Tables
from engine.standins.values import UNKNOWN, Secret, plain

KIND = Kind(
    name="name",
    scope=("cluster",),
    id="{cluster}:{name}",
    outputs={"arn": "arn:{region}:{id}", "version": 1, "network": {"group": "sg-{hex8}"}},
    changing=("version",),
)
SETTINGS = {"region": "us-east-1"}


def test_made_up_names_fit():
    assert naming.made_up("pool", b"1", Kind(name="n")) == naming.made_up("pool", b"1", Kind(name="n"))
    assert naming.made_up("pool", b"1", Kind(name="n")) != naming.made_up("pool", b"2", Kind(name="n"))
    assert len(naming.made_up("x" * 99, b"1", Kind(name="n", most=40))) == 40
    short = naming.made_up("My-GPU-Pool", b"1", Kind(name="n", most=12, plain_name=True))
    assert len(short) == 12 and short.isalnum() and short.startswith("mygpu")


def test_templates():
    filling = naming.Filling({"name": "n", "key": Secret("k-1"), "later": UNKNOWN}, SETTINGS, "seed")
    assert filling.fill(["{name}-{region}", 3, {"a": "{name}"}]) == ["n-us-east-1", 3, {"a": "n"}]
    assert filling.fill("x{key}") == Secret("xk-1")
    assert filling.fill("x{later}") is UNKNOWN
    assert len(filling.fill("{hex17}")) == 17 and filling.fill("{hex17}") == filling.fill("{hex17}")
    assert filling.fill("{digits12}").isdigit() and len(filling.fill("{uuid}")) == 36
    assert b"BEGIN CERTIFICATE" in base64.b64decode(filling.fill("{certificate}"))


def test_identifiers():
    assert naming.identifier(KIND, {"cluster": "c", "name": "n"}, SETTINGS, "s") == "c:n"
    assert naming.identifier(Kind(name="name"), {"name": "n"}, SETTINGS, "s") == "n"
    assert len(naming.identifier(Kind(), {}, SETTINGS, "s")) == 17


@pytest.mark.parametrize(
    ("other", "same"),
    [({"name": "n", "cluster": "c"}, True), ({"name": "n", "cluster": "d"}, False), ({"name": "m"}, False)],
)
def test_names_are_unique_within_their_scope(other, same):
    assert naming.is_same(KIND, {"name": "n", "cluster": "c"}, other) is same


def test_nothing_without_a_name_is_the_same():
    assert not naming.is_same(Kind(), {}, {})
    assert not naming.is_same(KIND, {}, {})


def test_a_preview_knows_its_inputs_only():
    found = outputs.preview({"name": "n", "network": {"id": "v"}}, {"status": str, "id": str}, KIND)
    assert found["name"] == "n"
    assert found["arn"] is UNKNOWN and found["status"] is UNKNOWN and "id" not in found
    assert found["network"] == {"id": "v", "group": UNKNOWN}


def test_what_is_made_has_everything():
    inputs = {"name": "n", "cluster": "c", "network": {"id": "v"}, "password": Secret("p")}
    filling = naming.Filling({**inputs, "id": "c:n"}, SETTINGS, "s")
    made = outputs.created(inputs, {"status": str, "ready": bool, "count": int, "arn": str}, KIND, filling)
    assert made["arn"] == "arn:us-east-1:c:n"
    assert made["network"]["id"] == "v" and made["network"]["group"].startswith("sg-")
    assert (made["ready"], made["count"], made["status"]) == (False, 0, "stand-in-status")
    assert made["password"] == Secret("p") and outputs.MARK in made


@pytest.mark.parametrize(("in_preview", "version"), [(True, UNKNOWN), (False, 2)])
def test_an_update_keeps_what_the_cloud_added(in_preview, version):
    olds = {"name": "n", "old": 1, "arn": "a", "version": 1, "network": {"id": "v", "group": "sg"}}
    old_inputs = {"name": "n", "old": 1, "network": {"id": "v"}}
    new = outputs.updated(
        {"name": "n", "network": {"id": "w"}}, olds, old_inputs, KIND, in_preview=in_preview
    )
    assert new["arn"] == "a" and "old" not in new
    assert new["network"] == {"id": "w", "group": "sg"}
    assert new["version"] == version


def test_inputs_as_they_are_now():
    declared = {name: Property(str, False) for name in ("name", "sizes", "taints", "network", "key", "gone")}
    values = {
        "name": "n",
        "sizes": {"most": 9, "least": 0, "added": 1},
        "taints": ["x"],
        "network": {"group": "sg"},
        "arn": "a",
        "key": "new",
    }
    inputs = {"name": "n", "sizes": {"most": 2, "least": 0}, "key": Secret("old"), "gone": 1}
    now = inputs_now(values, inputs, declared, KIND)
    assert plain(now) == {"name": "n", "sizes": {"most": 9, "least": 0}, "taints": ["x"], "key": "new"}
    imported = inputs_now(values, {}, declared, KIND)
    assert "arn" not in imported and imported["sizes"]["added"] == 1


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "references.json").write_text(
        '{"_source": "x", "pool": {"cluster": ["cluster", ["name", "id"]], "subnets[]": ["subnet", ["id"]]}}'
    )
    return Tables(tmp_path)


def test_references(tables, tmp_path):
    store, planned = Store(tmp_path / "w.json"), Planned()
    store.add("subnet", "subnet-1", {}, lambda other: False)
    planned.add("cluster", {"name": "c"})

    def lines(**inputs: Any) -> list[str]:
        return [finding.line for finding in missing("pool", inputs, tables, store, planned)]

    assert lines(cluster="c", subnets=["subnet-1", UNKNOWN]) == []
    assert lines(cluster=UNKNOWN) == []
    assert lines(cluster="d", subnets=["subnet-1", "subnet-2"]) == [
        "cluster: there is no cluster whose name or id is 'd'",
        "subnets[1]: there is no subnet whose id is 'subnet-2'",
    ]
    assert list(missing("other", {"cluster": "d"}, tables, store, planned)) == []
