"""Why a pod is not ready, in words that name what has to change."""

from collections.abc import Iterable
from typing import Any

from engine.standins.kubernetes.values import Object

_SHOWN = 3
# A container waits with one of these while all goes well.
_USUAL = frozenset({"ContainerCreating", "PodInitializing"})


def problem(pod: Object) -> str:
    """What is wrong with one pod; empty when nothing is, or nothing is known yet."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', 'Unschedulable')}: {condition.get('message', '')}"
    for container in [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]:
        words = _container_problem(container)
        if words:
            return f"container {container.get('name')}: {words}"
    if status.get("phase") == "Failed":
        return f"{status.get('reason', 'Failed')}: {status.get('message', '')}"
    return ""


def _container_problem(container: Any) -> str:
    state = container.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    if waiting.get("reason") and waiting["reason"] not in _USUAL:
        return _words(waiting["reason"], waiting.get("message"))
    if ended and ended.get("exitCode", 0) != 0:
        return _words(f"{ended.get('reason', 'Error')}, exit code {ended['exitCode']}", ended.get("message"))
    return ""


def problems(pods: Iterable[Object]) -> list[str]:
    """What is wrong with pods, each different problem once."""
    names: dict[str, list[str]] = {}
    for pod in pods:
        if words := problem(pod):
            names.setdefault(words, []).append(str((pod.get("metadata") or {}).get("name")))
    return [
        f"Pod {found[0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {words}"
        for words, found in list(names.items())[:_SHOWN]
    ]


def selector_text(labels: Object | None) -> str:
    """Labels as a selector in the API's words; empty without any."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def warnings(events: Iterable[Object]) -> list[str]:
    """The newest warnings among events, each different one once."""
    found = [event for event in events if event.get("type") == "Warning"]
    found.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    words = dict.fromkeys(_words(str(event.get("reason")), event.get("message")) for event in found)
    return list(words)[-_SHOWN:]


def _words(reason: str, message: Any) -> str:
    return f"{reason}: {message}" if message else reason
