"""A plan is for one stack and one commit, and holds no secret in clear text; a report holds none either."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.ci_plan import about, refuse_open_secrets, refuse_other, sign_off
from cli.ci_secrets import Secrets, secrets_of
from cli.errors import REFUSED, CliError
from tests.unit.cli.conftest import Project

COMMIT = "1f2e3d4c"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "plan.json"
    file.write_text('{"resourcePlans": {}}')
    sign_off(file, "prod", COMMIT)
    return file


def test_a_plan_for_this_stack_and_commit_is_taken(plan: Path) -> None:
    refuse_other(plan, "prod", COMMIT)


@pytest.mark.parametrize(
    ("stack", "commit", "what"),
    [
        ("dev2", COMMIT, "its stack is prod, not dev2"),
        ("prod", "other", f"its commit is {COMMIT}, not other"),
    ],
)
def test_a_plan_for_another_is_refused(plan: Path, stack: str, commit: str, what: str) -> None:
    with pytest.raises(CliError, match=what) as caught:
        refuse_other(plan, stack, commit)
    assert caught.value.code == REFUSED


def test_a_plan_that_was_changed_is_refused(plan: Path) -> None:
    plan.write_text('{"resourcePlans": {"x": {}}}')
    with pytest.raises(CliError, match="its sha256 is"):
        refuse_other(plan, "prod", COMMIT)


@pytest.mark.parametrize("text", [None, "no JSON", "[]", "{}"])
def test_a_plan_of_which_nobody_knows_what_it_is_for_is_refused(plan: Path, text: str | None) -> None:
    about(plan).unlink() if text is None else about(plan).write_text(text)
    with pytest.raises(CliError, match=r"gpuplane ci preview --save-plan|its stack is none"):
        refuse_other(plan, "prod", COMMIT)


@given(st.text(min_size=8), st.text(), st.text())
def test_a_secret_is_found_and_masked_as_it_is_and_as_json(value: str, before: str, after: str) -> None:
    secrets = Secrets((value,))
    for text in (f"{before}{value}{after}", json.dumps(f"{before}{value}{after}")):
        assert secrets.are_in(text)
        assert not secrets.are_in(secrets.masked(text)) or value in "(secret)"


def test_a_plan_with_an_open_secret_is_deleted(plan: Path) -> None:
    plan.write_text(json.dumps({"x": 'a "canary" value'}))
    with pytest.raises(CliError) as caught:
        refuse_open_secrets(plan, Secrets(('a "canary" value',)))
    assert "canary" not in caught.value.message
    assert not plan.exists()


def test_secrets_come_from_configuration_state_and_passphrase(project: Project) -> None:
    (project.root / "Pulumi.prod.yaml").write_text(
        "config:\n"
        "  gpuplane:credentials:\n    main:\n      cloud: runpod-cloud\n      apiKey: {secure: v1:x}\n"
        "  other:token: {secure: v1:y}\n"
    )
    config = {
        "gpuplane:credentials": {
            "objectValue": {"main": {"cloud": "runpod-cloud", "apiKey": "canary-config"}},
            "secret": True,
        },
        "other:token": {"value": "canary-other", "secret": True},
        "gpuplane:stackId": {"value": "plain-text-value", "secret": False},
    }
    resources = [
        {"inputs": {"key": {**SECRET, "plaintext": '"canary-input"'}, "name": "an-ordinary-name"}},
        {"outputs": {"all": [{**SECRET, "plaintext": '{"model": "an-ordinary-model"}'}]}},
        {"outputs": {"short": {**SECRET, "plaintext": '"1234"'}, "none": {**SECRET}}},
    ]
    project.answers(
        {
            "config": (0, json.dumps(config), ""),
            "stack export --show-secrets": (0, json.dumps({"deployment": {"resources": resources}}), ""),
        }
    )
    found = secrets_of(project.pulumi)
    assert set(found.values) == {"canary-config", "canary-other", "canary-input", "canary-passphrase"}
    assert "canary" not in repr(found)
