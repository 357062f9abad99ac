"""What the stack costs before and after, and by cluster where nodes are folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cli.preview.amounts import Amount, change, total, usd
from cli.preview.document import Preview
from cli.preview.lines import Line
from cli.preview.markdown import safe, table
from cli.preview.quotes import Quotes, saving
from cli.state import HOURS_A_MONTH


def before_and_after(lines: Iterable[Line]) -> tuple[Amount, Amount]:
    """What lines cost now, and once the change is made."""
    known = list(lines)
    return (
        total(line.before.amount for line in known if line.before is not None),
        total(line.after.amount for line in known if line.after is not None),
    )


def cost_totals(preview: Preview, lines: Sequence[Line], quotes: Quotes) -> str:
    """The totals in one or two sentences, what is not in them, and what spot saves."""
    priced = [line for line in lines if line.is_priced]
    before, after = before_and_after(priced)
    further = [*_not_in_totals(preview, priced, before, after), *_spot(priced, quotes)]
    parts = [_headline(preview, priced, before, after), "\n".join(f"- {line}" for line in further)]
    return "\n\n".join(part for part in parts if part)


def _headline(preview: Preview, priced: Sequence[Line], before: Amount, after: Amount) -> str:
    hours = f"{HOURS_A_MONTH} hours"
    if not priced:
        return "Nothing here is billed by the hour." if preview.is_complete else ""
    if not preview.is_complete:
        return (
            f"**Cost now: {before.hour()} USD/hour, {before.month()} USD/month ({hours}).** "
            "What it would be is not known, because the preview failed."
        )
    if before == after:
        return f"**Cost: {after.hour()} USD/hour, {after.month()} USD/month ({hours}), as before.**"
    return (
        f"**Cost: {before.hour()} → {after.hour()} USD/hour ({change(before, after)}), "
        f"{before.month()} → {after.month()} USD/month of {hours} ({change(before, after, HOURS_A_MONTH)}).**"
    )


def cost_section(lines: Sequence[Line], rows: int, cell: int) -> str:
    """A row for each cluster, where there are several.

    Args:
        lines: All of them.
        rows: How many clusters are listed.
        cell: Characters of a name.
    """
    clusters: dict[str, list[Line]] = {}
    for line in lines:
        if line.is_priced:
            clusters.setdefault(line.parent or line.name, []).append(line)
    if len(clusters) < 2:
        return ""
    by_cost = sorted(clusters.items(), key=lambda item: -before_and_after(item[1])[1].high)
    found = [_cluster_row(safe(name, cell), members) for name, members in by_cost[:rows]]
    if len(by_cost) > rows:
        rest = [line for _, members in by_cost[rows:] for line in members]
        found.append(_cluster_row(f"… {len(by_cost) - rows} more", rest))
    return table(("Cluster", "Now", "Then", "USD/hour", "USD/month"), found, right=(1, 2, 3, 4))


def amounts(before: Amount | None, after: Amount | None, *, monthly: bool = False) -> str:
    """`3.99`, or `0.44 → 0.43` where it moves."""
    texts = [(each.month() if monthly else each.hour()) for each in (before or Amount(), after or Amount())]
    return texts[1] if texts[0] == texts[1] else " → ".join(texts)


def _cluster_row(name: str, members: Sequence[Line]) -> tuple[str, ...]:
    before, after = before_and_after(members)
    now = sum(line.before is not None for line in members)
    then = sum(line.after is not None for line in members)
    return (name, str(now), str(then), amounts(before, after), amounts(before, after, monthly=True))


def _not_in_totals(preview: Preview, priced: Sequence[Line], before: Amount, after: Amount) -> list[str]:
    told = []
    unknown = max(before.unknown, after.unknown if preview.is_complete else 0)
    if unknown:
        many = "1 price that is" if unknown == 1 else f"{unknown} prices that are"
        told.append(f"Not in the totals: {many} not known.")
    scopes = dict.fromkeys(line.after.scope for line in priced if line.after is not None and line.after.scope)
    told += [f"Kubernetes: {safe(scope)}." for scope in scopes]
    same = sum(line.action == "same" for line in priced)
    if preview.unseen and not same:
        told.append(
            f"Not in the totals: {preview.unseen} unchanged that the preview did not print (`--show-sames`)."
        )
    if preview.short and (unknown or preview.failed):
        told.append(
            "This form of `pulumi preview --json` has neither estimates nor findings of policies; "
            "`PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true` brings them."
        )
    return told


def _spot(priced: Sequence[Line], quotes: Quotes) -> list[str]:
    found = saving(priced, quotes)
    told = []
    if found.spot_nodes:
        told.append(
            f"{_nodes(found.spot_nodes)} on spot: {_hour_and_month(found.saved_usd)} less than on demand."
        )
    if found.other_nodes:
        told.append(
            f"{_nodes(found.other_nodes)} on demand: on spot {_hour_and_month(found.possible_usd)} less."
        )
    return told


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _hour_and_month(hourly: float) -> str:
    return f"{usd(hourly)} USD/hour ({usd(hourly * HOURS_A_MONTH)} USD/month)"
