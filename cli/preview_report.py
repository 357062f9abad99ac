"""`gpuplane preview-report`: what a change will do and cost, as Markdown for a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    file: Annotated[
        str,
        typer.Argument(
            help="What `pulumi preview --json` printed; - for standard input. By default the preview is run.",
            metavar="[FILE]",
        ),
    ] = "",
    stack: StackOption = "",
    save_plan: Annotated[
        Path | None,
        typer.Option("--save-plan", help="Keep the plan of the preview here, for `gpuplane up --plan`."),
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option("--before", help="With FILE: what `pulumi stack export` printed before the preview."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the report here instead of printing it.")
    ] = None,
    offers: Annotated[
        bool, typer.Option("--offers/--no-offers", help="Ask the clouds what is to be had now.")
    ] = True,
    policies: Annotated[
        bool, typer.Option("--policies/--no-policies", help="Run the project's policy pack.")
    ] = True,
) -> None:
    """Writes a report of a preview: changes and why, cost before and after, candidates, policies, errors.

    A report is written also where the preview fails. The exit code is that of the preview; with FILE 1 for
    one that failed, and 2 where FILE is no preview. With FILE nothing is run and no cloud is asked: prices
    that it does not tell are list prices. The first line is the same for each report of a stack, so that a
    comment can be found and updated; a report has at most 60,000 bytes.
    """
    from cli.errors import REFUSED, CliError, Ended
    from cli.preview.sources import report_of_file, report_of_stack
    from cli.stacks import open_stack

    if file:
        if save_plan is not None:
            raise CliError("--save-plan is for a preview that is run: leave FILE out", REFUSED)
        text, code = report_of_file(file, before)
    else:
        if before is not None:
            raise CliError("--before is for a FILE: a preview that is run reads the state itself", REFUSED)
        plan = None if save_plan is None else save_plan.resolve()
        text, code = report_of_stack(open_stack(stack), plan, ask=offers, policies=policies)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    if code:
        raise Ended(code)
