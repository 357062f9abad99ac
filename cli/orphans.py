"""`gpuplane orphans`: nodes that cost money and that nobody has asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    expired: Annotated[
        bool,
        typer.Option("--expired", help="Instead: nodes of the state that are past their expiresAt."),
    ] = False,
    end: Annotated[
        bool, typer.Option("--end", help="End the nodes found, and wait until their clouds confirm it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --end: don't ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Lists nodes that carry this stack's id and that its state does not have; with --end, ends them.

    Asks every credential set of the stack, then reads the state, so a node is never shown because it was made
    in between. --end refuses while an engine works on the stack, or while a launch of a killed one may still
    take effect. Nodes of another stack, and those that the control plane has launched, are never touched.

    When a node expires is known from the state alone: of a node that no state has, nobody knows it.
    """
    import json

    from cli.orphan_table import as_data, as_table
    from cli.orphans_found import end_all, find, refuse_if_busy
    from cli.session import open_session
    from cli.stacks import open_stack

    session = open_session(open_stack(stack))
    found = find(session, expired=expired)
    ended: dict[str, str] = {}
    if end and found.nodes:
        refuse_if_busy(session)
        if not yes:
            typer.echo(as_table(found), err=True)
            typer.confirm(f"End {len(found.nodes)} node(s)?", abort=True, err=True)
            # Somebody may have brought the stack up while the question stood.
            refuse_if_busy(session)
            found = found.only(find(session, expired=expired))
        ended = end_all(session, found.nodes, lambda line: typer.echo(line, err=True))
    typer.echo(json.dumps(as_data(found, ended)) if as_json else as_table(found, ended))
    for name, problem in found.not_listed.items():
        typer.echo(f"gpuplane: {name} could not be listed, so nodes may be there: {problem}", err=True)
    failed = any(came_of != "ended" for came_of in ended.values())
    if found.not_listed or failed:
        raise typer.Exit(1)
