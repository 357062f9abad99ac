"""Every wrong configuration ends in the exact lines that a person reads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from stack_config import StackConfigError, load
from tests.unit.stack_config.examples import example

Change = Callable[[dict[str, Any]], object]


def chat(**changes: object) -> Change:
    return lambda values: values["clusters"]["chat"].update(changes)


def drop(*keys: str) -> Change:
    return lambda values: [values["clusters"]["chat"].pop(key) for key in keys]


def account(**changes: object) -> Change:
    return lambda values: values["credentials"]["main"].update(changes)


def server(**changes: object) -> Change:
    """A SkyPilot server besides the other accounts."""
    given = {"cloud": "skypilot", "endpoint": "http://127.0.0.1:46580", **changes}
    return lambda values: values["credentials"].update(sky=given)


def group(**changes: object) -> Change:
    return lambda values: values["nodeClasses"]["small"]["candidates"][0].update(changes)


CASES: dict[str, tuple[Change, str]] = {
    "no stack id": (
        lambda values: values.pop("stackId"),
        "stackId: is missing; run `gpuplane init`, which writes one into this file",
    ),
    "bad stack id": (
        lambda values: values.update(stackId="Dev"),
        "stackId: must be 8 lower-case letters or digits; delete it and run `gpuplane init`",
    ),
    "number as stack id": (
        lambda values: values.update(stackId=12345678),
        "stackId: must be text, not a number",
    ),
    "unknown top key": (
        lambda values: values.update(cluster={}),
        'cluster: unknown key; did you mean "clusters"?',
    ),
    "clusters as list": (
        lambda values: values.update(clusters=[]),
        "clusters: must be an object of names and values, not a list",
    ),
    "unknown key, near": (chat(nodez=3), 'clusters.chat.nodez: unknown key; did you mean "nodes"?'),
    "unknown key, far": (
        lambda values: values["credentials"]["main"].update(zzz=1),
        "credentials.main.zzz: unknown key; use one of allowInsecure, allowedSources, apiKey, apiKeyEnv, "
        "apiKeySecret, caFile, cloud, endpoint, features, user, workspace",
    ),
    "unknown feature": (
        account(features=["graphq"]),
        "credentials.main.features[0]: is not a valid value; "
        'did you mean "graphql"? use one of bare, graphql',
    ),
    "SkyPilot without a server": (
        server(endpoint=""),
        "credentials.sky.endpoint: has no endpoint; give the address of the SkyPilot server",
    ),
    "SkyPilot's emulator": (
        server(endpoint="emulator"),
        "credentials.sky.endpoint: there is no emulator of SkyPilot; give the address of the SkyPilot server",
    ),
    "SkyPilot on plain http": (
        server(endpoint="http://sky.example.com"),
        "credentials.sky.endpoint: must be https unless it is on this machine",
    ),
    "SkyPilot, a user without password": (
        server(user="admin"),
        "credentials.sky: has no API key; run `pulumi config set --secret --path "
        "gpuplane:credentials.sky.apiKey`, or give apiKeyEnv or apiKeySecret",
    ),
    "SkyPilot, a user with a colon": (
        server(user="a:b", apiKey="password"),
        "credentials.sky.user: a user name has no colon in it",
    ),
    "SkyPilot, another cloud's feature": (
        server(features=["graphql"]),
        "credentials.sky.features[0]: skypilot has no feature 'graphql'",
    ),
    "workspace of another cloud": (
        account(workspace="team-a"),
        "credentials.main.workspace: is for skypilot, not for runpod",
    ),
    "cache without regions": (
        lambda values: values["nodeClasses"]["small"].update(weightsCache={"sizeGb": 100}),
        "nodeClasses.small.candidates[0].regions: is empty, but a weightsCache is in one place, and nodes go "
        "only where it may be; name regions or groups like eu-central",
    ),
    "cache too small": (
        lambda values: values["nodeClasses"]["small"].update(weightsCache={"sizeGb": 9}),
        "nodeClasses.small.weightsCache.sizeGb: must be at least 10",
    ),
    "bid of nothing": (
        group(bidPerGpuUsd=0),
        "nodeClasses.small.candidates[0].bidPerGpuUsd: must be above 0",
    ),
    "snake case key": (chat(disk_gb=5), 'clusters.chat.disk_gb: unknown key; did you mean "diskGb"?'),
    "unknown class": (
        chat(nodeClass="smal"),
        'clusters.chat.nodeClass: no node class "smal"; did you mean "small"? use one of big, small, '
        "or declare it under gpuplane:nodeClasses",
    ),
    "unknown class, far": (
        chat(nodeClass="zzzz"),
        'clusters.chat.nodeClass: no node class "zzzz"; use one of big, small, '
        "or declare it under gpuplane:nodeClasses",
    ),
    "class and candidates": (
        chat(candidates=[{"cloud": "runpod", "credentials": "main", "gpus": ["L4"]}]),
        "clusters.chat: has nodeClass and candidates; keep one of them",
    ),
    "neither class nor candidates": (
        drop("nodeClass"),
        "clusters.chat: has neither nodeClass nor candidates; give one of them",
    ),
    "all disabled": (
        group(enabled=False),
        "clusters.chat: every candidate is disabled; set enabled: true on one",
    ),
    "unknown credentials": (
        group(credentials="mian"),
        'nodeClasses.small.candidates[0].credentials: no credential set "mian"; did you mean "main"? '
        "use one of main, or declare it under gpuplane:credentials",
    ),
    "unknown cloud": (
        group(cloud="runpd"),
        'nodeClasses.small.candidates[0].cloud: is not a valid value; did you mean "runpod"? '
        "use one of lambda, paperspace, runpod, skypilot, vast",
    ),
    "no gpus": (
        lambda values: values["nodeClasses"]["small"]["candidates"][0].pop("gpus"),
        "nodeClasses.small.candidates[0].gpus: is required; GPU names, preferred first",
    ),
    "empty gpus": (group(gpus=[]), "nodeClasses.small.candidates[0].gpus: must have at least one entry"),
    "empty gpu name": (group(gpus=[""]), "nodeClasses.small.candidates[0].gpus[0]: must not be empty"),
    "no candidates": (
        lambda values: values["nodeClasses"]["small"].update(candidates=[]),
        "nodeClasses.small.candidates: must have at least one entry",
    ),
    "nodes as text": (chat(nodes="2"), "clusters.chat.nodes: must be a whole number, not text"),
    "nodes as fraction": (chat(nodes=1.5), "clusters.chat.nodes: must be a whole number, not a number"),
    "nodes as bool": (chat(nodes=True), "clusters.chat.nodes: must be a whole number, not true or false"),
    "negative nodes": (chat(nodes=-1), "clusters.chat.nodes: must be at least 0"),
    "too many GPUs": (chat(gpuCount=17), "clusters.chat.gpuCount: must be at most 16"),
    "bool as text": (chat(rolling="yes"), "clusters.chat.rolling: must be true or false, not text"),
    "image as null": (chat(image=None), "clusters.chat.image: must be text, not nothing"),
    "bad capacity": (
        chat(capacity="ondemand"),
        'clusters.chat.capacity: is not a valid value; did you mean "on_demand"? '
        "use one of block, flex, on_demand, reserved, spot",
    ),
    "price of zero": (chat(maxHourlyUsd=0), "clusters.chat.maxHourlyUsd: must be above 0"),
    "price as text": (chat(maxHourlyUsd="4"), "clusters.chat.maxHourlyUsd: must be a number, not text"),
    "infinite price": (
        chat(maxHourlyUsd=float("inf")),
        "clusters.chat.maxHourlyUsd: must be a finite number, not a number",
    ),
    "cap above budget": (
        chat(maxHourlyUsd=9, budgetHourlyUsd=6),
        "clusters.chat.maxHourlyUsd: is above budgetHourlyUsd (6), so it can never be reached; "
        "use at most 3 for 2 node(s)",
    ),
    "time without zone": (
        chat(expiresAt="2027-01-31T18:00:00"),
        "clusters.chat.expiresAt: must be a time with its zone, like 2027-01-31T18:00:00Z, not text",
    ),
    "port as number": (chat(ports=[8000]), "clusters.chat.ports[0]: must be text, not a number"),
    "port without protocol": (
        chat(ports=["8000"]),
        "clusters.chat.ports[0]: must look like 8000/http or 22/tcp",
    ),
    "port out of range": (
        chat(ports=["8000/http", "70000/tcp"]),
        "clusters.chat.ports[1]: the port must be from 1 to 65535",
    ),
    "port twice": (
        chat(ports=["8000/http", "8000/http"]),
        "clusters.chat.ports[1]: 8000/http is listed twice",
    ),
    "readiness without port": (
        chat(ports=["22/tcp"]),
        "clusters.chat.readiness.kind: the cluster has no http port to ask; add one to ports, like 8000/http",
    ),
    "readiness of another port": (
        chat(readiness={"kind": "http", "port": 8001}),
        "clusters.chat.readiness.port: 8001 is not a http port of the cluster; "
        'did you mean "8000"? use one of 8000',
    ),
    "readiness path": (
        chat(readiness={"kind": "http", "path": "health"}),
        "clusters.chat.readiness.path: must start with / and hold no white space",
    ),
    "no command": (
        chat(readiness={"kind": "command"}),
        "clusters.chat.readiness.command: is required for kind command; give what the node runs",
    ),
    "a command for nothing": (
        chat(readiness={"kind": "http", "command": "true"}),
        "clusters.chat.readiness.command: is not run for kind http; use kind: command",
    ),
    "two SSH keys": (
        chat(readiness={"gpu": True, "sshKey": "a", "sshKeyFile": "b"}),
        "clusters.chat.readiness: has sshKey and sshKeyFile; keep one of them",
    ),
    "image and template": (
        chat(template="abc"),
        "clusters.chat: has image and template; keep one of them",
    ),
    "neither image nor template": (
        drop("image"),
        "clusters.chat: has neither image nor template; give one of them",
    ),
    "key twice": (
        chat(env={"VLLM_API_KEY": "k"}, apiKey="k"),
        "clusters.chat.env.VLLM_API_KEY: is what apiKey sets; keep one of them",
    ),
    "empty key": (chat(apiKey=""), "clusters.chat.apiKey: must not be empty"),
    "bad variable": (
        chat(env={"A-B": "1"}),
        "clusters.chat.env.A-B: is not the name of an environment variable",
    ),
    "rolling, created first": (
        chat(rolling=True, deleteBeforeReplace=False),
        "clusters.chat.rolling: replaces each node in place, deleteBeforeReplace: false makes all new ones "
        "first; keep one of them",
    ),
    "adopt an unknown node": (
        chat(adoptIds={"chat-2": "pod1"}),
        'clusters.chat.adoptIds.chat-2: is not a node of this cluster; did you mean "chat-1"? '
        "use names like chat-0",
    ),
    "no key": (
        lambda values: values["credentials"]["main"].pop("apiKey"),
        "credentials.main: has no API key; "
        "run `pulumi config set --secret --path gpuplane:credentials.main.apiKey`, "
        "or give apiKeyEnv or apiKeySecret",
    ),
    "two keys": (
        account(apiKeyEnv="RUNPOD_API_KEY"),
        "credentials.main: has apiKey and apiKeyEnv; keep one of them",
    ),
    "key in place of a variable": (
        lambda values: values["credentials"].update(main={"cloud": "runpod", "apiKeyEnv": "canary-key"}),
        "credentials.main.apiKeyEnv: must be the name of an environment variable, not a key itself",
    ),
    "key as number": (account(apiKey=5), "credentials.main.apiKey: must be text, not a number"),
    "reference without name": (
        lambda values: values["credentials"].update(main={"cloud": "runpod", "apiKeySecret": {"key": "k"}}),
        "credentials.main.apiKeySecret.name: is required; Name of the secret",
    ),
    "endpoint typo": (
        account(endpoint="emulater"),
        'credentials.main.endpoint: is not a URL; did you mean "emulator"? use https://… or emulator',
    ),
    "endpoint in the clear": (
        account(endpoint="http://api.example.com"),
        "credentials.main.endpoint: must be https unless it is on this machine",
    ),
    "endpoint with a password": (
        account(endpoint="https://user:canary-key@api.example.com"),
        "credentials.main.endpoint: must hold no user, password, query or fragment; use apiKey for the key",
    ),
    "bad port of endpoint": (
        account(endpoint="https://api.example.com:x"),
        "credentials.main.endpoint: is not a URL",
    ),
    "bad name": (
        lambda values: values["clusters"].update(Chat_A=values["clusters"].pop("chat")),
        "clusters.Chat_A: a name has lower-case letters, digits and inner hyphens only; "
        'did you mean "chat-a"?',
    ),
    "long name": (
        lambda values: values["clusters"].update({"c" * 23: values["clusters"].pop("chat")}),
        f"clusters.{'c' * 23}: its node names have up to 25 characters; the limit is 24; "
        "shorten the cluster's name by 1",
    ),
    "bad tolerance": (
        lambda values: values.update(settings={"priceTolerancePct": -1}),
        "settings.priceTolerancePct: must be at least 0",
    ),
}


@pytest.mark.parametrize(("change", "line"), CASES.values(), ids=CASES)
def test_one_mistake_is_one_line(change: Change, line: str) -> None:
    values = copy.deepcopy(example())
    change(values)
    with pytest.raises(StackConfigError) as caught:
        load(values, "organization/gpuplane/prod")
    assert caught.value.message == f"Pulumi.prod.yaml: gpuplane:{line}"
    assert "canary" not in str(caught.value)


def test_several_mistakes_are_a_list() -> None:
    values = example()
    values["clusters"]["chat"].update(nodes="two", capacity="spott")
    values["nope"] = 1
    with pytest.raises(StackConfigError) as caught:
        load(values, "dev")
    head, *lines = caught.value.message.splitlines()
    assert head == "Pulumi.dev.yaml: 3 errors"
    assert {line.split(": ")[0] for line in lines} == {
        "  gpuplane:clusters.chat.nodes",
        "  gpuplane:clusters.chat.capacity",
        "  gpuplane:nope",
    }


def test_rules_of_different_places_are_told_together() -> None:
    values = example()
    del values["stackId"]
    values["clusters"]["chat"]["nodeClass"] = "smal"
    values["clusters"]["embed"]["ports"] = ["1/http", "1/http"]
    with pytest.raises(StackConfigError) as caught:
        load(values, "dev")
    assert [problem.path for problem in caught.value.problems] == [
        "gpuplane:stackId",
        "gpuplane:clusters.chat.nodeClass",
        "gpuplane:clusters.embed.ports[1]",
    ]
