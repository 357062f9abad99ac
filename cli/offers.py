"""`gpuplane offers`: what can be rented now, and for how much."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.stacks import StackOption


def command(
    stack: StackOption = "",
    gpu: Annotated[
        list[str] | None, typer.Option("--gpu", "-g", help="Only this GPU; may be given several times.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="GPUs in the node; 1 if left out.")
    ] = None,
    region: Annotated[
        str,
        typer.Option("--region", "-r", help="Only in this region: a group (eu-central) or a cloud's own id."),
    ] = "",
    cloud: Annotated[
        list[str] | None, typer.Option("--cloud", help="Only of this cloud; may be given several times.")
    ] = None,
    capacity: Annotated[
        Literal["on_demand", "spot"] | None,
        typer.Option("--capacity", help="How the node is rented; on_demand if left out."),
    ] = None,
    max_usd: Annotated[
        float | None,
        typer.Option("--max-usd", min=0, help="Only up to this price of the node, USD per hour."),
    ] = None,
    available: Annotated[
        bool, typer.Option("--available", help="Leave out what its cloud says is sold out.")
    ] = False,
    cluster: Annotated[
        str, typer.Option("--cluster", "-c", help="The candidates of this cluster instead of everything.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Shows price and availability over all clouds of the stack, cheapest first.

    Prices are for the whole node. Where a cloud tells none before a create, its list price is shown with its
    date. A cloud that can't be asked is named on standard error; if none can, the command fails.
    """
    import json

    from cli.errors import CliError
    from cli.offers_table import Filters, as_data, as_table, candidates_of, find_offers, shown
    from cli.session import open_session
    from cli.stacks import open_stack

    session = open_session(open_stack(stack))
    filters = Filters(tuple(gpu or ()), count, region, tuple(cloud or ()), capacity, max_usd, available)
    candidates = candidates_of(session.config, filters, cluster)
    offers, problems = find_offers(session, candidates)
    kept = shown(offers, filters)
    for name, problem in problems.items():
        typer.echo(f"gpuplane: {name} could not be asked: {problem}", err=True)
    typer.echo(json.dumps(as_data(session.pulumi.stack, kept, problems)) if as_json else as_table(kept))
    if problems and len(problems) == len({candidate.credentials for candidate in candidates}):
        raise CliError("no cloud could be asked")
