"""`gpuplane ci drift`: whether the clouds still are as declared."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli.ci_preview import PolicyOption, ReportOption
from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    report_file: ReportOption = None,
    policy_pack: PolicyOption = None,
    issue: Annotated[
        bool, typer.Option("--issue", help="Keep one open issue while there is drift, instead of failing.")
    ] = False,
) -> None:
    """Looks at the clouds and fails when the next up would change something; changes nothing itself.

    With --issue the drift is reported in the one issue of this stack, which is closed when the drift is gone;
    only a look that failed fails the job then.
    """
    from cli.ci_engine import run_preview
    from cli.ci_job import job_in
    from cli.ci_preview import opened, pack_of, resources_of, write
    from cli.ci_publish import drift_issue, summarize
    from cli.ci_report import masked, report
    from cli.ci_secrets import secrets_of
    from cli.errors import CliError

    job = job_in(os.environ)
    pulumi = opened(stack)
    preview = run_preview(pulumi, pack=pack_of(pulumi, policy_pack), refresh=True)
    secrets = secrets_of(pulumi)
    told = report("drift", pulumi, masked(preview, secrets), job, resources_of(pulumi))
    text = secrets.masked(told.text)
    write(report_file, text)
    summarize(job, text, typer.echo)
    if preview.code:
        raise CliError(secrets.masked(f"looking for drift of stack {pulumi.stack} failed: {preview.error}"))
    if issue:
        if not job.host or not job.token:
            raise CliError("--issue needs a job of GitHub or GitLab with GITHUB_TOKEN or GITLAB_TOKEN")
        done = drift_issue(job, pulumi.stack, text, drifted=bool(told.changes))
        typer.echo(f"issue {done.what}: {done.url}" if done.url else "no drift, and no open issue")
    elif told.changes:
        raise CliError(
            f"stack {pulumi.stack} has drifted, the next up would change: {', '.join(told.changes)}"
        )
