"""Every way to run a server on Kubernetes: what is declared has the SDK's types, and keeps secrets secret."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pulumi
import pydantic
import pytest

from components.sky_pilot_api_server import SkyPilotApiServer, SkyPilotApiServerArgs, SkyPilotAuth
from components.sky_pilot_kubernetes.place import HOME
from dynamic_providers.host.sdk import SECRET_SIGNATURE, SIGNATURE_KEY
from engine.standins import checking
from engine.standins.sdk_types import Sdk
from stack_config.skypilot_kubernetes import OnKubernetes
from tests.engine.harness import REPOSITORY
from tests.kubernetes.components.declared import Declared, declare

pytestmark = pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning")

SDK = Sdk("kubernetes")


class Later(str):
    """A text that becomes a secret output, once there are mocks."""


CANARY = "canary-5f21c7-long"
INGRESS = {"host": "sky.example.com", "tlsSecret": "tls"}
RWX = {"accessMode": "ReadWriteMany"}
OAUTH2 = {"issuer": "https://id.example.com", "clientId": "sky", "emailDomains": ["example.com", "b.example"]}
DATABASE = f"postgresql://sky:{CANARY}@db/sky"
CLOUDS = {
    "aws": {"aws_access_key_id": CANARY, "aws_secret_access_key": CANARY},
    "gcp": {"gcp-cred.json": CANARY},
    "paperspace": {"api_key": CANARY},
    "slurm": {"config": CANARY},
}

SERVERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"createNamespace": False, "namespace": "tools", "workloads": {"namespace": "gpu"}}, {}),
    ({"workloads": {"enabled": False}, "storage": {"existingClaim": "mine"}}, {}),
    ({"ingress": INGRESS, "digest": f"sha256:{'a' * 64}", "pullSecrets": ["regcred"]}, {"kind": "basic"}),
    ({"ingress": {"host": "a.b", "certIssuer": "le", "path": "/sky", "wait": False}}, {}),
    (
        {
            "network": {"namespaces": ["ingress-nginx"]},
            "monitoring": {"serviceMonitor": True, "alerts": True},
        },
        {},
    ),
    ({"update": "rolling", "replicas": 2, "storage": RWX}, {"database_url": DATABASE}),
    ({"update": "rolling", "storage": {"enabled": False}, "databaseSecret": "pg"}, {}),
    ({}, {"accounts": CLOUDS, "files": {".a/b": CANARY}, "env": {"A": CANARY}, "allowed_clouds": ("aws",)}),
    ({"accountSecrets": {"runpod": "runpod-credentials"}, "volumes": [{"secret": "x", "path": ".p"}]}, {}),
    ({"ingress": INGRESS, "oauth2": OAUTH2}, {"kind": "oauth2", "oauth2_client_secret": CANARY}),
    (
        {
            "ingress": INGRESS,
            "oauth2": {**OAUTH2, "redisSecret": "redis"},
            "network": {"cidrs": ["10.0.0.0/8"]},
        },
        {"kind": "oauth2", "oauth2_client_secret": Later(CANARY)},
    ),
    (
        {"externalProxy": {"format": "jwt", "claim": "email"}, "network": {"namespaces": ["auth"]}},
        {"kind": "external_proxy"},
    ),
    ({"kubeconfig": "~/.kube/config", "context": "prod", "nodeSelector": {"pool": "cpu"}}, {}),
    ({"tolerations": [{"key": "a"}], "serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "x"}}, {}),
    ({"workloads": {"rules": [{"resources": ["configmaps"], "verbs": ["get"]}]}}, {"password": CANARY}),
]


def clear(value: Any) -> Any:
    """Inputs as they came, without the wrappers of secrets."""
    if isinstance(value, dict):
        return clear(value["value"]) if SIGNATURE_KEY in value else {k: clear(v) for k, v in value.items()}
    return [clear(each) for each in value] if isinstance(value, list) else value


def args_of(on: dict[str, Any], more: dict[str, Any]) -> SkyPilotApiServerArgs:
    more = {
        key: pulumi.Output.secret(str(value)) if isinstance(value, Later) else value
        for key, value in more.items()
    }
    auth = SkyPilotAuth(kind=more.pop("kind", "service_accounts"), password=more.pop("password", None))
    where = OnKubernetes.model_validate_json(json.dumps(on))
    return SkyPilotApiServerArgs(target="kubernetes", auth=auth, kubernetes=where, **more)


def built(on: dict[str, Any], more: dict[str, Any], **options: Any) -> Declared:
    def build() -> pulumi.ComponentResource:
        return SkyPilotApiServer("sky", args_of(on, more))

    return declare(build, "endpoint", "user", "password", **options)


@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
@pytest.mark.parametrize(("on", "more"), SERVERS)
def test_the_inputs_have_the_types_of_the_sdk(on, more, preview):
    found = built(on, more, preview=preview)
    wrong = [
        f"{token} {name}: {each.line}"
        for (token, name), inputs in found.inputs.items()
        if token.startswith("kubernetes:") and "monitoring.coreos.com" not in token
        for each in checking.check(clear(inputs), SDK.inputs(token))
        if not preview  # mocks leave out what is not known yet
    ]
    assert wrong == []
    assert "password" in found.secrets and "endpoint" not in found.secrets
    told = [each for each in found.options.values() if each.type != "pulumi:pulumi:Stack"]
    names = [each.name for each in told if each.name != "sky" and not each.parent]
    assert names == [], "everything is a child of the component"


@pytest.mark.parametrize(("on", "more"), SERVERS)
def test_a_secret_is_in_secrets_alone(on, more):
    found = built(on, more)
    for (token, name), inputs in found.inputs.items():
        if not token.endswith(":Secret"):
            assert CANARY not in json.dumps(inputs, default=str), name
    for name, inputs in found.of("Secret").items():
        assert SECRET_SIGNATURE in json.dumps(inputs["stringData"]), f"{name} is marked as one"


def test_a_wrong_server_registers_nothing():
    with pytest.raises(pydantic.ValidationError, match="rolling needs a database"):
        args_of({"update": "rolling"}, {})
    registered = Declared()
    with pytest.raises(pulumi.RunError, match="name: 'Sky' must be lower-case letters"):
        registered = declare(lambda: SkyPilotApiServer("Sky", args_of({}, {})))
    assert registered.inputs == {}


def test_a_password_that_is_known_only_later_is_refused_too():
    with pytest.raises(pulumi.RunError, match="the password that SkyPilot's chart publishes"):
        built({}, {"password": Later("skypilot")})


def test_the_sdk_is_not_imported_by_a_program_that_declares_no_server_on_kubernetes():
    program = "import sys, components.sky_pilot_api_server; print('pulumi_kubernetes' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_what_is_declared_for_the_start_program():
    found = built({"ingress": INGRESS}, {"accounts": CLOUDS, "config": {"jobs": {"a": 1}}})
    declared = json.loads(found.one("ConfigMap", "sky-declared")["data"]["declared.json"])
    assert declared["config"] == {"jobs": {"a": 1}, "kubernetes": {"remote_identity": "sky-pods"}}
    assert declared["server"] == {"auth": {"external_proxy": {"enabled": False}}}
    assert declared["arguments"] == ["--deploy", "--foreground", "--enable-basic-auth"]
    assert [each["to"] for each in declared["files"]] == [
        ".aws/credentials",
        ".config/gcloud/application_default_credentials.json",
        ".paperspace/config.json",
        ".slurm/config",
    ]
    pod = found.one("Deployment", "sky-api-server")["spec"]["template"]["spec"]
    mounted = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    sources = {path for each in declared["files"] for path in each["from"].values()}
    assert {path.rpartition("/")[0] for path in sources} <= mounted


def test_a_rolling_server_shares_no_state_file_on_its_volume():
    found = built({"update": "rolling", "storage": RWX}, {"database_url": DATABASE})
    pod = found.one("Deployment", "sky-api-server")["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts[f"{HOME}/.sky"] == "sky-ephemeral"
    assert mounts[f"{HOME}/.sky/api_server/clients"] == "state-volume"


def test_no_rule_of_rbac_has_a_star():
    found = built({}, {})
    rules = [
        rule for kind in ("Role", "ClusterRole") for each in found.of(kind).values() for rule in each["rules"]
    ]
    assert len(rules) > 8
    assert "*" not in json.dumps(rules)
    verbs = {verb for rule in rules for verb in rule["verbs"]}
    assert not verbs & {"escalate", "bind", "impersonate", "deletecollection"}


def test_everything_is_on_the_given_cluster():
    def build() -> pulumi.ComponentResource:
        from pulumi_kubernetes import Provider

        cluster = Provider("train-kubernetes", context="train")
        on = {"monitoring": {"alerts": True}, "network": {}, "ingress": INGRESS}
        return SkyPilotApiServer("sky", args_of(on, {}), pulumi.ResourceOptions(provider=cluster))

    found = declare(build)
    told = [each for each in found.options.values() if each.type.startswith("kubernetes:")]
    assert len(told) > 15
    assert {each.provider.rpartition("::")[0].rpartition("::")[2] for each in told} == {"train-kubernetes"}
