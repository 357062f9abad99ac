"""`gpuplane ci up`: carries a saved plan out, and only that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    plan: Annotated[
        Path | None, typer.Option("--plan", help="What `gpuplane ci preview --save-plan` saved.")
    ] = None,
) -> None:
    """Brings the stack up without a question.

    A plan is refused when it was made for another stack or commit, when it was changed since, and when a node
    has become dearer than it says by more than `gpuplane:settings.priceTolerancePct`. The engine then does
    what the plan says or fails. When the job is cancelled the engine ends in order.
    """
    from cli.ci_engine import run_up
    from cli.ci_job import job_in
    from cli.ci_plan import refuse_other
    from cli.ci_preview import opened
    from cli.ci_publish import summarize
    from cli.cost_table import as_table
    from cli.errors import CliError, Ended
    from cli.plan_check import refuse_moved_prices
    from cli.policy_pack import pack_arguments
    from cli.recovery import recover_if_possible, what_is_left
    from cli.state import nodes_in

    job = job_in(os.environ)
    pulumi = opened(stack)
    pack = pack_arguments(pulumi)
    if plan is not None:
        plan = plan.resolve()
        refuse_other(plan, pulumi.stack, job.commit)
        for line in refuse_moved_prices(pulumi, plan):
            typer.echo(line)
    for line in recover_if_possible(pulumi):
        typer.echo(line)
    try:
        run_up(pulumi, plan, pack)
    except Ended as end:
        if left := what_is_left(pulumi):
            raise CliError(left, end.code) from None
        raise
    table = as_table(pulumi.stack, nodes_in(pulumi.export()))
    summarize(job, f"### gpuplane: stack `{pulumi.stack}` is up\n\n```\n{table}\n```\n", typer.echo)
