"""`gpuplane spend`: what the stack has cost, held against what it should."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    since: Annotated[
        str,
        typer.Option(
            "--since", help="Count from here: 2026-11-01, 2026-11-01T08:00+01:00, 36h or 7d; UTC by default."
        ),
    ] = "",
    month: Annotated[
        str, typer.Option("--month", help="Count one month, such as 2026-11, UTC; by default this one.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Shows for each node and SkyPilot cluster what it should have cost, what it did cost, and idle money.

    Estimated is the price in the state x running hours. Actual is RunPod's billing, SkyPilot's cost report,
    elsewhere running hours x the price that the cloud shows now. Idle money is what was paid while nobody
    used a node, by the gateway's ledger or a cluster's jobs. What nobody knows is shown as unknown and is in
    no total. Exit code 1: something did not answer; the rest is shown. docs/spend.md.
    """
    import json
    from datetime import UTC, datetime

    from cli.session import open_session
    from cli.spend_period import read_period
    from cli.spend_read import read_spending
    from cli.spend_table import as_data, as_table
    from cli.stacks import open_stack

    now = datetime.now(UTC)
    period = read_period(since, month, now)
    spending = read_spending(open_session(open_stack(stack), may_have_none=True), period, now)
    typer.echo(json.dumps(as_data(spending)) if as_json else as_table(spending))
    for name, problem in spending.problems.items():
        typer.echo(f"gpuplane: {name} could not be read: {problem}", err=True)
    if spending.failed:
        raise typer.Exit(1)
