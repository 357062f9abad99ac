"""Rules of the SkyPilot sections of a stack file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dynamic_providers.sky_pilot_inputs import SkyPilotClusterInputs
from stack_config import SkyPilotCluster, StackConfigError, load, read_stack_file


def values(**more: Any) -> dict[str, Any]:
    return {
        "stackId": "teststck",
        "credentials": {
            "lab": {"cloud": "skypilot", "endpoint": "http://127.0.0.1:46580"},
            "main": {"cloud": "runpod", "apiKeyEnv": "KEY"},
        },
        "skypilotServers": {"own": {"auth": "service_accounts"}},
        "skypilotTenants": {"acme": {"server": "lab"}},
        "skypilotClusters": {"train": {"server": "lab"}},
        **more,
    }


def problems(**more: Any) -> list[str]:
    with pytest.raises(StackConfigError) as broken:
        load(values(**more), "test")
    return [str(problem) for problem in broken.value.problems]


def test_a_stack_with_servers_tenants_and_clusters():
    found = load(
        values(
            skypilotClusters={
                "train": {"server": "lab"},
                "serve": {"tenant": "acme", "accelerators": ["H100", "A100:8"], "nodes": 2},
                "own": {"server": "own"},
            }
        ),
        "test",
    )
    assert [found.skypilot_server(name) for name in found.skypilot_clusters] == ["lab", "lab", "own"]
    assert found.skypilot_clusters_on("lab") == ("train", "serve")
    assert found.skypilot_clusters_on("own") == ("own",)


def test_the_example_is_a_stack_file():
    example = read_stack_file(Path(__file__).parents[3] / "Pulumi.slurm.yaml")
    found = load({**example, "stackId": "teststck"}, "slurm")
    assert found.skypilot_server("train") == "lab" and found.skypilot_clusters_on("lab") == ("train",)


CLUSTER = "gpuplane:skypilotClusters.train"
SERVER = "gpuplane:skypilotServers.own"
TENANT = "gpuplane:skypilotTenants.acme"


@pytest.mark.parametrize(
    ("cluster", "where", "words"),
    [
        ({}, "", "has neither server nor tenant; give one of them"),
        ({"server": "lab", "tenant": "acme"}, "", "has server and tenant"),
        ({"server": "laab"}, ".server", 'no SkyPilot server "laab"; did you mean "lab"?'),
        ({"server": "main"}, ".server", 'no SkyPilot server "main"'),
        ({"tenant": "acne"}, ".tenant", 'no tenant "acne"; did you mean "acme"?'),
        ({"tenant": "acme", "workspace": "x"}, ".workspace", "is the tenant's own"),
        ({"server": "lab", "autodown": True}, ".autodown", "needs autostopMin"),
        ({"server": "lab", "envs": {"1": "a"}}, ".envs.1", "not the name of an environment variable"),
        ({"server": "lab", "envs": {"A": "a"}, "secrets": {"A": "a"}}, ".secrets.A", "is in envs too"),
        ({"server": "lab", "ports": ["0"]}, ".ports[0]", "from 1 to 65535"),
        ({"server": "lab", "ports": ["8080/http"]}, ".ports[0]", "must look like 8080 or 10000-10020"),
        ({"server": "lab", "accelerators": ["H100 8"]}, ".accelerators[0]", "must look like H100 or A100:8"),
        ({"server": "lab", "cpus": "many"}, ".cpus", "must look like 8 or 8+"),
        ({"server": "lab", "infra": ["a b"]}, ".infra[0]", "must hold no white space"),
        ({"server": "lab", "whenStopped": "stay"}, ".whenStopped", "use one of leave, start"),
    ],
)
def test_mistakes_in_a_cluster(cluster: dict[str, Any], where: str, words: str):
    (problem,) = problems(skypilotClusters={"train": cluster})
    assert problem.startswith(f"{CLUSTER}{where}: ") and words in problem


def test_names_are_part_of_names_on_the_server():
    (long,) = problems(skypilotClusters={"a" * 25: {"server": "lab"}})
    assert "the limit is 24" in long
    node = {"cloud": "runpod", "credentials": "main", "gpus": ["L4"]}
    (twice,) = problems(
        clusters={"train": {"image": "x", "candidates": [node]}},
        skypilotClusters={"train-0": {"server": "lab"}},
    )
    assert "is the name of a node of gpuplane:clusters too" in twice


@pytest.mark.parametrize(
    ("servers", "where", "words"),
    [
        (
            {"lab": {"auth": "service_accounts"}},
            "gpuplane:skypilotServers.lab",
            "is the name of a credential set too",
        ),
        ({"own": {}, "two": {}}, "gpuplane:skypilotServers.two.port", "46580 is the port of own too"),
        ({"own": {"password": "x"}}, f"{SERVER}.password", "needs auth"),
        ({"own": {"homeFiles": {"/etc/x": "y"}}}, f"{SERVER}.homeFiles./etc/x", "inside the server's home"),
        ({"own": {"homeFiles": {"a/../../x": "y"}}}, f"{SERVER}.homeFiles.a/../../x", "inside"),
        ({"own": {"env": {"a b": "c"}}}, f"{SERVER}.env.a b", "environment variable"),
        (
            {"own": {"allowedClouds": ["aws"], "config": {"allowed_clouds": []}}},
            f"{SERVER}.config.allowed_clouds",
            "is what allowedClouds sets",
        ),
    ],
)
def test_mistakes_in_a_server(servers: dict[str, Any], where: str, words: str):
    (problem,) = problems(skypilotServers=servers)
    assert problem.startswith(f"{where}: ") and words in problem


@pytest.mark.parametrize(
    ("tenants", "where", "words"),
    [
        ({"acme": {"server": "x"}}, f"{TENANT}.server", 'no SkyPilot server "x"'),
        ({"acme": {"server": "lab", "role": "root"}}, f"{TENANT}.role", "use one of admin, user"),
        (
            {"acme": {"server": "own", "isolation": "server", "clouds": {"aws": True}}},
            f"{TENANT}.clouds",
            "is for a workspace",
        ),
        (
            {"acme": {"server": "own", "isolation": "server"}, "other": {"server": "own"}},
            f"{TENANT}.isolation",
            "but tenant other uses it too",
        ),
    ],
)
def test_mistakes_in_a_tenant(tenants: dict[str, Any], where: str, words: str):
    (problem,) = problems(skypilotTenants=tenants)
    assert problem.startswith(f"{where}: ") and words in problem


def test_a_server_without_accounts_has_no_tokens():
    tenant = {"server": "own"}
    (problem,) = problems(skypilotServers={"own": {}}, skypilotTenants={"acme": tenant})
    assert problem.startswith(f"{TENANT}.token: ") and "auth: service_accounts" in problem
    without = {"acme": {**tenant, "token": False}}
    assert load(values(skypilotServers={"own": {}}, skypilotTenants=without), "x").skypilot_tenants


def test_a_cluster_means_the_same_in_the_file_and_in_its_resource():
    """Same names and same defaults: what is left out of the file is left out of the inputs."""
    inputs, spec = SkyPilotClusterInputs.model_fields, SkyPilotCluster.model_fields
    both = set(inputs) & set(spec)
    assert set(spec) - both == {"server", "tenant", "delete_before_replace"}
    for name in both:
        ours, theirs = (field.get_default(call_default_factory=True) for field in (inputs[name], spec[name]))
        assert ours == theirs, name
