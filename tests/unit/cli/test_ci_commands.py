"""`gpuplane ci` against a scripted engine and a stand-in for GitHub's API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from tests.previews.ci_server import served
from tests.unit.cli.ci_site import TOKEN, Site
from tests.unit.cli.conftest import Project

SECRET = "canary_config*secret"
STATE = json.dumps({"version": 3, "deployment": {"resources": []}})
CONFIG = json.dumps({"other:token": {"value": SECRET, "secret": True}})
FREE = "error: a stack named prod already exists\n"
COMMIT = "1f2e3d4c5b6a79881726354453627180a9b8c7d6"


def locked(owner: str) -> str:
    user, _, rest = owner.partition("@")
    host, _, pid = rest.partition(":")
    return (
        "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or "
        "delete the lock file with `pulumi cancel`.\n"
        f"  s3://state/x.json: created by {user}@{host} (pid {pid}) at 2026-11-27T06:00:00Z\n"
    )


def events(*operations: str, failed: bool = False) -> str:
    """What a preview prints: one resource for each operation."""
    said: list[dict[str, Any]] = [
        {
            "resourcePreEvent": {
                "metadata": {"op": op, "urn": f"urn:pulumi:prod::gpuplane::t:m:Thing::thing-{number}"}
            }
        }
        for number, op in enumerate(operations)
    ]
    note = f"a value is {SECRET}\n"
    said.append(
        {"diagnosticEvent": {"severity": "error" if failed else "warning", "message": note, "urn": ""}}
    )
    said.append({"summaryEvent": {"result": "failed" if failed else "succeeded", "resourceChanges": {}}})
    return "\n".join(json.dumps({"sequence": at, **event}) for at, event in enumerate(said)) + "\n"


@pytest.fixture
def site() -> Site:
    return Site("github")


@pytest.fixture
def job(project: Project, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project in a job for pull request 5."""
    event = {"pull_request": {"number": 5, "head": {"sha": COMMIT, "repo": {"full_name": "o/r"}}}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    with served(site) as url:
        monkeypatch.setattr(os, "environ", os.environ.copy())
        os.environ.update(
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_API_URL": url,
                "GITHUB_REPOSITORY": "o/r",
                "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
                "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
                "GITHUB_TOKEN": TOKEN,
            }
        )
        os.environ.pop("GITLAB_CI", None)
        script(project)
        yield project


def script(
    project: Project, preview: tuple[int, str, str] | None = None, **more: tuple[int, str, str]
) -> None:
    project.answers(
        {
            "config": (0, CONFIG, ""),
            "stack export": (0, STATE, ""),
            "stack export --show-secrets": (0, STATE, ""),
            "preview": preview or (0, events("create", "update"), ""),
            **{key.replace("_", " "): value for key, value in more.items()},
        }
    )


def summary(tmp_path: Path) -> str:
    return (tmp_path / "summary.md").read_text()


def test_a_preview_is_one_comment_without_secrets(
    job: Project, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ci", "preview", "--stack", "prod", "--report", "out/report.md"]) == 0
    (comment,) = site.comments
    assert "thing-0" in comment["body"] and "(secret)" in comment["body"]
    report = (job.root / "out" / "report.md").read_text()
    printed = capsys.readouterr()
    for text in (comment["body"], report, summary(tmp_path), printed.out, printed.err):
        assert "canary" not in text
    assert "comment created: https://ci.invalid/101" in printed.out
    assert run(["ci", "preview", "--stack", "prod"]) == 0
    assert len(site.comments) == 1


def test_a_preview_that_fails_is_told_first_and_then_fails_the_job(
    job: Project, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    script(job, (255, events("create", failed=True), f"error: no {SECRET} here\n"))
    assert run(["ci", "preview", "--stack", "prod"]) == 1
    assert "no (secret) here" in site.comments[0]["body"]
    assert "canary" not in site.comments[0]["body"]
    assert capsys.readouterr().err == "gpuplane: the preview of stack prod failed: no (secret) here\n"


def test_an_engine_that_says_nothing_is_told_too(job: Project, site: Site) -> None:
    script(job, (1, "", "error: no backend\n"))
    assert run(["ci", "preview", "--stack", "prod"]) == 1
    assert "**Failed:** no backend" in site.comments[0]["body"]


def test_a_token_that_may_not_write_leaves_the_report_in_the_summary(
    job: Project, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.reads_only = True
    assert run(["ci", "preview", "--stack", "prod"]) == 0
    assert "thing-0" in summary(tmp_path)
    assert (
        "no comment: 127.0.0.1: POST /repos/o/r/issues/5/comments: 403 Resource not"
        in capsys.readouterr().out
    )


def test_without_a_token_or_a_pull_request_nothing_is_called(
    job: Project, site: Site, tmp_path: Path
) -> None:
    del os.environ["GITHUB_TOKEN"]
    assert run(["ci", "preview", "--stack", "prod"]) == 0
    os.environ |= {"GITHUB_TOKEN": TOKEN, "GITHUB_EVENT_PATH": ""}
    assert run(["ci", "preview", "--stack", "prod"]) == 0
    assert site.calls == []
    assert summary(tmp_path).count("thing-0") >= 2


def test_a_plan_is_asked_for_behind_the_experimental_flag(job: Project) -> None:
    (job.root / "plan.json").write_text("of an earlier run")
    assert run(["ci", "preview", "--stack", "prod", "--save-plan", "plan.json"]) == 0
    (call,) = [call for call in job.raw_calls() if call["arguments"][0] == "preview"]
    assert call["arguments"][-2:] == ["--save-plan", str(job.root / "plan.json")]
    assert call["experimental"] == "1"
    assert not (job.root / "plan.json").exists()


def test_an_up_takes_no_plan_that_was_made_for_something_else(
    job: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (job.root / "plan.json").write_text("{}")
    assert run(["ci", "up", "--stack", "prod", "--plan", "plan.json"]) == 1
    assert "make them with `gpuplane ci preview --save-plan`" in capsys.readouterr().err
    assert job.calls() == []


def test_drift_fails_without_an_issue(job: Project, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ci", "drift", "--stack", "prod"]) == 1
    assert "stack prod has drifted, the next up would change: 1 created, 1 updated" in capsys.readouterr().err
    assert site.calls == []
    script(job, (0, events("same"), ""))
    assert run(["ci", "drift", "--stack", "prod"]) == 0
    assert all(call[-1] == "--refresh" for call in job.calls() if call[0] == "preview")


def test_drift_is_one_issue_that_is_closed_when_it_is_gone(job: Project, site: Site) -> None:
    for _ in range(2):
        assert run(["ci", "drift", "--stack", "prod", "--issue"]) == 0
    (issue,) = site.issues
    assert (issue["title"], issue["state"]) == ("Drift of stack prod", "open")
    script(job, (255, events(failed=True), "error: no cloud\n"))
    assert run(["ci", "drift", "--stack", "prod", "--issue"]) == 1
    assert issue["state"] == "open"
    script(job, (0, events("same"), ""))
    assert run(["ci", "drift", "--stack", "prod", "--issue"]) == 0
    assert issue["state"] == "closed"
    assert "canary" not in json.dumps(site.issues)


def test_an_issue_needs_a_site(job: Project, capsys: pytest.CaptureFixture[str]) -> None:
    del os.environ["GITHUB_TOKEN"]
    assert run(["ci", "drift", "--stack", "prod", "--issue"]) == 1
    assert "--issue needs a job of GitHub or GitLab" in capsys.readouterr().err


def test_any_file_can_be_a_comment(job: Project, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (job.root / "note.md").write_text("hello")
    assert run(["ci", "comment", "note.md", "--stack", "prod"]) == 0
    assert site.comments[0]["body"].endswith("\nhello")
    assert run(["ci", "comment", "absent.md", "--stack", "prod"]) == 1
    assert capsys.readouterr().err == "gpuplane: absent.md can not be read\n"


@pytest.mark.parametrize(
    ("said", "arguments", "code", "words", "cancels"),
    [
        (FREE, [], 0, "stack prod is not locked", False),
        (locked("me@there:7"), [], 2, "--holder me@there:7", False),
        (locked("me@there:7"), ["--own"], 0, "no engine of this job, left alone", False),
        (locked("me@there:7"), ["--holder", "me@there:8"], 2, "locked by me@there:7", False),
        (locked("me@there:7"), ["--holder", "me@there:7"], 0, "removed the lock of process 7", True),
        ("error: no such bucket\n", [], 1, "does not answer: no such bucket", False),
    ],
)
def test_only_the_lock_of_a_named_owner_is_taken_away(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: str,
    arguments: list[str],
    code: int,
    words: str,
    cancels: bool,
) -> None:
    environment = {**project.pulumi.environment, "PULUMI_BACKEND_URL": "s3://state"}
    monkeypatch.setattr("cli.stacks.engine_environment", lambda *_: environment)
    project.answers({"stack rename prod": (1, "", said), "stack export": (0, STATE, "")})
    assert run(["ci", "unlock", "--stack", "prod", *arguments]) == code
    printed = capsys.readouterr()
    assert words in printed.out + printed.err
    assert (["cancel", "--yes"] in project.calls()) == cancels


def test_pulumi_cloud_shows_no_lock(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {**project.pulumi.environment, "PULUMI_BACKEND_URL": "https://api.ci.invalid"}
    monkeypatch.setattr("cli.stacks.engine_environment", lambda *_: environment)
    assert run(["ci", "unlock", "--stack", "prod"]) == 2
    assert "Pulumi Cloud does not show who holds a lock" in capsys.readouterr().err
    assert project.calls() == []
