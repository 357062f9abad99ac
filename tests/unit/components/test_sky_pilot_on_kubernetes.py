"""The rules of a SkyPilot server on Kubernetes, and what is pure of its objects."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pulumi
import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.sky_pilot_api_server import SkyPilotApiServerArgs, SkyPilotAuth
from components.sky_pilot_kubernetes.accounts import ACCOUNTS, copies, keys_of
from components.sky_pilot_kubernetes.chart import keep_claim, merged
from components.sky_pilot_kubernetes.deployment import image, own_environment, strategy
from components.sky_pilot_kubernetes.ingress import ingress_annotations, url
from components.sky_pilot_kubernetes.monitoring import alerts, custom_resources
from components.sky_pilot_kubernetes.network import server_policy
from components.sky_pilot_kubernetes.place import Place
from components.sky_pilot_kubernetes.rules import name_problem, quantity, refused_password
from components.sky_pilot_servers import server_args
from stack_config import load
from stack_config.skypilot_kubernetes import OnKubernetes, ServerIngress

REPOSITORY = Path(__file__).parents[3]


INGRESS = {"host": "sky.example.com", "tlsSecret": "tls"}
OAUTH2 = {"issuer": "https://id.example.com", "clientId": "sky", "emailDomains": ["example.com"]}
ROLLING = {"update": "rolling", "storage": {"accessMode": "ReadWriteMany"}}
URL = "postgresql://sky@db/sky"


def args(on: dict[str, Any] | None = None, **more: Any) -> SkyPilotApiServerArgs:
    auth = SkyPilotAuth(kind=more.pop("kind", "service_accounts"), password=more.pop("password", None))
    where = OnKubernetes.model_validate_json(json.dumps(on or {}))
    return SkyPilotApiServerArgs(target="kubernetes", auth=auth, kubernetes=where, **more)


def place(on: dict[str, Any] | None = None, **more: Any) -> Place:
    return Place("sky", args(on, **more), pulumi.ResourceOptions())


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"port": 1234}, "port: is for target local; the service has port 80"),
    ({}, {"host": "0.0.0.0"}, "host: is for target local"),
    ({}, {"metrics_port": 9090}, "metrics_port: is for target local; use kubernetes.monitoring"),
    ({}, {"keep_home": False}, "keep_home: is for target local; use kubernetes.storage.keep"),
    ({}, {"replace_trigger": "x"}, "replace_trigger: is for target local"),
    ({}, {"kind": "none"}, "auth.kind: none lets in everybody in the cluster"),
    ({}, {"password": "skypilot"}, "auth.password: this is the password that SkyPilot's chart publishes"),
    ({}, {"password": " SkyPilot\n"}, "the password that SkyPilot's chart publishes"),
    ({}, {"password": "too-short"}, "auth.password: has fewer than 12 characters"),
    ({"ingress": INGRESS}, {"kind": "oauth2"}, "kubernetes.oauth2: goes with auth of kind oauth2"),
    ({"oauth2": OAUTH2}, {}, "kubernetes.oauth2: goes with auth of kind oauth2"),
    ({}, {"oauth2_client_secret": "x"}, "oauth2_client_secret: goes with auth of kind oauth2"),
    ({"oauth2": OAUTH2}, {"kind": "oauth2", "oauth2_client_secret": "x"}, "kubernetes.ingress: a login page"),
    ({"externalProxy": {}}, {}, "kubernetes.external_proxy: goes with auth of kind external_proxy"),
    ({"externalProxy": {}}, {"kind": "external_proxy"}, "kubernetes.network: must say where the proxy is"),
    (
        {"externalProxy": {}, "network": {}},
        {"kind": "external_proxy"},
        "kubernetes.network: must say where the proxy is",
    ),
    ({"network": {"cidrs": ["10.0.0.0/33"]}}, {}, "kubernetes.network.cidrs: '10.0.0.0/33' is no network"),
    ({"databaseSecret": "pg"}, {"database_url": URL}, "database_url: is given twice"),
    ({}, {"database_url": "postgres://sky@db/sky"}, "database_url: must begin with postgresql://"),
    ({"storage": {"enabled": False}}, {}, "kubernetes.storage.enabled: without it a database is needed"),
    (
        {"storage": {"enabled": False, "existingClaim": "x"}, "databaseSecret": "pg"},
        {},
        "kubernetes.storage.existing_claim: needs storage.enabled",
    ),
    ({"replicas": 2}, {"database_url": URL}, "kubernetes.replicas: more than one needs update: rolling"),
    (ROLLING, {}, "kubernetes.update: rolling needs a database"),
    ({"update": "rolling"}, {"database_url": URL}, "rolling needs storage that is off or ReadWriteMany"),
    ({}, {"config": {"db": URL}}, "config.db: is what database_url sets"),
    ({"cpu": "3500m"}, {}, "kubernetes.cpu: 3500m is less than the 4"),
    ({"memory": "8G"}, {}, "kubernetes.memory: 8G is less than the 8Gi"),
    ({"ingress": {"host": "a.b"}}, {}, "kubernetes.ingress: needs TLS"),
    ({"ingress": {**INGRESS, "certIssuer": "x"}}, {}, "kubernetes.ingress: needs TLS: give one of"),
    ({"ingress": {**INGRESS, "path": "/x", "className": "alb"}}, {}, "is rewritten by nginx alone"),
    (
        {"ingress": {**INGRESS, "path": "/x"}, "oauth2": OAUTH2},
        {"kind": "oauth2", "oauth2_client_secret": "x"},
        "kubernetes.ingress.path: a login page needs the whole host",
    ),
    ({}, {"accounts": {"nebius": {}}}, "accounts.nebius: no such cloud; there are: aws, azure,"),
    ({}, {"accounts": {"runpod": {"key": "x"}}}, "accounts.runpod: has the keys api_key, and no others"),
    ({}, {"accounts": {"aws": {"aws_access_key_id": "x"}}}, "aws_access_key_id, aws_secret_access_key"),
    (
        {"accountSecrets": {"runpod": "x"}},
        {"accounts": {"runpod": {"api_key": "x"}}},
        "accounts.runpod: is given twice",
    ),
    ({}, {"env": {"A-B": "x"}}, "env.A-B: is not the name of an environment variable"),
    ({}, {"env": {"SKYPILOT_INITIAL_BASIC_AUTH": "skypilot:x"}}, "is set by other arguments"),
    ({}, {"env": {"ENABLE_BASIC_AUTH": "false"}}, "env.ENABLE_BASIC_AUTH: is set by other arguments"),
    ({}, {"env": {"SKYPILOT_DISABLE_BASIC_AUTH_MIDDLEWARE": "true"}}, "is set by other arguments"),
    ({}, {"env": {"SKYPILOT_AUTH_USER_HEADER": "x"}}, "is set by other arguments"),
    ({}, {"files": {"/etc/passwd": "x"}}, "files./etc/passwd: must be a path inside the server's home"),
    ({}, {"files": {"a/../../b": "x"}}, "must be a path inside the server's home"),
    (
        {"accountSecrets": {"lambda": "x"}},
        {"files": {".lambda_cloud/lambda_keys": "x"}},
        "files..lambda_cloud/lambda_keys: is what the account of lambda writes",
    ),
    ({"volumes": [{"secret": "x", "path": ".sky"}]}, {}, "kubernetes.volumes: .sky is the server's own"),
    ({"volumes": [{"secret": "x", "path": "a/.."}]}, {}, "or outside of its home"),
    (
        {"volumes": [{"secret": "x", "path": ".paperspace"}], "accountSecrets": {"paperspace": "p"}},
        {},
        "kubernetes.volumes: .paperspace can't be written into",
    ),
    ({"workloads": {"namespace": "skypilot"}}, {}, "what runs in the server's own could read its secrets"),
    (
        {"workloads": {"enabled": False, "rules": [{"resources": ["pods"], "verbs": ["get"]}]}},
        {},
        "kubernetes.workloads: rules need workloads.enabled",
    ),
    (
        {"workloads": {"rules": [{"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}]}},
        {},
        "an API group must have a name, not *",
    ),
    ({"chart": "x", "storage": {"existingClaim": "y"}}, {}, "kubernetes.chart: takes no storage.existing"),
    ({"chartValues": {"a": 1}}, {}, "kubernetes.chart_values: needs kubernetes.chart"),
    (
        {"chart": "x", "ingress": INGRESS, "oauth2": OAUTH2},
        {"kind": "oauth2", "oauth2_client_secret": "x"},
        "kubernetes.chart: auth of kind oauth2 is only in our own objects",
    ),
]


@pytest.mark.parametrize(("on", "more", "said"), REFUSED)
def test_what_does_not_fit_is_refused(on, more, said):
    with pytest.raises(pydantic.ValidationError, match=re.escape(said)):
        args(on, **more)


FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"version": "latest"}, "version"),
    ({"version": "nightly"}, "version"),
    ({"image": "berkeleyskypilot/skypilot:latest@x"}, "image"),
    ({"digest": "sha256:abc"}, "digest"),
    ({"workloads": {"rules": [{"resources": ["*"], "verbs": ["get"]}]}}, "resources"),
    ({"workloads": {"rules": [{"resources": ["pods"], "verbs": ["*"]}]}}, "verbs"),
    ({"oauth2": {**OAUTH2, "issuer": "http://id.example.com"}}, "issuer"),
    ({"oauth2": {**OAUTH2, "image": "quay.io/oauth2-proxy/oauth2-proxy:latest"}}, "image"),
    ({"oauth2": {**OAUTH2, "emailDomains": []}}, "emailDomains"),
    ({"ingress": {"host": "localhost"}}, "host"),
    ({"replicas": 0}, "replicas"),
    ({"graceS": 5}, "graceS"),
    ({"accountSecrets": {"nebius": "x"}}, "accountSecrets"),
    ({"namespaces": "x"}, "namespaces"),
    ({"memory": "8 Gi"}, "memory"),
]


@pytest.mark.parametrize(("on", "where"), FIELDS)
def test_a_field_that_holds_no_such_thing(on, where):
    with pytest.raises(pydantic.ValidationError, match=where):
        OnKubernetes.model_validate_json(json.dumps(on))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kubernetes": OnKubernetes()}, "kubernetes is for target kubernetes"),
        ({"database_url": URL}, "database_url is for target kubernetes"),
        ({"accounts": {"aws": {}}}, "accounts is for target kubernetes"),
        ({"auth": SkyPilotAuth(kind="oauth2")}, "auth of kind oauth2 is for target kubernetes"),
    ],
)
def test_what_is_for_kubernetes_is_refused_on_this_machine(more, said):
    with pytest.raises(pydantic.ValidationError, match=said):
        SkyPilotApiServerArgs(**more)


@pytest.mark.parametrize("name", ["Sky", "1sky", "sky-", "sky_a", "s" * 41, ""])
def test_a_name_that_kubernetes_would_refuse(name):
    assert name_problem(name)
    assert not name_problem("sky-team-1")


def test_the_published_password_is_refused_however_it_is_written():
    for password in ("skypilot", "SkyPilot", " skypilot "):
        assert "publishes" in refused_password(password)
    assert refused_password("correct-horse-battery") == ""


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["", "m", "k", "M", "Gi", "Ti"]))
def test_quantities_are_ordered_as_numbers(number: Decimal, unit: str):
    factor = quantity(f"1{unit}")
    assert quantity(f"{number}{unit}") == number * factor
    assert (
        quantity("1m") < quantity("1") < quantity("1k") < quantity("1M") < quantity("1Gi") < quantity("1Ti")
    )


def test_no_secret_in_a_representation():
    made = args(
        password="canary-password",
        database_url="postgresql://canary",
        accounts={"runpod": {"api_key": "canary"}},
        files={"a": "canary"},
        env={"A": "canary"},
    )
    assert "canary" not in repr(made)


@pytest.mark.parametrize("cloud", sorted(ACCOUNTS))
def test_every_key_of_an_account_is_in_a_file(cloud):
    made = copies(cloud, "/mount")
    used = [key for file in made for key in file["from"]]
    assert sorted(used) == sorted(keys_of(cloud))
    for file in made:
        assert not file["to"].startswith("/")
        places = set(re.findall(r"<([a-z_]+)>", file.get("text", "")))
        assert places == (set(file["from"]) if "text" in file else set())
        assert len(file["from"]) == 1 or "text" in file


def test_paperspace_finds_its_key():
    (file,) = copies("paperspace", "/m")
    assert json.loads(file["text"].replace("<api_key>", "k")) == {"apiKey": "k"}


nested = st.recursive(
    st.integers() | st.lists(st.integers()), lambda each: st.dictionaries(st.sampled_from("abc"), each)
)
trees = st.dictionaries(st.sampled_from("abc"), nested)


@given(trees, trees)
def test_values_of_a_chart_can_not_undo_ours(theirs: Any, ours: Any):
    def holds(found: Any, wanted: Any, given: Any) -> bool:
        if isinstance(wanted, dict) and isinstance(given, dict):
            return all(holds(found[key], value, given.get(key)) for key, value in wanted.items())
        if isinstance(wanted, list) and isinstance(given, list):
            return bool(found == [*given, *wanted])
        return bool(found == wanted)

    both = merged(theirs, ours)
    assert all(holds(both[key], value, theirs.get(key)) for key, value in ours.items())
    assert set(both) == set(theirs) | set(ours)


@pytest.mark.parametrize("keep", [True, False])
def test_the_volume_of_a_chart_stays_as_ours_does(keep):
    claim: dict[str, Any] = {"kind": "PersistentVolumeClaim", "metadata": {"annotations": None}}
    for found, kept in ((claim, keep), ({"kind": "Service"}, None)):
        opts = pulumi.ResourceOptions()
        keep_claim(keep, found, opts)
        assert opts.retain_on_delete == kept
    assert claim["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


def test_the_ingress_waits_for_an_hour_and_takes_large_uploads():
    found = ingress_annotations(ServerIngress(host="a.b", tls_secret="x", path="/sky", wait=False))
    nginx = "nginx.ingress.kubernetes.io/"
    assert found[f"{nginx}proxy-read-timeout"] == found[f"{nginx}proxy-send-timeout"] == "3600"
    assert found[f"{nginx}proxy-body-size"] == "1000m"
    assert found[f"{nginx}force-ssl-redirect"] == "true"
    assert found[f"{nginx}rewrite-target"] == "/$2"
    assert found["pulumi.com/skipAwait"] == "true"
    assert not [key for key in found if "snippet" in key], "controllers refuse snippets by default"
    assert all(isinstance(value, str) for value in found.values())


def test_urls():
    assert url(place()) == "http://sky-api-service.skypilot.svc"
    assert url(place({"ingress": INGRESS})) == "https://sky.example.com"
    assert url(place({"ingress": {**INGRESS, "path": "/team"}})) == "https://sky.example.com/team"


def test_the_image_is_pinned():
    assert image(place()) == "berkeleyskypilot/skypilot:0.14.1"
    digest = f"sha256:{'b' * 64}"
    assert (
        image(place({"version": "0.15.0", "digest": digest})) == f"berkeleyskypilot/skypilot:0.15.0@{digest}"
    )


def test_a_rolling_server_says_so():
    rolling = place(ROLLING, database_url=URL)
    names = {each["name"] for each in own_environment(rolling)}
    assert {"SKYPILOT_ROLLING_UPDATE_ENABLED", "SKYPILOT_APISERVER_UUID"} <= names
    assert strategy(rolling)["rollingUpdate"]["maxUnavailable"] == 0
    assert strategy(place()) == {"type": "Recreate"}


def test_monitoring_is_only_what_was_asked_for():
    for wanted, kinds in (
        ({}, []),
        ({"serviceMonitor": True}, ["ServiceMonitor"]),
        ({"alerts": True}, ["PrometheusRule"]),
    ):
        made = place({"monitoring": wanted})
        assert made.on.monitoring is not None
        assert [kind for kind, _ in custom_resources(made, made.on.monitoring)] == kinds


def test_alerts_are_about_this_server():
    for rule in alerts(place({"monitoring": {"alerts": True}})):
        assert 'namespace="skypilot",service="sky-api-service"' in rule["expr"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert rule["annotations"]["summary"].endswith(".")


def test_a_policy_without_anybody_lets_in_nobody():
    alone = place({"network": {}})
    assert alone.on.network is not None
    assert server_policy(alone, alone.on.network)["ingress"] == []
    open_to = place({"network": {"namespaces": ["a"], "cidrs": ["10.0.0.0/8"]}, "monitoring": {}})
    assert open_to.on.network is not None
    ports = [each["ports"][0]["port"] for each in server_policy(open_to, open_to.on.network)["ingress"]]
    assert ports == [46580, 9090]


BASE = {"target": "kubernetes", "auth": "service_accounts"}


def stack(server: dict[str, Any], **more: Any) -> Any:
    return load({"stackId": "teststck", "skypilotServers": {"sky": server}, **more}, "prod")


def test_a_stack_file_says_what_is_wrong_in_its_own_words():
    on = {"context": "prod", "update": "rolling", "storage": {"enabled": False}}
    spec = {**BASE, "kubernetes": on, "password": "skypilot", "env": {"GPUPLANE_X": "y"}}
    with pytest.raises(pulumi.RunError) as refused:
        server_args(stack(spec))
    said = str(refused.value)
    assert "Pulumi.prod.yaml" in said
    for line in (
        "gpuplane:skypilotServers.sky.password: this is the password",
        "gpuplane:skypilotServers.sky.kubernetes.update: rolling needs a database",
        "gpuplane:skypilotServers.sky.env.GPUPLANE_X: is set by other arguments",
    ):
        assert line in said
    assert "value" not in said.lower().replace("values", "")


def test_the_example_of_the_page_is_a_stack_file():
    page = (REPOSITORY / "docs" / "skypilot-on-kubernetes.md").read_text(encoding="utf-8")
    text = page.split("```yaml\n")[1].split("```")[0].replace("{secure: …}", "key")
    config = {key.removeprefix("gpuplane:"): value for key, value in yaml.safe_load(text)["config"].items()}
    clusters = {"gkeClusters": {"train": {"region": "us-central1", "project": "p"}}}
    made = server_args(load({"stackId": "teststck", **config, **clusters}, "prod"))["sky"]
    assert made.on_kubernetes.cluster == "train"
    assert url(Place("sky", made, pulumi.ResourceOptions())) == "https://sky.example.com"


def test_a_stack_file_becomes_arguments(tmp_path):
    slurm = tmp_path / "config"
    slurm.write_text("Host hall1")
    spec = {
        **BASE,
        "kubernetes": {"kubeconfig": "~/.kube/prod", "context": "prod", "ingress": INGRESS},
        "homeFiles": {".slurm/config": str(slurm)},
        "databaseUrl": "postgresql://sky@db/sky",
        "accounts": {"runpod": {"api_key": "k"}},
    }
    made = server_args(stack(spec))["sky"]
    assert made.target == "kubernetes"
    assert made.on_kubernetes.context == "prod"
    assert set(made.files) == {".slurm/config"}
    assert set(made.accounts) == {"runpod"}
