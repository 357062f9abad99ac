"""Secrets in plain text. Texts that look like keys are put together, for the sake of scanners."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.hidden import secret_paths
from policies.plaintext_secrets import look, open_secrets, says_secret
from policies.reading import UNKNOWN
from stack_config.policies import Rule
from tests.policies.made import deployment, made, node

MARK = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
KEYS = [
    "sk-" + "a1" * 12,
    "ghp_" + "Ab3" * 12,
    "hf_" + "Ab3" * 9,
    "rpa_" + "AB3" * 9,
    "AKIA" + "AB34" * 4,
    "postgres://app:" + "pass@db/x",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "eyJ" + "hbGciOiJIUzI1" + ".eyJ" + "zdWIiOiIxMjM0" + ".x",
]


@pytest.mark.parametrize(
    "key", ["HF_TOKEN", "apiKey", "api_key", "DB_PASSWORD", "clientSecret", "privateKey"]
)
def test_names_that_say_secret(key: str) -> None:
    assert says_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        "secretName",
        "tokenUrl",
        "apiKeyEnv",
        "key",
        "keyId",
        "kmsKeyId",
        "maxTokens",
        "sshPublicKeys",
        "monkey",
        "",
    ],
)
def test_names_that_do_not(key: str) -> None:
    assert not says_secret(key)


@pytest.mark.parametrize("key", KEYS)
def test_texts_that_are_keys_whatever_they_are_called(key: str) -> None:
    (found,) = look(node(args=f"--thing {key} --more"), Rule(), "none")
    assert found == "has a secret in plain text at args"


@pytest.mark.parametrize(
    "text", ["https://example.org/x", "postgres://db:5432/x", "redis://$USER:$PASS@db", "sk-no"]
)
def test_texts_that_are_none(text: str) -> None:
    assert not list(look(node(args=text), Rule(), "none"))


def test_variables_of_containers_go_by_their_name() -> None:
    env = [
        {"name": "API_TOKEN", "value": "x"},
        {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "web", "key": "token"}}},
        {"name": "LEVEL", "value": "debug"},
        {"name": "API_TOKEN", "value": UNKNOWN},
    ]
    assert list(look(deployment({"name": "web", "env": env}), Rule(), "none")) == [
        "has a secret in plain text at spec.template.spec.containers[0].env[0].value (API_TOKEN)"
    ]


def test_a_provider_of_ours_gets_configuration_that_was_looked_at_before() -> None:
    props: dict[str, Any] = {"gpuplane:token": "x"}
    assert not list(look(made("pulumi:providers:pulumi-python", **props), Rule(), "none"))
    assert list(look(made("pulumi:providers:kubernetes", **props), Rule(), "none"))


TREES = st.recursive(
    st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["token", "env", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def _marked(value: Any) -> Any:
    """The same, every text marked as a secret, as the engine sends it."""
    if isinstance(value, dict):
        return {key: _marked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_marked(inner) for inner in value]
    return {**MARK, "value": value}


@given(TREES)
def test_what_is_marked_is_never_told(tree: Any) -> None:
    assert not list(open_secrets(tree, secret_paths(_marked(tree))))
    whole = secret_paths({"props": {**MARK, "value": tree}})
    assert not list(open_secrets({"props": tree}, whole))


@given(st.text(min_size=1, max_size=40))
def test_no_value_is_ever_repeated(value: str) -> None:
    secret = f"canary-{value}-canary"
    found = list(look(node(env={"HF_TOKEN": secret}), Rule(), "none"))
    assert found == ["has a secret in plain text at env.HF_TOKEN"]
