"""Nodes that should perhaps not be there, as a table and as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.orphans_found import Findings, Found
from cli.table import table, usd

_NOTHING: Mapping[str, str] = {}


def as_data(findings: Findings, ended: Mapping[str, str] = _NOTHING) -> dict[str, Any]:
    """The findings as plain data.

    Args:
        findings: What was found.
        ended: Id of a node -> `ended`, or why it was not.
    """
    return {
        "stack": findings.stack,
        "stackId": findings.stack_id,
        "nodes": [{**_node(found), "cameOf": ended.get(found.instance.id)} for found in findings.nodes],
        "totalHourlyUsd": _total(findings),
        "notListed": dict(findings.not_listed),
    }


def as_table(findings: Findings, ended: Mapping[str, str] = _NOTHING) -> str:
    """The same for a person."""
    what = "expired node" if findings.expired else "orphan"
    if not findings.nodes:
        return f"stack {findings.stack} ({findings.stack_id}) has no {what}"
    rows = [("NODE", "ID", "WHERE", "WHAT", "STATE", "SINCE", "USD/HOUR", "WHY")]
    for found in findings.nodes:
        seen = found.instance
        since = seen.created_at.strftime("%Y-%m-%d %H:%M") if seen.created_at else "unknown"
        came_of = ended.get(seen.id)
        why = f"expired {found.expires_at:%Y-%m-%d %H:%M}" if found.expires_at else found.reason
        rows.append(
            (
                found.node,
                seen.id,
                f"{seen.cloud} {seen.region} ({found.credentials})",
                f"{seen.gpu} x{seen.gpu_count}",
                str(seen.state),
                since,
                usd(seen.hourly_usd),
                why if came_of is None else came_of,
            )
        )
    text = table(rows, right=(6,))
    if ended:
        return text
    return (
        f"{text}\n{len(findings.nodes)} {what}(s), {usd(_total(findings))} USD per hour; "
        f"`gpuplane orphans {'--expired ' if findings.expired else ''}--end` ends them"
    )


def _node(found: Found) -> dict[str, Any]:
    seen = found.instance
    return {
        "node": found.node,
        "id": seen.id,
        "name": seen.name,
        "cloud": seen.cloud,
        "credentials": found.credentials,
        "region": seen.region,
        "gpu": seen.gpu,
        "gpuCount": seen.gpu_count,
        "state": str(seen.state),
        "createdAt": seen.created_at.isoformat() if seen.created_at else None,
        "hourlyUsd": seen.hourly_usd,
        "reason": found.reason,
        "expiresAt": found.expires_at.isoformat() if found.expires_at else None,
    }


def _total(findings: Findings) -> float:
    return round(sum(found.instance.hourly_usd or 0.0 for found in findings.nodes), 6)
