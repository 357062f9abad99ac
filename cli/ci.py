"""`gpuplane ci`: what a project's pipelines run; the workflow files only call these (docs/ci.md)."""

from __future__ import annotations

import typer

from cli import ci_comment, ci_drift, ci_preview, ci_unlock, ci_up

app = typer.Typer(
    name="ci",
    help="What pipelines run: preview with one comment, up from a saved plan, drift, locks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("preview")(ci_preview.command)
app.command("comment")(ci_comment.command)
app.command("up")(ci_up.command)
app.command("drift")(ci_drift.command)
app.command("unlock")(ci_unlock.command)
