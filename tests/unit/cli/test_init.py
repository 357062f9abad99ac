"""`gpuplane init` adds one line and keeps the rest of the file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli.main import run
from cli.new_stack_id import KEY, new_stack_id, with_schema, with_stack_id
from stack_config.json_schema import MODELINE
from tests.unit.cli.conftest import Project

LAYOUTS = {
    "empty": ("", "config:\n  gpuplane:stackId: abc\n"),
    "no config": ("encryptionsalt: v1:x", "encryptionsalt: v1:x\nconfig:\n  gpuplane:stackId: abc\n"),
    "empty config": (
        "# top\nconfig: # here\nx: 1\n",
        "# top\nconfig: # here\n  gpuplane:stackId: abc\nx: 1\n",
    ),
    "null config": ("config: null\n", "config:\n  gpuplane:stackId: abc\n"),
    "empty object": ("config: {}\nx: 1\n", "config:\n  gpuplane:stackId: abc\nx: 1\n"),
    "comments": (
        "# top\nconfig:\n  # first\n  gpuplane:clusters: {} # end\n\nencryptionsalt: v1:x\n",
        "# top\nconfig:\n  # first\n  gpuplane:stackId: abc\n  gpuplane:clusters: {} # end\n"
        "\nencryptionsalt: v1:x\n",
    ),
    "deep indent": ("config:\n     a:b: 1\n", "config:\n     gpuplane:stackId: abc\n     a:b: 1\n"),
    "flow": ("config: {a: 1}\n", "config: {gpuplane:stackId: abc, a: 1}\n"),
    "all in one line": (
        "{config: {}, encryptionsalt: 'v1:x'}\n",
        "{config: {gpuplane:stackId: abc}, encryptionsalt: 'v1:x'}\n",
    ),
    "blank id": (
        'config:\n  gpuplane:stackId: "" # none\n  a: 1\n',
        "config:\n  gpuplane:stackId: abc # none\n  a: 1\n",
    ),
}


@pytest.mark.parametrize(("before", "after"), LAYOUTS.values(), ids=LAYOUTS)
def test_one_line_is_added(before: str, after: str) -> None:
    assert with_stack_id(before, "abc") == after


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("config:\n  gpuplane:stackId: abc\n", "is set already"),
        ("config: 3\n", "is not a stack file"),
        ("- 1\n", "is not a stack file"),
        ("config: [", "is not valid YAML"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        with_stack_id(text, "abc")


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}:[a-z]{1,5}", fullmatch=True),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
            ),
            max_leaves=5,
        ),
        max_size=4,
    ),
    st.sampled_from([None, True, False]),
    st.integers(2, 6),
)
def test_whatever_the_file_holds_it_holds_afterwards(
    config: dict[str, object], flow: bool | None, indent: int
) -> None:
    text = yaml.safe_dump(
        {"config": config, "encryptionsalt": "v1:x"}, default_flow_style=flow, indent=indent
    )
    assert yaml.safe_load(with_stack_id(text, "abc")) == {
        "config": {**config, KEY: "abc"},
        "encryptionsalt": "v1:x",
    }


def test_an_id_is_eight_characters_that_yaml_reads_as_text() -> None:
    ids = {new_stack_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch(r"[a-z][a-z0-9]{7}", found) and yaml.safe_load(found) == found for found in ids)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{MODELINE}\n"),
        ("# mine\nconfig: {}\n", f"{MODELINE}\n# mine\nconfig: {{}}\n"),
        (f"{MODELINE}\nconfig: {{}}\n", f"{MODELINE}\nconfig: {{}}\n"),
        ("# yaml-language-server: $schema=mine.json\n", "# yaml-language-server: $schema=mine.json\n"),
    ],
)
def test_the_first_line_names_a_schema(before: str, after: str) -> None:
    assert with_schema(before) == after


def test_the_command_writes_once(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    file = project.root / "Pulumi.prod.yaml"
    assert run(["init", "--stack", "prod"]) == 0
    text = file.read_text()
    assert text.splitlines()[:2] == [MODELINE, "config:"]
    stack_id = yaml.safe_load(text)["config"][KEY]
    assert f"gpuplane:stackId is {stack_id}" in capsys.readouterr().out
    assert run(["init", "--stack", "prod"]) == 2
    assert file.read_text() == text
    assert capsys.readouterr().err == (
        "gpuplane: Pulumi.prod.yaml: gpuplane:stackId is set already; "
        "nodes carry it in their names, so it is never replaced\n"
    )
    assert project.calls() == []


def test_the_stack_is_created_on_request_only(project: Project) -> None:
    assert run(["init", "--stack", "prod", "--create"]) == 0
    assert project.calls() == [["stack", "select", "--create", "prod"]]


def test_the_mode_of_the_file_stays(project: Project) -> None:
    file = project.root / "Pulumi.prod.yaml"
    file.write_text("config: {}\n")
    file.chmod(0o600)
    assert run(["init", "--stack", "prod"]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in project.root.glob(".Pulumi*")] == []


def test_outside_a_project_it_says_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init", "--stack", "prod"]) == 1
    assert capsys.readouterr().err.startswith(
        "gpuplane: no gpuplane project here: run this in a folder whose"
    )


def test_the_command_in_json(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--stack", "prod", "--create", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["stack"], data["file"]) == ("prod", "Pulumi.prod.yaml")
    written = yaml.safe_load((project.root / "Pulumi.prod.yaml").read_text())
    assert written["config"][KEY] == data["stackId"]
    assert project.calls() == [["stack", "select", "--create", "prod"]]
