"""The provider's configuration, and the functions behind YAML files and charts."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from engine.standins.kubernetes import functions
from engine.standins.kubernetes.settings import BadSettings, credentials, is_other_place, kubeconfig, read
from engine.standins.kubernetes.values import UNKNOWN


def config(server: str = "https://a", token: str = "t1", current: str = "c") -> dict[str, Any]:
    return {
        "clusters": [
            {"name": "k", "cluster": {"server": server}},
            {"name": "other", "cluster": {"server": "https://other"}},
        ],
        "contexts": [
            {"name": "c", "context": {"cluster": "k", "user": "u"}},
            {"name": "d", "context": {"cluster": "other", "user": "u"}},
        ],
        "users": [{"name": "u", "user": {"token": token}}],
        "current-context": current,
    }


def test_a_kubeconfig_may_be_a_map_text_or_a_path(tmp_path):
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config()))
    given: list[Any] = [config(), yaml.safe_dump(config()), json.dumps(config()), str(file)]
    assert [kubeconfig(value) for value in given] == [config()] * 4
    assert [kubeconfig(value) for value in (None, "", UNKNOWN)] == [None] * 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("/no/such/file", "cannot be read: No such file"),
        ("a: [\nsecret-token", "is not YAML"),
        ("just\ntext: secret-token", "is not"),
        ("- a\n- secret-token", "no list `clusters`"),
    ],
)
def test_what_is_no_kubeconfig_is_said_so_without_its_content(value, words):
    with pytest.raises(BadSettings, match=words) as raised:
        kubeconfig(value)
    assert "secret-token" not in str(raised.value) and raised.value.name == "kubeconfig"


def test_flags_come_from_the_program_or_else_from_the_environment():
    variables = {"PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE": "true", "PULUMI_K8S_ENABLE_PATCH_FORCE": "true"}
    found = read({"enablePatchForce": "false", "enableSecretMutable": True, "namespace": "apps"}, variables)
    assert found.mutable == {"ConfigMap", "Secret"}
    assert found.force is False and found.namespace == "apps"
    plain = read({}, {})
    assert (plain.mutable, plain.force, plain.namespace, plain.render) == (
        frozenset(),
        False,
        "default",
        None,
    )


def test_files_need_no_kubeconfig(tmp_path):
    assert (
        read({"renderYamlToDirectory": str(tmp_path), "kubeconfig": "/no/such/file"}, {}).render == tmp_path
    )


def test_a_setting_that_the_stand_in_lacks_is_refused():
    with pytest.raises(BadSettings, match="server-side apply only"):
        read({"enableServerSideApply": "false"}, {})


def test_no_kubeconfig_is_in_the_text_of_settings():
    assert "t1" not in repr(read({"kubeconfig": config()}, {}))


def test_what_of_a_kubeconfig_is_secret():
    users = [
        {"name": "a", "user": {"token": "t1", "username": "admin", "client-key-data": "key"}},
        {"name": "b", "user": {"exec": {"command": "aws", "env": [{"name": "X", "value": "v"}]}}},
        {"name": "c"},
        "no user",
    ]
    assert credentials({**config(), "users": users}) == ["t1", "key", "v"]
    assert credentials(None) == []


@pytest.mark.parametrize(
    ("old", "new", "other"),
    [
        ({"kubeconfig": config()}, {"kubeconfig": config(token="t2")}, False),
        ({"kubeconfig": config()}, {"kubeconfig": config("https://b")}, True),
        ({"kubeconfig": config()}, {"kubeconfig": config(), "context": "d"}, True),
        ({"kubeconfig": config()}, {"kubeconfig": config(), "context": "c"}, False),
        ({"kubeconfig": config()}, {"kubeconfig": config(current="d")}, True),
        ({"kubeconfig": config()}, {"kubeconfig": UNKNOWN}, False),
        (
            {"kubeconfig": config(), "clusterIdentifier": "x"},
            {"kubeconfig": config("https://b"), "clusterIdentifier": "x"},
            False,
        ),
        ({"clusterIdentifier": "x"}, {"clusterIdentifier": "y"}, True),
        ({"renderYamlToDirectory": "a"}, {"renderYamlToDirectory": "b"}, True),
        ({"namespace": "a"}, {"namespace": "b"}, False),
    ],
)
def test_what_makes_another_place_of_a_provider(old, new, other):
    assert is_other_place(old, new) is other


def test_documents_and_the_items_of_lists():
    text = """
apiVersion: v1
kind: List
items: [{apiVersion: v1, kind: A}, {apiVersion: v1, kind: B}]
---
---
apiVersion: v1
kind: C
"""
    assert [each["kind"] for each in functions.documents(text)] == ["A", "B", "C"]


@pytest.mark.parametrize("text", ["a: [", "just text", "kind: A", "apiVersion: v1", "- kind: A"])
def test_what_is_no_object_is_an_error(text):
    with pytest.raises(functions.FunctionFailed):
        list(functions.documents(text))


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({"path": "./c"}, "template release ./c --namespace n --values - --include-crds"),
        (
            {"chart": "c", "version": "1", "fetch_opts": {"repo": "https://r"}, "skip_crd_rendering": True},
            "template release c --namespace n --values - --repo https://r --version 1",
        ),
        (
            {
                "chart": "c",
                "repo": "stable",
                "releaseName": "x",
                "kubeVersion": "1.36",
                "apiVersions": ["a/v1"],
            },
            "template x stable/c --namespace n --values - --kube-version 1.36 "
            "--api-versions a/v1 --include-crds",
        ),
        (
            {"path": "c", "release_name": "y", "namespace": "m"},
            "template y c --namespace m --values - --include-crds",
        ),
    ],
)
def test_the_command_for_a_chart(options, command):
    assert " ".join(functions.helm_command(options, "n")) == f"helm {command}"


def test_what_is_only_for_helm_test_is_left_out():
    def hooked(words: str) -> dict[str, Any]:
        return {"kind": "Pod", "metadata": {"annotations": {"helm.sh/hook": words}}}

    found = [{"kind": "A"}, hooked("test"), hooked("pre-install, test-success"), hooked("pre-install")]
    assert list(functions.without_tests(found, keep=False)) == [found[0], found[3]]
    assert list(functions.without_tests(found, keep=True)) == found


def test_a_function_that_is_not_there():
    with pytest.raises(functions.NoSuchFunction, match="kubernetes:x:y"):
        functions.call("kubernetes:x:y", {}, "default")
