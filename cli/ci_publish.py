"""Puts a report where people read it: a comment, an issue, else the job's summary and log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from cli.ci_forge import Forge, forge_of, headers_of
from cli.ci_http import Api, ApiError
from cli.ci_job import Job
from cli.ci_threads import Done, close_issue, keep_comment, keep_issue, marker
from gpu_clouds.clock import Clock, SystemClock

Say = Callable[[str], None]


@contextmanager
def forge(
    job: Job, clock: Clock | None = None, transport: httpx.BaseTransport | None = None
) -> Iterator[Forge]:
    """The API of a job's host, for as long as the context lasts.

    Args:
        job: It has a host and a token.
        clock: Waits for rate limits.
        transport: Answers in place of the network, for tests.
    """
    api = Api(job.api, headers_of(job), clock or SystemClock(), transport)
    try:
        yield forge_of(job, api)
    finally:
        api.close()


def summarize(job: Job, text: str, say: Say) -> None:
    """Shows a report on the run's page, or in the log where there is none.

    Args:
        job: The job.
        text: Markdown.
        say: Where the log goes.
    """
    if job.summary is None:
        say(text)
        return
    with job.summary.open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def comment(job: Job, kind: str, stack: str, text: str, say: Say) -> Done | None:
    """Keeps the one comment of a pull or merge request; None where the job may write none.

    A change from a fork has no right to (GitHub gives its jobs a token that only reads): its report is in the
    summary, and the job does not fail for it.

    Args:
        job: The job.
        kind: Which comment: `preview`, …
        stack: Name of the stack.
        text: Markdown.
        say: Where a reason goes.

    Raises:
        ApiError: The API failed for another reason.
    """
    if not job.host or job.number is None:
        say("no comment: this job is for no pull or merge request")
        return None
    if not job.token:
        name = "GITHUB_TOKEN" if job.host == "github" else "GITLAB_TOKEN"
        say(f"no comment: this job has no {name}; the report is in its summary or log")
        return None
    with forge(job) as there:
        try:
            return keep_comment(there, job.number, marker(kind, stack), text)
        except ApiError as error:
            if not error.may_not:
                raise
            say(f"no comment: {error.message}; the report is in the summary or log")
            return None


def drift_issue(job: Job, stack: str, text: str, *, drifted: bool) -> Done:
    """Keeps the one issue of a stack's drift: open while there is drift, closed when it is gone.

    Args:
        job: It has a host and a token.
        stack: Name of the stack.
        text: Markdown.
        drifted: Whether there is drift.

    Raises:
        ApiError: The API refused or failed.
    """
    mark = marker("drift", stack)
    with forge(job) as there:
        if drifted:
            return keep_issue(there, mark, f"Drift of stack {stack}", text)
        return close_issue(there, mark, text)
