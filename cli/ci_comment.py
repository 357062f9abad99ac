"""`gpuplane ci comment`: any Markdown file as one comment that is updated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    file: Annotated[Path, typer.Argument(help="Markdown file.")],
    stack: StackOption = "",
    kind: Annotated[str, typer.Option(help="Which comment; each kind and stack has one.")] = "report",
) -> None:
    """Keeps one comment at the pull or merge request of this job; goes to its summary where it may not."""
    from cli.ci_job import job_in
    from cli.ci_publish import comment, summarize
    from cli.errors import CliError

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise CliError(f"{file} can not be read") from None
    job = job_in(os.environ)
    done = comment(job, kind, stack, text, typer.echo)
    if done is None:
        summarize(job, text, typer.echo)
    else:
        typer.echo(f"comment {done.what}: {done.url}")
