"""The report of a preview in a CI job: which commit and run, then what `gpuplane preview-report` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.ci_engine import Previewed
from cli.ci_job import Job
from cli.ci_secrets import Secrets
from cli.errors import CliError
from cli.preview.document import Preview, read_preview
from cli.preview.lines import ACTIONS, lines_of
from cli.preview.markdown import safe
from cli.preview.offered import live_quotes
from cli.preview.quotes import wanted
from cli.preview.report import render
from cli.pulumi_cli import Pulumi


@dataclass(frozen=True, slots=True)
class Report:
    """A preview, told.

    Attributes:
        text: Markdown.
        changes: `1 created`, …; empty where nothing would change.
    """

    text: str
    changes: tuple[str, ...]


def report(
    title: str,
    pulumi: Pulumi,
    previewed: Previewed,
    job: Job,
    resources: Sequence[Mapping[str, Any]] = (),
    note: str = "",
) -> Report:
    """Tells what a preview came to.

    Args:
        title: `preview` or `drift`.
        pulumi: The stack; its clouds are asked what is to be had now.
        previewed: What it printed.
        job: It ran in; its commit and page are named.
        resources: Of the state before it.
        note: A sentence for the reader.
    """
    head = [f"### gpuplane: {title} of stack {safe(pulumi.stack)}"]
    about = [f"commit `{job.commit[:12]}`"] if job.commit else []
    about += [f"[run]({job.url})"] if job.url else []
    head += [", ".join(about)] if about else []
    head += [safe(note)] if note else []
    if previewed.error:
        head += [f"**Failed:** {safe(previewed.error, 500)}"]
    try:
        preview = read_preview(previewed.text, failed=previewed.code != 0, stack=pulumi.stack)
    except CliError:
        # It failed before it could print anything; why it did stands above.
        return Report("\n\n".join(head) + "\n", ())
    keys = wanted(lines_of(preview, resources))
    quotes, notes = live_quotes(pulumi, keys) if keys else ({}, [])
    text = render(preview, resources=resources, quotes=quotes, notes=notes)
    return Report("\n\n".join([*head, text]), _changes(preview))


def masked(previewed: Previewed, secrets: Secrets) -> Previewed:
    """A preview without secrets; before it is told, because Markdown writes a text in another way.

    Args:
        previewed: What it printed.
        secrets: Of the stack.
    """
    return Previewed(previewed.code, secrets.masked(previewed.text), secrets.masked(previewed.error))


def _changes(preview: Preview) -> tuple[str, ...]:
    actions = [line.action for line in lines_of(preview)]
    return tuple(
        f"{actions.count(action)} {word}"
        for action, word in ACTIONS.items()
        if action != "same" and action in actions
    )
