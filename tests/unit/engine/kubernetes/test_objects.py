"""Names of objects, what of a live one was declared, quantities; inputs that are checked."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.standins.kubernetes import ignoring, objects
from engine.standins.kubernetes.checking import Checked, Naming, check
from engine.standins.kubernetes.values import UNKNOWN, Loaded, Object, Path

URN = "urn:pulumi:test::project::{}::web"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("kubernetes:core/v1:ConfigMap", ("v1", "ConfigMap")),
        ("kubernetes:core/v1:ConfigMapPatch", ("v1", "ConfigMap")),
        ("kubernetes:apps/v1:Deployment", ("apps/v1", "Deployment")),
        ("kubernetes:rbac.authorization.k8s.io/v1:Role", ("rbac.authorization.k8s.io/v1", "Role")),
        ("kubernetes:x.example.com/v1:Model", ("x.example.com/v1", "Model")),
    ],
)
def test_kinds_of_type_tokens(token, expected):
    assert objects.kind_of(objects.type_of_urn(URN.format(f"a:b:Parent${token}"))) == expected


@pytest.mark.parametrize("body", [{"metadata": {"name": "a"}}, {"metadata": {"name": "a", "namespace": "n"}}])
def test_an_id_leads_back_to_its_object(body):
    whole = {"apiVersion": "v1", "kind": "X", **body}
    assert objects.reference(objects.full_name(whole), whole) == whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("500m", Decimal("0.5")),
        (0.5, Decimal("0.5")),
        ("1Gi", 2**30),
        ("1024Mi", 2**30),
        ("1G", 10**9),
        ("1e3", 1000),
        ("1E", 10**18),
        ("-2k", -2000),
        (".5", Decimal("0.5")),
        ("", None),
        ("1GB", None),
        ("x", None),
        (True, None),
        ("1e999999999", None),
    ],
)
def test_quantities(text, expected):
    assert objects.quantity(text) == expected


@given(st.integers(1, 10**6))
def test_a_quantity_in_thousandths_is_the_same_quantity(number):
    assert objects.quantity(f"{number}m") == objects.quantity(str(Decimal(number) / 1000))


LIVE = {
    "metadata": {"name": "x", "uid": "1"},
    "spec": {
        "replicas": 5,
        "strategy": {"type": "RollingUpdate"},
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
        "containers": [{"name": "side", "image": "s"}, {"name": "main", "image": "m", "tty": False}],
    },
    "data": {"max": "1k"},
}


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"spec": {"replicas": 2}}, {"spec": {"replicas": 5}}),
        (
            {"spec": {"resources": {"requests": {"cpu": 0.5, "memory": "1024Mi"}}}},
            {"spec": {"resources": {"requests": {"cpu": 0.5, "memory": "1024Mi"}}}},
        ),
        (
            {"spec": {"resources": {"requests": {"cpu": "1"}}}},
            {"spec": {"resources": {"requests": {"cpu": "500m"}}}},
        ),
        (
            {"spec": {"containers": [{"name": "main", "image": "m"}]}},
            {"spec": {"containers": [{"name": "side", "image": "s"}, {"name": "main", "image": "m"}]}},
        ),
        ({"data": {"max": "1000"}}, {"data": {"max": "1k"}}),
        ({"metadata": {"labels": {}}}, {"metadata": {"labels": {}}}),
        ({"metadata": {"labels": {"a": "b"}}}, {"metadata": {}}),
        ({"spec": {"paused": False}}, {"spec": {"paused": False}}),
    ],
)
def test_of_a_live_object_only_what_was_declared_is_compared(declared, expected):
    assert objects.declared_part(LIVE, declared) == expected


def test_what_a_dry_run_makes_up_is_not_known():
    live: Object = {
        "kind": "Service",
        "metadata": {"name": "x", "uid": "made up", "labels": {}},
        "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"nodePort": 3}]},
        "status": {},
    }
    found = objects.unsettled(live)
    assert found["metadata"] == {"name": "x", "uid": UNKNOWN, "labels": {}}
    assert found["spec"] == {"clusterIP": UNKNOWN, "clusterIPs": UNKNOWN, "ports": [{"nodePort": 3}]}
    assert "status" not in found and live["metadata"]["uid"] == "made up"
    headless = objects.unsettled({"kind": "Service", "spec": {"clusterIP": "None", "type": "NodePort"}})
    assert headless["spec"]["clusterIP"] == "None" and headless["spec"]["ports"] == UNKNOWN


DEPLOYMENT = "kubernetes:apps/v1:Deployment"


def checked(
    body: Object,
    old: Object | None = None,
    token: str = DEPLOYMENT,
    naming: Naming | None = None,
    namespaced: bool | None = True,
    secrets: Iterable[Path] = (),
) -> Checked:
    loaded = Loaded({"apiVersion": "apps/v1", "kind": "Deployment", **body}, frozenset(secrets))
    given = naming or Naming(seed=b"s")
    return check(URN.format(token), loaded, old or {}, given, lambda body: namespaced, "home")


def test_a_name_is_made_once_and_kept():
    first = checked({}).inputs.value
    assert first["metadata"]["name"].startswith("web-") and len(first["metadata"]["name"]) == len("web-") + 8
    assert first["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    assert checked({}, naming=Naming(seed=b"t")).inputs.value != first
    assert checked({}, old=first, naming=Naming(seed=b"t")).inputs.value == first
    assert checked({}, naming=Naming("proposed", seed=b"t")).inputs.value["metadata"]["name"] == "proposed"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"metadata": {"name": "a"}}, {"name": "a", "namespace": "home"}),
        ({"metadata": {"name": "a", "namespace": "n"}}, {"name": "a", "namespace": "n"}),
        ({"metadata": {"generateName": "a-"}}, {"generateName": "a-", "namespace": "home"}),
        ({"metadata": {"name": UNKNOWN}}, {"name": UNKNOWN}),
        ({"metadata": {"annotations": UNKNOWN}}, {"annotations": UNKNOWN}),
        ({"metadata": UNKNOWN}, UNKNOWN),
    ],
)
def test_names_that_the_program_gives_are_left(body, names):
    assert checked(body).inputs.value["metadata"] == names


@pytest.mark.parametrize("namespaced", [False, None])
def test_a_kind_that_may_be_in_no_namespace_gets_none(namespaced):
    assert (
        "namespace"
        not in checked({"metadata": {"name": "a"}}, namespaced=namespaced).inputs.value["metadata"]
    )


def test_values_of_a_secret_are_secret_whoever_says_so_and_nulls_go():
    found = checked({"kind": "Secret", "metadata": {"name": "a", "labels": None}}, secrets=[("type",)]).inputs
    assert found.secrets == {("type",), ("data",), ("stringData",)}
    assert "labels" not in found.value["metadata"]


@pytest.mark.parametrize(
    ("body", "token", "naming", "property_"),
    [
        ({"kind": ""}, DEPLOYMENT, None, "kind"),
        ({}, DEPLOYMENT + "Patch", None, "metadata.name"),
        ({}, DEPLOYMENT, Naming(forbidden=True), "metadata.name"),
        ({}, "kubernetes:helm.sh/v3:Release", None, "chart"),
    ],
)
def test_inputs_that_cannot_be(body, token, naming, property_):
    failures = checked(body, token=token, naming=naming).failures
    assert [name for name, _ in failures] == [property_]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("spec.replicas", ("spec", "replicas")),
        ("spec.containers[0].image", ("spec", "containers", 0, "image")),
        ('metadata.annotations["a.b/c"]', ("metadata", "annotations", "a.b/c")),
        ('["x\\"y"]', ('x"y',)),
        ("spec.containers[*].image", ()),
        ("", ()),
    ],
)
def test_places_that_the_program_wants_left_alone(text, steps):
    assert ignoring.parse(text) == steps


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [
        (["spec.replicas"], {"replicas": 5, "items": [1, 2]}),
        (["spec.items[0]"], {"replicas": 2, "items": [8, 2]}),
        (["spec.items[7]", "spec.no.such", "spec.items[*]"], {"replicas": 2, "items": [1, 2]}),
        (["spec.other"], {"replicas": 2, "items": [1, 2], "other": "x"}),
        (["spec"], {"replicas": 5, "items": [8, 9], "other": "x"}),
    ],
)
def test_what_is_ignored_is_stored_as_the_server_has_it(ignored, expected):
    body = {"spec": {"replicas": 2, "items": [1, 2]}}
    live = {"spec": {"replicas": 5, "items": [8, 9], "other": "x"}}
    assert ignoring.with_live_values(body, live, ignored)["spec"] == expected
    assert body == {"spec": {"replicas": 2, "items": [1, 2]}}
