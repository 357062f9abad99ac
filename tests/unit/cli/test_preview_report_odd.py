"""Previews that no engine would print, clouds that do not answer, and kinds of resources that are rare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.errors import CliError
from cli.preview import read_preview, render
from cli.preview.lines import lines_of
from cli.preview.offered import catalogue_quotes, live_quotes
from cli.preview.quotes import Key, wanted
from cli.pulumi_cli import Pulumi
from tests.unit.cli.previewed import candidate, living, planned, state, step, stream

SKYPILOT = "pulumi-python:dynamic/skypilot:SkyPilotCluster"
EKS = "gpuplane:kubernetes:EksGpuCluster"

KEYS = (
    *("candidate", "candidates", "capacity", "cloud", "gpu", "gpuCount", "image", "nodes", "candidateInfra"),
    *("hourlyUsd", "estimatedHourlyUsd", "estimatedHourly", "estimateSource", "min", "max", "pools", "gpus"),
)
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["[secret]", "same"]))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
ODD = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
PATHS = st.sampled_from(
    ["image", "candidates[0].gpu", "candidates[9]", 'nodes["a"]', "gpu.x", "", "[", "__provider"]
)


@settings(deadline=None)
@given(
    st.sampled_from(["pulumi-python:dynamic/gpu:GpuNode", SKYPILOT, EKS, "aws:s3/bucket:Bucket", ""]),
    st.sampled_from(["create", "update", "replace", "delete", "same", "delete-replaced", "read", "?"]),
    st.tuples(ODD, ODD, ODD, ODD),
    st.lists(PATHS, max_size=4),
)
def test_any_values_are_reported(kind: str, op: str, odd: tuple[Any, ...], paths: list[str]) -> None:
    old = state("it", kind, inputs=odd[0], outputs=odd[1], id=odd[0])
    new = state("it", kind, inputs=odd[2], outputs=odd[3])
    text = stream(step(op, old=old, new=new, diff=dict.fromkeys(paths, "update-replace")))
    preview = read_preview(text)
    lines = lines_of(preview, [old])
    shown = render(preview, resources=[old], quotes=catalogue_quotes(wanted(lines)))
    assert shown.startswith("<!-- gpuplane preview-report")
    assert shown.isprintable() or all(char.isprintable() or char == "\n" for char in shown)


@given(st.dictionaries(st.sampled_from(["steps", "diagnostics", "changeSummary", "config"]), ODD, min_size=1))
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    assert render(read_preview(json.dumps(document)))


@given(ODD)
def test_any_event_is_read_or_refused(odd: Any) -> None:
    kinds = ["resourcePreEvent", "diagnosticEvent", "policyEvent", "summaryEvent"]
    try:
        preview = read_preview(json.dumps({"sequence": 1, **dict.fromkeys(kinds, odd)}))
    except CliError:
        return
    assert render(preview)


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity", "9" * 400, "-1", "0", "true", '"x"'])
@pytest.mark.parametrize("key", ["gpuCount", "estimatedHourlyUsd"])
def test_a_number_that_is_none(key: str, number: str) -> None:
    node = planned("chat-0", 0.5, candidates=[candidate(gpuCount="HERE")])
    node["outputs"] |= {key: "HERE", "candidate": candidate(gpuCount="HERE")}
    preview = read_preview(stream(step("create", new=node)).replace('"HERE"', number))
    quotes = catalogue_quotes(wanted(lines_of(preview)))
    assert "| created | chat-0 |" in render(preview, quotes=quotes)


def test_a_skypilot_cluster_before_and_after() -> None:
    inputs = {"accelerators": ["H100:2"], "nodes": 2}
    choices = ["2 nodes of H100:2 on aws/us-east-1 at 12.00 USD/h", "2 nodes of H100:2 on gcp at 13.00 USD/h"]
    told = {"estimatedHourlyUsd": 12.0, "estimateSource": "SkyPilot catalogue", "estimateDate": "2026-11-27"}
    new = state("train", SKYPILOT, inputs=inputs, outputs={"candidateInfra": choices, **told})
    text = render(read_preview(stream(step("create", new=new))))
    assert "skypilot 2 nodes of H100:2 on aws/us-east-1 at 12.00 USD/h or 1 more | 0.00 → 12.00 |" in text
    assert "SkyPilot catalogue, 2026-11-27" in text

    outputs = {"place": "aws/us-east-1", "gpus": {"H100": 2}, "hourlyUsd": 11.5}
    old = state("train", SKYPILOT, inputs=inputs, outputs=outputs, id="x")
    text = render(read_preview(stream(step("delete", old=old))))
    assert "| deleted | train | skypilot aws/us-east-1 H100 x2 | 11.50 → 0.00 |" in text


def test_the_catalogue_prices_what_it_knows() -> None:
    known = Key("runpod", "main", "US-CA-2", "H100-SXM", 1, "on_demand")
    strange = Key("nowhere", "main", "", "H9000", 1, "sometimes")
    quotes = catalogue_quotes([known, strange])
    assert list(quotes) == [known]
    quote = quotes[known]
    assert quote.hourly_usd and quote.availability == "" and ", 20" in quote.source


def test_clouds_that_can_not_be_asked_are_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(pulumi: Pulumi) -> None:
        raise CliError(f"stack {pulumi.stack} has no credential set\nmore")

    monkeypatch.setattr("cli.session.open_session", refuse)
    key = Key("runpod", "main", "US-CA-2", "H100-SXM", 1, "on_demand")
    quotes, notes = live_quotes(Pulumi(tmp_path, {}, "prod"), [key])
    assert quotes == catalogue_quotes([key])
    assert notes == ["what is to be had now is not known: stack prod has no credential set"]


def test_what_only_the_state_knows_stays_where_the_preview_succeeded() -> None:
    preview = read_preview(stream(step("create", new=planned("chat-1", 0.5, candidates=[candidate()]))))
    text = render(preview, resources=[living("chat-0", 0.44)], notes=["lambda could not be asked: timeout"])
    assert "**Cost: 0.44 → 0.94 USD/hour (+0.50)" in text
    assert "- lambda could not be asked: timeout" in text
