"""A configuration that breaks no rule, and strategies that make more of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=12)


def example() -> dict[str, Any]:
    """Two clusters, two node classes, one account."""
    return {
        "stackId": "k3v9x2pq",
        "credentials": {"main": {"cloud": "runpod", "apiKey": "canary-key"}},
        "nodeClasses": {
            "small": {"candidates": [{"cloud": "runpod", "credentials": "main", "gpus": ["RTX4090"]}]},
            "big": {
                "order": "price",
                "candidates": [{"cloud": "runpod", "credentials": "main", "gpus": ["H100-SXM"]}],
            },
        },
        "clusters": {
            "chat": {
                "nodes": 2,
                "nodeClass": "small",
                "image": "vllm/vllm-openai",
                "ports": ["8000/http", "22/tcp"],
                "readiness": {"kind": "http"},
            },
            "embed": {"nodeClass": "big", "image": "vllm/vllm-openai"},
        },
    }


@st.composite
def groups(draw: st.DrawFn, accounts: list[str]) -> dict[str, Any]:
    """A candidate group of one of the accounts."""
    group: dict[str, Any] = {
        "cloud": "runpod",
        "credentials": draw(st.sampled_from(accounts)),
        "gpus": draw(st.lists(TEXT, min_size=1, max_size=3)),
    }
    optional = {
        "regions": st.lists(TEXT, max_size=3),
        "gpuCount": st.integers(1, 16),
        "capacity": st.sampled_from(["on_demand", "spot", "reserved", "flex", "block"]),
        "priority": st.integers(0, 200),
        "bidPerGpuUsd": st.floats(0.01, 50),
    }
    return group | draw(st.fixed_dictionaries({}, optional=optional))


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """A whole configuration that breaks no rule."""
    accounts = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    keys = st.one_of(
        st.fixed_dictionaries({"apiKey": TEXT}),
        st.fixed_dictionaries({"apiKeyEnv": st.just("RUNPOD_API_KEY")}),
        st.fixed_dictionaries({"apiKeySecret": st.just({"name": "keys", "key": "runpod"})}),
    )
    endpoints = st.fixed_dictionaries(
        {}, optional={"endpoint": st.sampled_from(["emulator", "https://api.example.com/v2"])}
    )
    classes = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    lists = st.lists(groups(accounts), min_size=1, max_size=3)
    cluster = st.fixed_dictionaries(
        {"image": TEXT, "nodes": st.integers(0, 9)},
        optional={
            "diskGb": st.integers(1, 100_000),
            "env": st.dictionaries(st.from_regex(r"[A-Z_]{1,6}", fullmatch=True), TEXT, max_size=2),
            "args": TEXT,
            "rolling": st.booleans(),
            "keepOnFailure": st.booleans(),
            "maxHourlyUsd": st.floats(0.01, 1000),
            "expiresAt": st.just("2027-01-31T18:00:00Z"),
            "ports": st.lists(st.sampled_from(["1/tcp", "80/http", "22/tcp"]), unique=True),
            "replaceTrigger": TEXT,
        },
    )
    sources = st.one_of(
        st.fixed_dictionaries({"nodeClass": st.sampled_from(classes)}),
        st.fixed_dictionaries({"candidates": lists}),
    )
    return {
        "stackId": draw(st.from_regex(r"[a-z0-9]{8}", fullmatch=True)),
        "credentials": {name: {"cloud": "runpod", **draw(keys), **draw(endpoints)} for name in accounts},
        "nodeClasses": {
            name: {"candidates": draw(lists), "order": draw(st.sampled_from(["listed", "price"]))}
            for name in classes
        },
        "clusters": {
            name: {**draw(cluster), **draw(sources)}
            for name in draw(st.lists(NAMES, max_size=3, unique=True))
        },
    }
