"""`gpuplane up`: the engine's up, after recovery, and with a plan only while its prices hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.stacks import StackOption

_SKIPS = {"--skip-preview", "--skip-preview=true", "-f"}


def command(
    context: typer.Context,
    stack: StackOption = "",
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", help="A plan saved by `pulumi preview --save-plan`; refused once a price has moved."
        ),
    ] = None,
) -> None:
    """Brings the stack up. All further arguments go to `pulumi up` as they are.

    First clears what a killed engine left (see `gpuplane recover`). With --plan, compares the plan's
    estimates with today's prices before the engine starts, and refuses when a node is dearer by more than
    `gpuplane:settings.priceTolerancePct` (default 10).

    The policies run too (docs/policies.md), before anything is made, even where `--skip-preview` is given;
    `gpuplane:policies.enabled: false` in the stack's file leaves them out.
    """
    from cli.clear_text import refuse_clear_text
    from cli.errors import CliError, Ended
    from cli.policy_pack import pack_arguments, refuse_broken
    from cli.recovery import recover_if_possible, what_is_left
    from cli.stacks import open_stack

    pulumi = open_stack(stack)
    refuse_clear_text(pulumi)
    pack = pack_arguments(pulumi)
    extra: dict[str, str] = {}
    arguments = list(context.args)
    if plan is not None:
        from cli.plan_check import refuse_moved_prices

        plan = plan.resolve()
        for line in refuse_moved_prices(pulumi, plan):
            typer.echo(line)
        extra["PULUMI_EXPERIMENTAL"] = "1"
        arguments = ["--plan", str(plan), *arguments]
    for line in recover_if_possible(pulumi):
        typer.echo(line)
    if _SKIPS & set(arguments):
        refuse_broken(pulumi, pack)
    try:
        pulumi.stream("up", *pack, *arguments, extra=extra)
    except Ended as end:
        if left := what_is_left(pulumi):
            if end.code > 128:
                typer.echo(err=True)  # A killed engine has not ended its line.
            raise CliError(left, end.code) from None
        raise
