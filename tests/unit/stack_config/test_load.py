"""What every valid configuration keeps, and what every typing error gets to hear."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gpu_clouds.registry import CLOUDS as CLIENTS
from stack_config import (
    CLOUDS,
    CandidateGroup,
    Cluster,
    CredentialSource,
    NodeClass,
    Readiness,
    Settings,
    StackConfig,
    StackConfigError,
    load,
    readiness_port,
)
from stack_config.models import FEATURES
from tests.unit.stack_config.examples import configurations, example


def revealed(model: BaseModel) -> Any:
    """A model as the JSON that it came from, with its secrets and without what was left out."""
    data = model.model_dump(by_alias=True, exclude_unset=True)
    return json.loads(
        json.dumps(
            data, default=lambda v: v.get_secret_value() if hasattr(v, "get_secret_value") else v.isoformat()
        ).replace("+00:00", "Z")
    )


def as_values(config: StackConfig) -> dict[str, Any]:
    return {
        "stackId": config.stack_id,
        "credentials": {name: revealed(source) for name, source in config.credentials.items()},
        "nodeClasses": {name: revealed(found) for name, found in config.node_classes.items()},
        "clusters": {name: revealed(cluster) for name, cluster in config.clusters.items()},
    }


@settings(max_examples=60, deadline=None)
@given(configurations())
def test_a_valid_configuration_round_trips(values: dict[str, Any]) -> None:
    config = load(values, "dev")
    assert as_values(config) == values
    assert load(as_values(config), "dev") == config


@settings(max_examples=60, deadline=None)
@given(configurations())
def test_candidates_are_all_pairs_of_gpu_and_region_in_order_of_priority(values: dict[str, Any]) -> None:
    config = load(values, "dev")
    for name, cluster in config.clusters.items():
        raw = values["clusters"][name]
        written = raw.get("candidates") or values["nodeClasses"][raw["nodeClass"]]["candidates"]
        expected = [
            (group.get("priority", 100), group["credentials"], gpu, region)
            for group in written
            for gpu in group["gpus"]
            for region in group.get("regions") or [""]
        ]
        ordered = [pair[1:] for pair in sorted(expected, key=lambda pair: pair[0])]
        got = config.candidates(name)
        assert len(set(got)) == len(got)
        assert {(c.credentials, c.gpu, c.region) for c in got} == set(ordered)
        firsts = [(c.credentials, c.gpu, c.region) for c in got]
        assert list(dict.fromkeys(firsts)) == list(dict.fromkeys(ordered))
        assert len([n for n in config.node_names() if n.rpartition("-")[0] == name]) == cluster.nodes


MODELS: dict[str, tuple[type[BaseModel], Any]] = {
    "credentials.main.": (CredentialSource, lambda values: values["credentials"]["main"]),
    "nodeClasses.small.": (NodeClass, lambda values: values["nodeClasses"]["small"]),
    "nodeClasses.small.candidates[0].": (
        CandidateGroup,
        lambda values: values["nodeClasses"]["small"]["candidates"][0],
    ),
    "clusters.chat.": (Cluster, lambda values: values["clusters"]["chat"]),
    "clusters.chat.readiness.": (Readiness, lambda values: values["clusters"]["chat"]["readiness"]),
    "settings.": (Settings, lambda values: values.setdefault("settings", {})),
}
KEYS = [
    (where, str(field.alias)) for where, (model, _) in MODELS.items() for field in model.model_fields.values()
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KEYS), st.data())
def test_a_typing_error_in_a_key_names_a_near_key(place: tuple[str, str], data: st.DataObject) -> None:
    where, key = place
    model, find = MODELS[where]
    valid = {str(field.alias) for field in model.model_fields.values()}
    at = data.draw(st.integers(1, len(key) - 1), label="position")
    typo = data.draw(
        st.sampled_from(
            [
                key[:at] + key[at + 1 :],
                key[:at] + "q" + key[at:],
                key[:at] + key[at].swapcase() + key[at + 1 :],
            ]
        )
    )
    if typo in valid:
        return
    values = example()
    find(values)[typo] = 1
    with pytest.raises(StackConfigError) as caught:
        load(values, "dev")
    problem = next(p for p in caught.value.problems if p.rule == "unknown key")
    assert problem.path == f"gpuplane:{where}{typo}"
    # Two keys may be equally near (`apiKey`, `apiKeyEnv`); the one that was meant is near enough to be told.
    assert problem.nearest in valid
    assert problem.nearest == key or problem.nearest[:3] == key[:3]


def test_no_secret_shows_in_the_text_of_a_configuration() -> None:
    values = example()
    values["clusters"]["chat"].update(
        apiKey="canary-a",
        env={"TOKEN": "canary-b"},
        startup="canary-c",
        readiness={"kind": "http", "headers": {"A": "canary-d"}},
    )
    config = load(values, "dev")
    assert "canary" not in repr(config)
    assert "canary" not in str(config)


def test_a_configuration_can_not_be_changed() -> None:
    config = load(example(), "dev")
    with pytest.raises(ValueError, match="frozen"):
        config.clusters["chat"].nodes = 3  # type: ignore[misc]


def test_the_clouds_that_may_be_named_are_those_that_have_a_client() -> None:
    assert set(CLOUDS) == set(CLIENTS)
    assert set(CandidateGroup.model_fields["cloud"].annotation.__args__) == set(CLIENTS)  # type: ignore[union-attr]


def test_features_are_those_of_the_clients() -> None:
    of_clients = {name: tuple(info.features) for name, info in CLIENTS.items() if info.features}
    assert of_clients == FEATURES


def test_a_bid_goes_with_its_group() -> None:
    values = example()
    values["nodeClasses"]["small"]["candidates"][0].update(capacity="spot", bidPerGpuUsd=0.25)
    bids = [candidate.bid_per_gpu_usd for candidate in load(values, "dev").candidates("chat")]
    assert 0.25 in bids


def test_a_weights_cache_belongs_to_its_class() -> None:
    values = example()
    values["nodeClasses"]["small"]["weightsCache"] = {"sizeGb": 100, "keep": True}
    values["nodeClasses"]["small"]["candidates"][0]["regions"] = ["eu-central"]
    config = load(values, "dev")
    found = config.weights_cache("chat")
    assert found is not None
    assert (found[0], found[1].size_gb, found[1].path, found[1].keep) == ("small", 100, "/weights", True)
    assert config.weights_cache("embed") is None
    assert list(config.weights_caches()) == ["small"]


def test_a_class_with_a_cache_has_a_short_name() -> None:
    values = example()
    values["nodeClasses"]["x" * 19] = values["nodeClasses"]["small"] | {"weightsCache": {"sizeGb": 100}}
    values["nodeClasses"]["x" * 19]["candidates"][0]["regions"] = ["eu-central"]
    with pytest.raises(StackConfigError, match="its name has at most 18 characters, not 19"):
        load(values, "dev")


def test_the_cluster_fills_in_what_a_candidate_leaves_out() -> None:
    values = example()
    values["clusters"]["chat"].update(gpuCount=4, capacity="spot")
    values["nodeClasses"]["small"]["candidates"].append(
        {
            "cloud": "runpod",
            "credentials": "main",
            "gpus": ["L4"],
            "gpuCount": 1,
            "capacity": "on_demand",
            "priority": 1,
        }
    )
    first, second = load(values, "dev").candidates("chat")
    assert (first.gpu, first.gpu_count, first.capacity) == ("L4", 1, "on_demand")
    assert (second.gpu, second.gpu_count, second.capacity) == ("RTX4090", 4, "spot")


def test_order_of_the_cluster_wins_over_the_class() -> None:
    values = example()
    assert load(values, "dev").order("embed") == "price"
    assert load(values, "dev").order("chat") == "listed"
    values["clusters"]["embed"]["order"] = "listed"
    assert load(values, "dev").order("embed") == "listed"


@pytest.mark.parametrize(
    ("readiness", "port"),
    [
        ({"kind": "none"}, 0),
        ({"kind": "http"}, 8000),
        ({"kind": "tcp"}, 22),
        ({"kind": "tcp", "port": 23}, 23),
    ],
)
def test_readiness_asks_the_first_port_that_fits(readiness: dict[str, Any], port: int) -> None:
    values = example()
    values["clusters"]["chat"].update(ports=["8000/http", "22/tcp", "23/tcp"], readiness=readiness)
    assert readiness_port(load(values, "dev").clusters["chat"]) == port


def test_a_server_without_authentication_needs_no_key() -> None:
    values = example()
    values["credentials"]["sky"] = {"cloud": "skypilot", "endpoint": "http://127.0.0.1:46580"}
    values["credentials"]["far"] = {
        "cloud": "skypilot",
        "endpoint": "http://sky.example.com",
        "allowInsecure": True,
        "user": "admin",
        "apiKey": "canary",
        "workspace": "team-a",
        "caFile": "/etc/ca.pem",
        "features": ["bare"],
    }
    sources = load(values, "dev").credentials
    assert sources["sky"].api_key is None and not sources["sky"].allow_insecure
    assert (sources["far"].user, sources["far"].workspace) == ("admin", "team-a")
