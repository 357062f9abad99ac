"""Where a report comes from: a file, or a preview that is run. All reading and asking is here."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cli.errors import FAILED, REFUSED, CliError
from cli.policy_pack import pack_arguments
from cli.preview.document import Preview, loads, read_preview
from cli.preview.lines import lines_of
from cli.preview.messages import Message
from cli.preview.offered import catalogue_quotes, live_quotes
from cli.preview.quotes import wanted
from cli.preview.report import render
from cli.pulumi_cli import Done, Pulumi, error_line

STREAMING = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"}
"""Makes `pulumi preview --json` print its events, which have prices and findings of policies."""


def report_of_file(file: str, before: Path | None) -> tuple[str, int]:
    """The report of a preview that somebody ran.

    Args:
        file: What it printed; `-` for standard input.
        before: An exported state; None for none.

    Returns:
        The report, and 1 for a preview that failed.

    Raises:
        CliError: A file can not be read or is something else.
    """
    preview = read_preview(_read(file))
    resources = [] if before is None else _resources(_json(before))
    quotes = catalogue_quotes(wanted(lines_of(preview, resources)))
    return render(preview, resources=resources, quotes=quotes), FAILED if preview.failed else 0


def report_of_stack(pulumi: Pulumi, plan: Path | None, *, ask: bool, policies: bool) -> tuple[str, int]:
    """Runs the preview of a stack and reports it.

    Args:
        pulumi: The stack.
        plan: Where its plan is kept; None for nowhere.
        ask: Ask the clouds what is to be had.
        policies: Run the policy pack of the project, where it has one.

    Returns:
        The report, and the exit code of the preview.
    """
    arguments = ["preview", "--json", "--show-sames"]
    arguments += _pack(pulumi) if policies else []
    extra = dict(STREAMING)
    if plan is not None:
        arguments += ["--save-plan", str(plan)]
        extra["PULUMI_EXPERIMENTAL"] = "1"
    resources = _state(pulumi)
    done = pulumi.run(*arguments, extra=extra)
    preview = _preview(done, pulumi.stack)
    keys = wanted(lines_of(preview, resources))
    quotes, notes = live_quotes(pulumi, keys) if ask and keys else (catalogue_quotes(keys), [])
    return render(preview, resources=resources, quotes=quotes, notes=notes), done.code


def _preview(done: Done, stack: str) -> Preview:
    """The preview; where the engine stopped before it began, what it said."""
    failed = done.code != 0
    if not done.stdout.strip():
        said = Message("error", error_line(done.stderr))
        return Preview(stack=stack, messages=(said,) if failed else (), failed=failed)
    return read_preview(done.stdout, failed=failed, stack=stack)


def _pack(pulumi: Pulumi) -> list[str]:
    """The policy pack; none where the stack's file is wrong: the preview then says why."""
    from stack_config.errors import StackConfigError

    try:
        return pack_arguments(pulumi)
    except StackConfigError:
        return []


def _state(pulumi: Pulumi) -> list[Mapping[str, Any]]:
    """The resources of the state; none where it can not be read: the preview then says why."""
    try:
        return _resources(pulumi.export())
    except CliError:
        return []


def _resources(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    deployment = state.get("deployment")
    found: Iterable[Any] = (deployment.get("resources") or []) if isinstance(deployment, dict) else []
    return [resource for resource in found if isinstance(resource, dict)]


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise CliError(f"{file} can not be read: {reason}", REFUSED) from None


def _json(file: Path) -> Mapping[str, Any]:
    try:
        state = loads(_read(str(file)))
    except ValueError:
        state = None
    if not isinstance(state, dict) or "deployment" not in state:
        raise CliError(f"{file} is not what `pulumi stack export` prints", REFUSED)
    return state
