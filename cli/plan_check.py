"""Holds a saved plan against the prices of today, before the engine starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import REFUSED, CliError
from cli.plan import PlannedNode, Today, not_compared, price_moves, read_plan
from cli.pulumi_cli import Pulumi
from cli.state import candidate_text

if TYPE_CHECKING:
    from dynamic_providers.clouds import Shared


def refuse_moved_prices(pulumi: Pulumi, plan: Path) -> list[str]:
    """Compares every node that the plan would rent with what it would cost now.

    Args:
        pulumi: The stack.
        plan: The saved plan.

    Returns:
        What the person should know, line by line.

    Raises:
        CliError: The plan is none, or a node has become dearer by more than the tolerance.
        StackConfigError: The configuration breaks a rule.
    """
    from cli.plan_clusters import todays_clusters
    from cli.session import open_session

    planned = read_plan(plan)
    if not planned:
        return ["plan: rents no node, so no price was compared"]
    session = open_session(pulumi, may_have_none=True)
    settings = session.config.settings
    today = todays(planned, session.shared) | todays_clusters(planned, session)
    moved = price_moves(planned, today, settings.price_tolerance_pct)
    if moved:
        head = f"plan {plan.name} is refused: dearer by more than {settings.price_tolerance_pct:g} %"
        lines = "\n".join(f"  {line}" for line in moved)
        raise CliError(f"{head}; make a new plan if the price is accepted\n{lines}", REFUSED)
    unknown = not_compared(planned, today)
    compared = len(planned) - len(unknown)
    lines_out = [f"plan: the prices of {compared} node(s) hold within {settings.price_tolerance_pct:g} %"]
    if unknown:
        lines_out.append(f"plan: no price to compare for {', '.join(unknown)}; maxHourlyUsd still holds")
    return lines_out


def todays(planned: list[PlannedNode], shared: Shared) -> dict[str, Today]:
    """What each planned node would be and cost now, by the rule that the preview goes by.

    Args:
        planned: The plan's nodes.
        shared: Asks each cloud once for the same candidates.
    """
    from dynamic_providers.estimates import candidate_output, estimate
    from dynamic_providers.inputs import candidate_from
    from dynamic_providers.node_check import offers_for

    today = {}
    for node in planned:
        candidates = [candidate_from(candidate) for candidate in node.candidates]
        if candidates:
            now = estimate(candidates, offers_for(candidates, shared), node.order)
            today[node.name] = Today(candidate_text(candidate_output(now.candidate)), now.hourly_usd)
    return today
