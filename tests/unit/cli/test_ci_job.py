"""What a job learns from its environment: where it runs, for what, and whether the change is a stranger's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.ci_job import Job, job_in

SHA = "1f2e3d4c5b6a79881726354453627180a9b8c7d6"


def github(tmp_path: Path, event: object, **more: str) -> Job:
    file = tmp_path / "event.json"
    file.write_text(event if isinstance(event, str) else json.dumps(event))
    return job_in(
        {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_API_URL": "https://ghe.invalid/api/v3/",
            "GITHUB_SERVER_URL": "https://ghe.invalid",
            "GITHUB_RUN_ID": "9",
            "GITHUB_SHA": "merge",
            "GITHUB_TOKEN": "canary-token",
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
            **more,
        }
    )


def pull(repository: object) -> dict[str, Any]:
    return {"pull_request": {"number": 5, "head": {"sha": SHA, "repo": repository}}}


def test_a_pull_request_of_the_repository(tmp_path: Path) -> None:
    job = github(tmp_path, pull({"full_name": "o/r"}))
    assert (job.host, job.number, job.fork, job.commit) == ("github", 5, False, SHA)
    assert job.api == "https://ghe.invalid/api/v3"
    assert job.url == "https://ghe.invalid/o/r/actions/runs/9"
    assert job.summary == tmp_path / "summary.md"
    assert "canary-token" not in repr(job)


@pytest.mark.parametrize("repository", [{"full_name": "stranger/r"}, None, {}])
def test_anything_else_is_a_fork(tmp_path: Path, repository: object) -> None:
    assert github(tmp_path, pull(repository)).fork


@pytest.mark.parametrize("event", [{}, {"pull_request": None}, [], "no JSON", {"pull_request": "odd"}])
def test_a_job_for_no_pull_request(tmp_path: Path, event: object) -> None:
    job = github(tmp_path, event)
    assert (job.number, job.fork, job.commit) == (None, False, "merge")


def gitlab(**more: str) -> Job:
    return job_in(
        {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": "https://git.invalid/api/v4",
            "CI_PROJECT_ID": "7",
            "CI_COMMIT_SHA": SHA,
            "CI_JOB_URL": "https://git.invalid/j/1",
            "GITLAB_TOKEN": "canary-token",
            **more,
        }
    )


def test_a_merge_request_of_the_project() -> None:
    job = gitlab(
        CI_MERGE_REQUEST_IID="5", CI_MERGE_REQUEST_PROJECT_ID="7", CI_MERGE_REQUEST_SOURCE_PROJECT_ID="7"
    )
    assert (job.host, job.repository, job.number, job.fork, job.commit) == ("gitlab", "7", 5, False, SHA)
    assert "canary-token" not in repr(job)


def test_a_merge_request_of_a_fork() -> None:
    job = gitlab(
        CI_PROJECT_ID="8",
        CI_MERGE_REQUEST_IID="5",
        CI_MERGE_REQUEST_PROJECT_ID="7",
        CI_MERGE_REQUEST_SOURCE_PROJECT_ID="8",
    )
    assert (job.repository, job.fork) == ("7", True)


def test_a_push_and_no_job_at_all() -> None:
    assert (gitlab().number, gitlab().fork) == (None, False)
    assert job_in({"CI": "true"}) == Job()
