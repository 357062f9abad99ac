"""What differs between two inputs, and what of it needs a new object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.standins.kubernetes.diff import compare, top_level, walk

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab.[]\"'", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('ab."', min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON)
def test_a_value_does_not_differ_from_itself(value):
    assert list(walk(value, value)) == []


@given(JSON, JSON)
def test_the_places_of_differences_are_each_told_once_and_turn_round(old, new):
    forth, back = list(walk(old, new)), list(walk(new, old))
    assert len({place for place, _ in forth}) == len(forth)
    assert {place for place, _ in forth} == {place for place, _ in back}
    turned = {"ADD": "DELETE", "DELETE": "ADD", "UPDATE": "UPDATE"}
    assert {(place, turned[how]) for place, how in forth} == set(back)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 2}, {"a": "UPDATE"}),
        ({"a": {"b": 1}}, {"a": {}}, {"a.b": "DELETE"}),
        ({"a": [1]}, {"a": [1, 2]}, {"a[1]": "ADD"}),
        ({"a": {"x/y": 1}}, {"a": {"x/y": 2}}, {'a["x/y"]': "UPDATE"}),
        ({"a": {'"': 1}}, {"a": {'"': 2}}, {'a["\\""]': "UPDATE"}),
        ({"a": 1}, {"a": True}, {"a": "UPDATE"}),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": "UPDATE"}),
    ],
)
def test_places_are_written_as_the_engine_writes_them(old, new, expected):
    assert dict(walk(old, new)) == expected


def test_first_steps():
    assert top_level(["spec.a[0].b", 'spec["x/y"]', "data", '["x/y"].z', "metadata[0]"]) == [
        "data",
        "metadata",
        "spec",
        "x/y",
    ]


def thing(kind: str, api: str = "v1", auto: bool = False, **more: object) -> dict[str, object]:
    metadata: dict[str, object] = {"name": "x", "namespace": "n"}
    if auto:
        metadata["annotations"] = {"pulumi.com/autonamed": "true"}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


@pytest.mark.parametrize(
    ("old", "new", "replaced"),
    [
        (thing("Deployment", "apps/v1", spec={"replicas": 1}), {"spec": {"replicas": 2}}, False),
        (thing("Deployment", "apps/v1", spec={"selector": {"a": 1}}), {"spec": {"selector": {"a": 2}}}, True),
        (thing("Deployment", "apps/v1"), {"metadata": {"name": "y", "namespace": "n"}}, True),
        (thing("Deployment", "apps/v1"), {"metadata": {"name": "x", "namespace": "m"}}, True),
        (thing("Deployment", "apps/v1"), {"apiVersion": "apps/v1beta1"}, False),
        (thing("Ingress", "extensions/v1"), {"apiVersion": "networking.k8s.io/v1"}, True),
        (thing("Job", "batch/v1", spec={"template": 1}), {"spec": {"template": 2}}, True),
        (thing("Job", "batch/v1", spec={"backoffLimit": 1}), {"spec": {"backoffLimit": 2}}, False),
        (thing("StatefulSet", "apps/v1", spec={"serviceName": "a"}), {"spec": {"serviceName": "b"}}, True),
        (thing("StatefulSet", "apps/v1", spec={"replicas": 1}), {"spec": {"replicas": 2}}, False),
        (
            thing("PersistentVolumeClaim", spec={"storageClassName": "a"}),
            {"spec": {"storageClassName": "b"}},
            True,
        ),
        (
            thing("PersistentVolumeClaim", spec={"resources": {"requests": {"storage": "1Gi"}}}),
            {"spec": {"resources": {"requests": {"storage": "2Gi"}}}},
            False,
        ),
        (thing("RoleBinding", roleRef={"name": "a"}), {"roleRef": {"name": "b"}}, True),
        (
            thing("Pod", spec={"containers": [{"image": "a"}]}),
            {"spec": {"containers": [{"image": "b"}]}},
            False,
        ),
        (thing("Pod", spec={"nodeName": "a"}), {"spec": {"nodeName": "b"}}, True),
        (thing("ConfigMap", data={"a": "1"}), {"data": {"a": "2"}}, True),
        (thing("ConfigMap", data={"a": "1"}), {"data": {"a": "1"}, "extra": 1}, False),
        (thing("Secret", stringData={"a": "1"}), {"stringData": {"a": "2"}}, True),
        (thing("Secret", type="Opaque"), {"type": "kubernetes.io/tls"}, True),
    ],
)
def test_which_changes_need_a_new_object(old, new, replaced):
    found = compare(old, {**old, **new})
    assert found.changes
    assert bool(found.replaces) is replaced


def test_mutable_config_maps_change_in_place_unless_they_say_that_they_do_not():
    old, new = thing("ConfigMap", data={"a": "1"}), thing("ConfigMap", data={"a": "2"})
    assert compare(old, new, {"ConfigMap"}).replaces == ()
    assert compare({**old, "immutable": True}, {**new, "immutable": True}, {"ConfigMap"}).replaces == (
        "data.a",
    )
    assert compare({**old, "immutable": True}, old, {"ConfigMap"}).replaces == ("immutable",)


@pytest.mark.parametrize(("auto", "first"), [(False, True), (True, False)])
def test_only_a_name_that_the_program_gives_is_freed_before_it_is_taken_again(auto, first):
    old, new = thing("ConfigMap", auto=auto, data={"a": "1"}), thing("ConfigMap", auto=auto, data={"a": "2"})
    assert compare(old, new).delete_first is first


def test_another_name_need_not_be_freed_first():
    old, new = thing("ConfigMap"), thing("ConfigMap")
    new["metadata"] = {"name": "y", "namespace": "n"}
    assert compare(old, new).delete_first is False
