"""The pipeline files themselves: what the real linter and GitLab's own schema say, and what must hold."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs installed
import pytest
import yaml

from engine.pipeline_checks import actionlint, gitlab_schema
from tests.previews.pipeline_steps import chosen_by, load
from tests.previews.pipeline_world import PIPELINES

WORKFLOWS = sorted((PIPELINES / "github").glob("*.yml"))
GITLAB = PIPELINES / "gitlab" / "gpuplane.gitlab-ci.yml"
PINNED = re.compile(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def lint(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(actionlint()), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )


def jobs() -> list[tuple[str, str, dict[str, Any]]]:
    return [(file.stem, name, job) for file in WORKFLOWS for name, job in load(file)["jobs"].items()]


def test_actionlint_finds_nothing() -> None:
    assert len(WORKFLOWS) == 4
    done = lint(*WORKFLOWS)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pull_request.head", "pull_request.haed.$"),
        ("timeout-minutes", "timeout-minute"),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-4"),
    ],
)
def test_actionlint_finds_mistakes(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "w.yml"
    file.write_text((PIPELINES / "github" / "gpuplane-preview.yml").read_text().replace(old, new))
    assert lint(file).returncode == 1


def test_gitlabs_schema_finds_nothing() -> None:
    schema = gitlab_schema()
    document = yaml.safe_load(GITLAB.read_text())
    jsonschema.Draft7Validator(schema).validate(document)
    wrong = copy.deepcopy(document)
    wrong["gpuplane-up"]["rules"] = "always"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(wrong)


def test_every_action_is_pinned_by_its_commit() -> None:
    for file in WORKFLOWS:
        used = [line.strip().removeprefix("- ") for line in file.read_text().splitlines() if "uses:" in line]
        assert used
        assert [line for line in used if not PINNED.fullmatch(line)] == []


def test_a_job_has_only_the_rights_that_it_needs() -> None:
    assert all(load(file)["permissions"] == {} for file in WORKFLOWS)
    assert {(file, name): job["permissions"] for file, name, job in jobs()} == {
        ("gpuplane-drift", "drift"): {"contents": "read", "issues": "write"},
        ("gpuplane-preview", "preview"): {"contents": "read", "pull-requests": "write"},
        ("gpuplane-preview", "preview-of-a-fork"): {"contents": "read"},
        ("gpuplane-unlock", "unlock"): {"contents": "read"},
        ("gpuplane-up", "plan"): {"contents": "read"},
        ("gpuplane-up", "up"): {"contents": "read"},
    }


def test_strangers_code_never_runs_with_secrets() -> None:
    for file in WORKFLOWS:
        assert "pull_request_target" not in file.read_text()
        assert "workflow_run" not in file.read_text()
    for _, name, job in jobs():
        assert ("environment" in job) == (name != "preview-of-a-fork")
        # Secrets are for the one step that needs them, not for what is installed before it.
        assert "env" not in job
        for step in job["steps"]:
            if step.get("run") == "make engine" or name == "preview-of-a-fork":
                assert "env" not in step
        checkout = job["steps"][0]
        assert checkout["with"] == {"persist-credentials": False}


def test_a_commands_line_is_ours_alone() -> None:
    for _, _, job in jobs():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            # Without `exec` a cancelled job's signal would end the shell and leave the engine.
            assert step.get("run", "make engine") == "make engine" or step["run"].startswith(
                "exec .venv/bin/gpuplane ci "
            )


def test_an_up_is_never_stopped_for_a_later_one() -> None:
    up = load(PIPELINES / "github" / "gpuplane-up.yml")
    assert up["concurrency"] == {"group": "gpuplane-up", "cancel-in-progress": False}
    assert up["jobs"]["up"]["needs"] == "plan"
    assert up["jobs"]["up"]["steps"][-1]["if"] == "always()"
    document = yaml.safe_load(GITLAB.read_text())["gpuplane-up"]
    assert (document["interruptible"], document["resource_group"]) == (False, "gpuplane-up")


def test_gitlabs_jobs_of_forks_have_no_environment() -> None:
    document = yaml.safe_load(GITLAB.read_text())
    named = {name for name, job in document.items() if isinstance(job, dict) and "environment" in job}
    assert named == {name for name in document if name.startswith("gpuplane-")} - {
        "gpuplane-preview-of-a-fork"
    }
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-\w+", document[".gpuplane"]["image"])


@pytest.mark.parametrize(
    ("source", "project", "more", "chosen"),
    [
        ("merge_request_event", "7", {}, {"gpuplane-preview"}),
        ("merge_request_event", "8", {}, {"gpuplane-preview-of-a-fork"}),
        ("push", "7", {"CI_COMMIT_BRANCH": "main"}, {"gpuplane-plan", "gpuplane-up"}),
        ("push", "7", {"CI_COMMIT_BRANCH": "feature"}, set()),
        ("schedule", "7", {"CI_COMMIT_BRANCH": "main"}, {"gpuplane-drift"}),
        ("web", "7", {"CI_COMMIT_BRANCH": "main"}, set()),
        ("web", "7", {"CI_COMMIT_BRANCH": "main", "GPUPLANE_UNLOCK": "true"}, {"gpuplane-unlock"}),
    ],
)
def test_gitlabs_rules_choose(source: str, project: str, more: dict[str, str], chosen: set[str]) -> None:
    env = {"CI_PIPELINE_SOURCE": source, "CI_DEFAULT_BRANCH": "main", **more}
    if source == "merge_request_event":
        env |= {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": project, "CI_MERGE_REQUEST_PROJECT_ID": "7"}
    document = yaml.safe_load(GITLAB.read_text())
    assert {
        name for name in document if name.startswith("gpuplane-") and chosen_by(document[name], env)
    } == chosen
