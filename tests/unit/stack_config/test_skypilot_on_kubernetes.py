"""Rules of the stack file about a SkyPilot server on Kubernetes, besides those of its component."""

from __future__ import annotations

from typing import Any

import pytest

from stack_config import StackConfigError, load
from stack_config.clear_text import clear_text

SERVER = "gpuplane:skypilotServers.sky"
INGRESS = {"host": "sky.example.com", "tlsSecret": "tls"}
HERE = {"context": "prod"}
GKE = {"gkeClusters": {"train": {"region": "us-central1", "project": "p"}}}


def values(on: dict[str, Any] | None, server: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {"target": "kubernetes", "auth": "service_accounts", **server}
    if on is not None:
        spec["kubernetes"] = on
    return {"stackId": "teststck", "skypilotServers": {"sky": spec}, **more}


BROKEN: list[tuple[dict[str, Any] | None, dict[str, Any], dict[str, Any], str, str]] = [
    (None, {}, {}, ".kubernetes", "does not say which Kubernetes cluster; give cluster, or kubeconfig"),
    ({}, {}, {}, ".kubernetes", "does not say which Kubernetes cluster"),
    ({"cluster": "train", **HERE}, {}, GKE, ".kubernetes", "says twice which Kubernetes cluster"),
    ({"cluster": "trian"}, {}, GKE, ".kubernetes.cluster", 'no cluster "trian"; did you mean "train"?'),
    ({"cluster": "train"}, {}, {}, ".kubernetes.cluster", 'no cluster "train"; declare it'),
    (
        HERE,
        {},
        {"skypilotClusters": {"a": {"server": "sky"}}},
        ".kubernetes.ingress",
        "without one only Kubernetes reaches the server, but cluster a is on it",
    ),
    (
        {**HERE, "ingress": INGRESS},
        {"auth": "oauth2"},
        {"skypilotTenants": {"t": {"server": "sky", "token": False}}},
        ".auth",
        "oauth2 has no password that this stack could use, but tenant t is on it",
    ),
]


@pytest.mark.parametrize(("on", "server", "more", "path", "said"), BROKEN)
def test_what_is_refused(on, server, more, path, said):
    with pytest.raises(StackConfigError) as broken:
        load(values(on, server, **more), "test")
    assert any(str(each).startswith(f"{SERVER}{path}: {said}") for each in broken.value.problems), (
        broken.value.message
    )


def test_servers_on_kubernetes_have_no_ports_to_share():
    two = {"target": "kubernetes", "auth": "basic", "kubernetes": HERE}
    servers = {"a": two, "b": {**two, "kubernetes": {**HERE, "namespace": "b"}}, "c": {}}
    found = load({"stackId": "teststck", "skypilotServers": servers}, "test")
    assert found.skypilot_servers["b"].port == found.skypilot_servers["c"].port


def test_accounts_and_the_database_must_be_secure_values():
    spec = {
        "databaseUrl": "postgresql://a:b@c/d",
        "oauth2ClientSecret": "x",
        "accounts": {"runpod": {"api_key": "k"}, "aws": {"aws_access_key_id": "i"}},
    }
    found = clear_text({"skypilotServers": {"sky": spec}}, None, ())
    assert {str(each).split(": ")[0] for each in found} == {
        f"{SERVER}.{path}"
        for path in (
            "databaseUrl",
            "oauth2ClientSecret",
            "accounts.runpod.api_key",
            "accounts.aws.aws_access_key_id",
        )
    }
