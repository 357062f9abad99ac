"""The report of a preview: what it says, and that it says it safely and in bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.errors import CliError
from cli.main import run
from cli.preview import LIMIT_BYTES, MARKER, marker, read_preview, render
from cli.preview.amounts import usd
from cli.preview.cost_section import before_and_after
from cli.preview.lines import lines_of
from cli.preview.quotes import Key, Quote
from cli.state import HOURS_A_MONTH
from tests.unit.cli.previewed import (
    GUARD,
    SECRET,
    candidate,
    found,
    living,
    planned,
    said,
    state,
    step,
    stream,
)

CANARY = "hunter2-canary"


def report(*parts: Any, result: str = "succeeded", **more: Any) -> str:
    return render(read_preview(stream(*parts, result=result)), **more)


def row(text: str, name: str) -> list[str]:
    """The cells of the row of a node."""
    line = next(line for line in text.splitlines() if line.startswith("|") and f"| {name}" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_change_with_its_reason_and_money() -> None:
    text = report(
        step("create", new=planned("chat-1", 0.5)),
        step("same", old=living("chat-0", 0.44), new=living("chat-0", 0.44)),
        step(
            "update",
            old=living("embed-0", 0.3, "embed", image="vllm:1", env=SECRET),
            new=living("embed-0", 0.3, "embed", image="vllm:2", env=SECRET),
            diff={"image": "update", "env.TOKEN": "update"},
        ),
        step(
            "replace",
            old=living("big-0", 2.0, "big"),
            new=planned("big-0", 3.5, "big", candidates=[candidate("H100-SXM")]),
            diff={"candidates[0].gpu": "update-replace"},
        ),
        step("delete-replaced", old=living("big-0", 2.0, "big")),
        step("delete", old=living("old-0", 1.25, "old")),
    )
    assert text.startswith("<!-- gpuplane preview-report: test -->\n")
    assert "1 created, 1 replaced, 1 updated, 1 deleted, 1 unchanged" in text
    assert (
        "**Cost: 3.99 → 4.74 USD/hour (+0.75), 2,912.70 → 3,460.20 USD/month of 730 hours (+547.50).**"
        in text
    )
    assert row(text, "chat-1")[3:] == ["0.00 → 0.50", "0.00 → 365.00", "", "runpod catalogue, 2026-11-27"]
    assert row(text, "chat-0")[3:] == ["0.44", "321.20", "", "actual price"]
    assert row(text, "embed-0")[5] == "image: vllm:1 → vllm:2<br>env.TOKEN changed"
    assert row(text, "big-0")[3] == "2.00 → 3.50"
    assert "RTX4090 → H100-SXM" in row(text, "big-0")[5]
    assert row(text, "old-0")[3:6] == ["1.25 → 0.00", "912.50 → 0.00", "no longer declared"]


def test_an_old_copy_that_still_ends_costs_until_then() -> None:
    node, copy = living("chat-0", 0.5), {**living("chat-0", 2.0), "id": "older"}
    preview = read_preview(stream(step("same", old=node, new=node), step("delete-replaced", old=copy)))
    before, after = before_and_after(lines_of(preview))
    assert (before.high, after.high) == (2.5, 0.5)
    assert "an old one that was replaced" in render(preview)


def test_what_failed_says_so_and_what_it_costs_now() -> None:
    text = report(
        step("same", old=living("chat-0", 0.44), new=living("chat-0", 0.44)),
        said("chat-1 has a problem: budgetHourlyUsd: 2 node(s) cost 7.98 USD/h", name="chat-1"),
        said("preview failed"),
        result="failed",
        resources=[living("chat-0", 0.44), living("chat-9", 1.0)],
    )
    assert "**The preview failed; what it did not reach is missing below.**" in text
    assert "- **error** chat-1: chat-1 has a problem: budgetHourlyUsd" in text
    assert text.count("- **error**") == 1
    assert "**Cost now: 1.44 USD/hour" in text
    assert row(text, "chat-9")[0] == "not reached"


def test_a_program_that_ends_line_by_line_is_one_error() -> None:
    lines = ["error: Pulumi.test.yaml: 2 errors\n\n", "  gpuplane:clusters.bad: has no image\n\n"]
    text = report(
        *({"diagnosticEvent": {"message": each, "severity": "info#err"}} for each in lines), result="failed"
    )
    assert "- **error**: Pulumi.test.yaml: 2 errors<br>gpuplane:clusters.bad: has no image" in text


def test_findings_are_named_with_rule_resource_and_remedy() -> None:
    broken = "GpuNode 'chat-0' costs 7.98 USD/hour\nRemedy: use fewer nodes"
    parts = [
        step("create", new=planned("chat-0", 7.98)),
        found("advice", "consider spot", "chat-0", level="advisory"),
        found("budget", broken, "chat-0"),
    ]
    text = report(*parts, said("preview failed"), result="failed")
    assert "**Policies: 1 to fix, 1 other**" in text
    first = "- **budget** (must be fixed, high) chat-0: GpuNode 'chat-0' costs 7.98 USD/hour<br>Remedy: use"
    assert text.index(first) < text.index("- **advice**")
    assert "What the policy is for" not in text
    assert "because of its policies" in text
    assert "**Cost: 0.00 → 7.98 USD/hour (+7.98)" in text, "a policy looks at everything, so the sum is known"


def test_spot_against_on_demand_and_what_is_to_be_had() -> None:
    here = Key("runpod", "main", "EU-RO-1", "RTX4090", 1, "on_demand")
    quotes = {
        here: Quote(0.44, "none", "runpod catalogue, 2026-11-27"),
        here.twin: Quote(0.22, "high", "runpod catalogue, 2026-11-27"),
    }
    spot = planned("spot-0", 0.22, "spot", candidates=[candidate(capacity="spot")])
    spot["outputs"]["candidate"] = candidate(capacity="spot")
    text = report(
        step("create", new=planned("chat-0", 0.44)),
        step("create", new=planned("chat-1", 0.44)),
        step("create", new=spot),
        quotes=quotes,
    )
    assert "2 nodes on demand: on spot 0.44 USD/hour (321.20 USD/month) less." in text
    assert "1 node on spot: 0.22 USD/hour (160.60 USD/month) less than on demand." in text
    assert "| chat-0 … chat-1 (2) | **runpod EU-RO-1 RTX4090 x1** | 0.44 | none | spot 0.22 (-50 %) |" in text
    assert "| spot-0 | **runpod EU-RO-1 RTX4090 x1 spot** | 0.22 | high | on demand 0.44 (+100 %) |" in text


def test_a_new_node_without_an_estimate_gets_the_price_of_what_is_to_be_had() -> None:
    first, second = candidate("H100-SXM"), candidate()
    node = planned("chat-0", None, candidates=[first, second])
    quotes = {
        Key("runpod", "main", "EU-RO-1", "H100-SXM", 1, "on_demand"): Quote(3.99, "none", "a"),
        Key("runpod", "main", "EU-RO-1", "RTX4090", 1, "on_demand"): Quote(0.44, "low", "b, 2026-11-27"),
    }
    cells = row(report(step("create", new=node), quotes=quotes), "chat-0")
    assert (cells[2], cells[3], cells[6]) == ("runpod EU-RO-1 RTX4090 x1", "0.00 → 0.44", "b, 2026-11-27")
    text = report(step("create", new=node))
    assert row(text, "chat-0")[3] == "0.00 → unknown"
    assert "Not in the totals: 1 price that is not known." in text


def test_pools_have_a_range() -> None:
    kind = "gpuplane:kubernetes:EksGpuCluster"
    listed = {"source": "list price of us-east-1", "asOf": "2026-09-06", "machine": "p5"}

    def pools(most: float, spare: float | str) -> dict[str, Any]:
        told = {
            "min": 0 if spare == 0 else "unknown",
            "max": "unknown",
            "scope": "GPU nodes alone",
            "pools": {
                "large": {"min": 0, "max": most, **listed},
                "spare": {"min": spare, "max": spare, **listed, "source": "hourlyUsd", "asOf": ""},
            },
        }
        return state("train", kind, outputs={"estimatedHourly": told})

    text = report(step("same", old=pools(10, 0), new=pools(20, 0)))
    assert "**Cost: 0.00 to 10.00 → 0.00 to 20.00 USD/hour (±0.00 to +10.00)" in text
    assert row(text, "train")[6] == "list price of us-east-1, 2026-09-06; hourlyUsd"
    assert "- Kubernetes: GPU nodes alone." in text

    text = report(step("create", new=pools(20, "unknown")))
    assert "**Cost: 0.00 → 0.00 to 20.00 + unknown USD/hour (unknown)" in text
    assert row(text, "train")[2] == "large: p5 0.00 to 20.00, spare: p5 unknown"
    assert "- Not in the totals: 1 price that is not known." in text


def test_the_short_form_is_read_too() -> None:
    old, new = living("chat-0", 0.44), living("chat-0", 0.44, image="b")
    document = {
        "steps": [
            {
                "op": "update",
                "urn": old["urn"],
                "oldState": old,
                "newState": {key: value for key, value in new.items() if key != "outputs"},
                "detailedDiff": {"image": {"kind": "add", "inputDiff": True}},
            }
        ],
        "diagnostics": [{"message": "error: preview failed\n", "severity": "error"}],
        "changeSummary": {"same": 5, "update": 1},
    }
    preview = read_preview(json.dumps(document, indent=1))
    assert preview.failed and preview.unseen == 5
    text = render(preview)
    assert row(text, "chat-0")[3:6] == ["0.44", "321.20", "image added: b"]
    assert "PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true" in text


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"version": 3, "deployment": {}}', "1\n2"])
def test_something_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(CliError, match="not what a preview prints") as error:
        read_preview(text)
    assert error.value.code == 2


def test_a_stream_that_was_cut_failed() -> None:
    text = stream(step("same", old=living("chat-0", 0.44), new=living("chat-0", 0.44)))
    cut = text[: text.rindex('"summaryEvent"')]
    assert read_preview(cut).failed and not read_preview(text).failed
    assert len(read_preview(cut).steps) == 1


def test_no_value_that_may_be_secret() -> None:
    secret = {**SECRET, "ciphertext": CANARY}
    parts = [
        step(
            "update",
            old=living("chat-0", 1.0, env=secret, startup=CANARY, image=secret, volumeGb=f"[secret]{CANARY}"),
            new=living("chat-0", 1.0, env={"A": CANARY}, startup=f"{CANARY}2", image=secret, volumeGb=1),
            diff=dict.fromkeys(("env.A", "startup", "image", "volumeGb"), "update"),
        ),
        step(
            "update",
            old=state("db", "kubernetes:core/v1:Secret", inputs={"image": CANARY, "data": {"a": CANARY}}),
            new=state("db", "kubernetes:core/v1:Secret", inputs={"image": f"{CANARY}3", "data": {}}),
            diff={"image": "update", 'data["a"]': "delete"},
        ),
    ]
    text = report(*parts)
    assert CANARY not in text
    assert "env.A changed<br>startup changed<br>image changed<br>volumeGb changed" in text


@given(st.lists(st.tuples(st.sampled_from(["create", "same", "delete", "replace"]), st.integers(0, 10**7))))
def test_totals_are_the_sums(changes: list[tuple[str, int]]) -> None:
    parts, before, after = [], 0.0, 0.0
    for number, (op, cents) in enumerate(changes):
        price, name, cluster = cents / 100, f"node-{number}", f"c{number % 3}"
        old = None if op == "create" else living(name, price, cluster)
        new = {
            "create": planned(name, price, cluster),
            "replace": planned(name, price * 2, cluster),
            "same": old,
        }.get(op)
        parts.append(step(op, old=old, new=new))
        before += price if old else 0
        after += {"create": price, "same": price, "replace": price * 2, "delete": 0}[op]
    preview = read_preview(stream(*parts))
    found_before, found_after = before_and_after(lines_of(preview))
    assert (found_before.high, found_after.high) == pytest.approx((before, after))
    text = render(preview)
    if changes and usd(before) != usd(after):
        head = f"**Cost: {usd(before)} → {usd(after)} USD/hour"
        assert head in text
        assert f"{usd(before * HOURS_A_MONTH)} → {usd(after * HOURS_A_MONTH)} USD/month" in text


NAMES = st.text(min_size=1, max_size=400)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 4000), NAMES, st.booleans(), st.integers(0, 300))
def test_any_fleet_fits_into_a_comment(nodes: int, name: str, alike: bool, errors: int) -> None:
    parts = [
        step("create", new=planned(f"{name}-{n}", 1.0 if alike else n / 100, f"c{n if not alike else n % 7}"))
        for n in range(nodes)
    ]
    parts += [[said(name * 3 + f"\n{n}" * 20), found(name, name * 9, f"{name}{n}")] for n in range(errors)]
    text = report(*parts)
    assert len(text.encode()) <= LIMIT_BYTES
    assert text.startswith(f"{MARKER}: ")
    assert text.count("<details>") == text.count("</details>")
    if nodes:
        assert f"{nodes} created" in text


def test_equal_nodes_are_one_row_and_many_rows_are_folded() -> None:
    alike = report(*(step("create", new=planned(f"chat-{n}", 0.5)) for n in range(1000)))
    assert "| created | chat-0 … chat-999 |" in alike
    assert "0.00 → 500.00 (1000 at 0.50)" in alike
    assert len(alike) < 2_000
    ten = report(*(step("create", new=planned(f"chat-{n}", n + 1)) for n in range(10)))
    assert len(ten.splitlines()) < 40 and ten.count("<details>") == 1, "the candidates alone are folded"
    many = report(*(step("create", new=planned(f"chat-{n}", n + 1)) for n in range(1000)))
    assert "<details><summary>1000 nodes and clusters</summary>" in many
    assert "more |" in many and "500,500.00 USD/hour" in many


@given(st.text(max_size=60))
def test_the_marker_is_one_comment_whatever_the_name(stack: str) -> None:
    text = marker(stack)
    assert text.startswith(MARKER) and text.endswith(" -->")
    inside = text.removeprefix("<!--").removesuffix("-->")
    assert "--" not in inside and "<" not in inside and ">" not in inside and "\n" not in inside


class TestCommand:
    """`gpuplane preview-report FILE`."""

    def test_a_report_of_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file, exported = tmp_path / "preview.json", tmp_path / "state.json"
        file.write_text(stream(step("create", new=planned("chat-0", 0.5)), result="failed"))
        exported.write_text(json.dumps({"deployment": {"resources": [living("chat-9", 1.0)]}}))
        out = tmp_path / "report.md"
        assert run(["preview-report", str(file), "--before", str(exported), "--out", str(out)]) == 1
        assert "Cost now: 1.00 USD/hour" in out.read_text()
        assert capsys.readouterr().out == ""
        file.write_text(stream(step("create", new=planned("chat-0", 0.5))))
        assert run(["preview-report", str(file)]) == 0
        assert capsys.readouterr().out.startswith("<!-- gpuplane preview-report: test -->\n")

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["missing.json"], "missing.json can not be read"),
            (["-", "--save-plan", "plan.json"], "--save-plan is for a preview that is run"),
            (["--before", "state.json"], "--before is for a FILE"),
        ],
    )
    def test_a_wrong_call_is_one_line(
        self, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["preview-report", *arguments]) == 2
        assert says in capsys.readouterr().err


def test_guards_are_told_apart_from_what_costs() -> None:
    guard = state("leak-guard", GUARD, inputs={"nodes": ["a"]})
    more = state("leak-guard", GUARD, inputs={"nodes": ["a", "b"]})
    text = report(step("update", old=guard, new=more, diff={"nodes[1]": "add"}))
    assert "Nothing here is billed by the hour." in text
    assert r"| updated | leak-guard | pulumi-python:dynamic/gpu:LeakGuard | nodes\[1\] added: b |" in text
