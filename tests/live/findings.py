"""What a recording says to the questions that no document answers; docs/real-clouds.md names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.live.recorder import Call, objects


def findings(calls: Sequence[Call], node_id: str) -> dict[str, Any]:
    """What was seen of one node's life.

    Args:
        calls: The recording.
        node_id: The node; empty where none was made.
    """
    found: dict[str, Any] = {
        "rateLimitHeaders": {
            name: text
            for call in calls
            for name, text in call.headers.items()
            if "rate" in name.lower() or name.lower() == "retry-after"
        },
        "tooManyRequests": [{"body": call.body, **call.headers} for call in calls if call.status == 429],
        "pagination": sorted(
            {key for call in calls for key in ("pagination", "hasMore", "nextPage") if _has(call.body, key)}
        ),
        "refusals": [
            {"asked": call.asked, "status": call.status, "body": call.body}
            for call in calls
            if call.status >= 400
        ],
    }
    if not node_id:
        return found
    launched = next(
        call.at_s for call in calls if call.asked.startswith("POST") and node_id in str(call.body)
    )
    seen = [(call, _of(call.body, node_id)) for call in calls]
    states = [
        (round(call.at_s - launched, 1), str(one.get("status") or one.get("state")))
        for call, one in seen
        if one is not None and (one.get("status") or one.get("state"))
    ]
    lists = [
        call for call in calls if call.asked.startswith("GET") and isinstance(_first_list(call.body), list)
    ]
    found |= {
        "states": _changes(states),
        "listedAfterS": next(
            (round(c.at_s - launched, 1) for c in lists if c.at_s >= launched and _of(c.body, node_id)), None
        ),
        "regions": sorted({str(_name(one["region"])) for _, one in seen if one and one.get("region")}),
        "nameless": sum(one is not None and "name" in one and not one["name"] for _, one in seen),
        "byIdAnswers": _changes(
            [
                (round(call.at_s - launched, 1), str(call.status))
                for call in calls
                if call.asked.startswith("GET") and call.asked.endswith(f"/{node_id}")
            ]
        ),
        "deleteAnswers": [
            (round(call.at_s - launched, 1), call.status)
            for call in calls
            if (call.asked.startswith("DELETE") and node_id in call.asked)
            or call.asked.endswith("/terminate")
        ],
    }
    return found


def _of(body: Any, node_id: str) -> dict[str, Any] | None:
    return next((one for one in objects(body) if one.get("id") == node_id), None)


def _has(body: Any, key: str) -> bool:
    return isinstance(body, dict) and key in body


def _first_list(body: Any) -> Any:
    if isinstance(body, dict):
        return next((value for value in body.values() if isinstance(value, list)), None)
    return body


def _name(region: Any) -> Any:
    return region.get("name") if isinstance(region, dict) else region


def _changes(seen: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """The first of each run of equal words."""
    return [one for index, one in enumerate(seen) if not index or one[1] != seen[index - 1][1]]
