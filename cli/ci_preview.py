"""`gpuplane ci preview`: what a change would make and cost, as one comment; and the plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.stacks import StackOption

if TYPE_CHECKING:
    from cli.pulumi_cli import Pulumi

PolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--policy-pack", help="Policy pack; by default the project's own, as the stack's file says."
    ),
]
ReportOption = Annotated[Path | None, typer.Option("--report", help="Write the report to this file too.")]


def command(
    stack: StackOption = "",
    save_plan: Annotated[
        Path | None, typer.Option("--save-plan", help="Save the plan here, for `gpuplane ci up --plan`.")
    ] = None,
    report_file: ReportOption = None,
    policy_pack: PolicyOption = None,
    comment: Annotated[bool, typer.Option(help="Keep a comment at the pull or merge request.")] = True,
) -> None:
    """Previews the stack with its policies; fails where the preview or a mandatory policy does.

    The report becomes the one comment of the pull or merge request, or goes to the job's summary where there
    is none. A change from a fork is previewed with the embedded dev stack and its emulated clouds, whatever
    --stack says, so that it needs no secret and reaches no account.
    """
    from cli.ci_engine import run_preview
    from cli.ci_job import job_in
    from cli.ci_plan import refuse_open_secrets, sign_off
    from cli.ci_publish import comment as keep
    from cli.ci_publish import summarize
    from cli.ci_report import masked, report
    from cli.ci_secrets import secrets_of
    from cli.errors import CliError
    from cli.project import DEV_STACK

    job = job_in(os.environ)
    note = ""
    if job.fork:
        note = "This change comes from a fork: previewed with emulated clouds, without any secret."
        stack = DEV_STACK
    pulumi = opened(stack)
    preview = run_preview(pulumi, pack=pack_of(pulumi, policy_pack), plan=_place(save_plan))
    secrets = secrets_of(pulumi)
    if save_plan is not None and save_plan.exists():
        refuse_open_secrets(save_plan, secrets)
        sign_off(save_plan, pulumi.stack, job.commit)
    told = report("preview", pulumi, masked(preview, secrets), job, resources_of(pulumi), note)
    text = secrets.masked(told.text)
    write(report_file, text)
    summarize(job, text, typer.echo)
    if comment and not job.fork:
        done = keep(job, "preview", pulumi.stack, text, typer.echo)
        if done is not None:
            typer.echo(f"comment {done.what}: {done.url}")
    if preview.code:
        raise CliError(secrets.masked(f"the preview of stack {pulumi.stack} failed: {preview.error}"))


def opened(stack: str) -> Pulumi:
    """A stack, ready for the engine; for the dev stack its emulated clouds are started.

    Args:
        stack: Its name.
    """
    from cli.clear_text import refuse_clear_text
    from cli.dev_stack import DevStack
    from cli.project import is_dev
    from cli.stacks import open_stack

    if is_dev(stack):
        dev = DevStack.open(typer.echo)
        dev.start_emulators()
        dev.select()
        return dev.pulumi
    pulumi = open_stack(stack)
    refuse_clear_text(pulumi)
    return pulumi


def pack_of(pulumi: Pulumi, given: Path | None) -> list[str]:
    """What makes the engine run a policy pack: the given one, else the project's as the stack's file says."""
    from cli.policy_pack import pack_arguments

    return pack_arguments(pulumi) if given is None else ["--policy-pack", str(given.resolve())]


def resources_of(pulumi: Pulumi) -> list[dict[str, Any]]:
    """What the stack has now."""
    return (pulumi.export().get("deployment") or {}).get("resources") or []


def write(file: Path | None, text: str) -> None:
    """Writes a report, if a file is named."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _place(plan: Path | None) -> Path | None:
    if plan is None:
        return None
    # A plan of an earlier run must not be taken for this one's.
    plan.unlink(missing_ok=True)
    plan.parent.mkdir(parents=True, exist_ok=True)
    return plan.resolve()
