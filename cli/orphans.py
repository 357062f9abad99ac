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
    Weights caches of this stack that its file does not declare are listed, and ended, with them.

    When a node expires is known from the state alone: of a node that no state has, nobody knows it.
    """
    import json

    from cli.orphan_caches import (
        CachesFound,
        caches_as_data,
        caches_as_lines,
        end_caches,
        find_caches,
    )
    from cli.orphan_table import as_data, as_table
    from cli.orphans_found import end_all, find, refuse_if_busy
    from cli.session import open_session
    from cli.stacks import open_stack

    session = open_session(open_stack(stack))
    found = find(session, expired=expired)
    caches = CachesFound() if expired else find_caches(session)
    ended: dict[str, str] = {}
    if end and (found.nodes or caches.caches):
        refuse_if_busy(session)
        if not yes:
            typer.echo("\n".join([as_table(found), *caches_as_lines(caches)]), err=True)
            what = f" and {len(caches.caches)} weights cache(s)" if caches.caches else ""
            typer.confirm(f"End {len(found.nodes)} node(s){what}?", abort=True, err=True)
            # Somebody may have brought the stack up while the question stood.
            refuse_if_busy(session)
            found = found.only(find(session, expired=expired))
            caches = caches if expired else caches.only(find_caches(session))
        ended = end_all(session, found.nodes, lambda line: typer.echo(line, err=True))
        ended |= end_caches(session, caches.caches, lambda line: typer.echo(line, err=True))
    if as_json:
        typer.echo(json.dumps(as_data(found, ended) | {"weightsCaches": caches_as_data(caches, ended)}))
    else:
        typer.echo("\n".join([as_table(found, ended), *caches_as_lines(caches, ended)]))
    for name, problem in {**caches.not_listed, **found.not_listed}.items():
        typer.echo(f"gpuplane: {name} could not be listed, so nodes may be there: {problem}", err=True)
    failed = any(came_of != "ended" for came_of in ended.values())
    if found.not_listed or caches.not_listed or failed:
        raise typer.Exit(1)
