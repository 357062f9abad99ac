"""Which CI job this process is part of: GitHub Actions, GitLab CI, or none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Host = Literal["github", "gitlab", ""]


@dataclass(frozen=True, slots=True)
class Job:
    """What the CI system tells a job in its environment.

    Attributes:
        host: The CI system; empty outside of one.
        api: Base URL of its REST API.
        repository: GitHub: `owner/name`; GitLab: the project's number.
        token: For that API; empty where the job has none.
        number: Of the pull or merge request; None where the job is for none.
        fork: Whether the change comes from a fork, and so from anybody.
        commit: The commit that the job is for; a merge request's own, not that of a trial merge.
        url: Where people see this run.
        summary: File whose Markdown GitHub shows on the run's page.
    """

    host: Host = ""
    api: str = ""
    repository: str = ""
    token: str = field(default="", repr=False)
    number: int | None = None
    fork: bool = False
    commit: str = ""
    url: str = ""
    summary: Path | None = None


def job_in(environment: Mapping[str, str]) -> Job:
    """Reads the variables that GitHub and GitLab set in every job.

    Sources: docs.github.com, "Variables reference"; docs.gitlab.com, "Predefined CI/CD variables reference".

    Args:
        environment: Of the process.
    """
    if environment.get("GITHUB_ACTIONS") == "true":
        return _github(environment)
    if environment.get("GITLAB_CI") == "true":
        return _gitlab(environment)
    return Job()


def _github(environment: Mapping[str, str]) -> Job:
    repository = environment.get("GITHUB_REPOSITORY", "")
    request = _event(environment.get("GITHUB_EVENT_PATH", "")).get("pull_request")
    head = request.get("head") or {} if isinstance(request, dict) else {}
    number = request.get("number") if isinstance(request, dict) else None
    server = environment.get("GITHUB_SERVER_URL", "https://github.com")
    summary = environment.get("GITHUB_STEP_SUMMARY")
    return Job(
        host="github",
        api=environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/"),
        repository=repository,
        token=environment.get("GITHUB_TOKEN", ""),
        number=number if isinstance(number, int) else None,
        # A deleted fork has no repository any more: still one.
        fork=isinstance(request, dict) and (head.get("repo") or {}).get("full_name") != repository,
        commit=str(head.get("sha") or environment.get("GITHUB_SHA", "")),
        url=f"{server}/{repository}/actions/runs/{environment.get('GITHUB_RUN_ID', '')}",
        summary=Path(summary) if summary else None,
    )


def _gitlab(environment: Mapping[str, str]) -> Job:
    number = environment.get("CI_MERGE_REQUEST_IID", "")
    target = environment.get("CI_MERGE_REQUEST_PROJECT_ID", "")
    source = environment.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "")
    return Job(
        host="gitlab",
        api=environment.get("CI_API_V4_URL", "https://gitlab.com/api/v4").rstrip("/"),
        repository=target or environment.get("CI_PROJECT_ID", ""),
        # The job's own token (CI_JOB_TOKEN) may not write notes.
        token=environment.get("GITLAB_TOKEN", ""),
        number=int(number) if number.isdecimal() else None,
        fork=bool(number) and source != target,
        commit=environment.get("CI_COMMIT_SHA", ""),
        url=environment.get("CI_JOB_URL", ""),
    )


def _event(file: str) -> dict[str, Any]:
    try:
        event = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, dict) else {}
