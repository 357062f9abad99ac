"""How rows are written, and what can go wrong with any call that a node's life is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.faults.fault import Fault

Trouble = tuple[str, Mapping[str, Any]]

TROUBLES: Mapping[str, Trouble] = {
    "500": ("error", {"status": 500}),
    "503": ("error", {"status": 503}),
    "502 as a web page": ("html_error_page", {"status": 502}),
    "429 with Retry-After": ("rate_limited", {"retry_after_s": 7}),
    "an answer after 20 s": ("slow", {"seconds": 20}),
    "no answer, no effect": ("hang", {"seconds": 600}),
    "cut before it has an effect": ("cut", {}),
    "500 after its effect": ("error_after", {"status": 500}),
    "no answer, but an effect": ("hang_after", {"seconds": 600}),
    "cut after its effect": ("cut_after", {}),
}

CALLS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "runpod": {
        "list": {"method": "GET", "path": "/v2/pods"},
        "launch": {"method": "POST", "path": "/v2/pods"},
        "delete": {"method": "DELETE", "path": "/v2/pods/*"},
    },
    "lambda": {
        "types": {"method": "GET", "path": "/api/v1/instance-types"},
        "keys": {"method": "GET", "path": "/api/v1/ssh-keys"},
        "new key": {"method": "POST", "path": "/api/v1/ssh-keys"},
        "list": {"method": "GET", "path": "/api/v1/instances"},
        "launch": {"method": "POST", "path": "/api/v1/instance-operations/launch"},
        "delete": {"method": "POST", "path": "/api/v1/instance-operations/terminate"},
        "delete key": {"method": "DELETE", "path": "/api/v1/ssh-keys/*"},
    },
    "paperspace": {
        "images": {"method": "GET", "path": "/os-templates"},
        "free": {"method": "GET", "path": "/machine-availability"},
        "new script": {"method": "POST", "path": "/startup-scripts"},
        "list": {"method": "GET", "path": "/machines"},
        "events": {"method": "GET", "path": "/machine-events"},
        "launch": {"method": "POST", "path": "/machines"},
        "delete": {"method": "DELETE", "path": "/machines/*"},
        "delete script": {"method": "DELETE", "path": "/startup-scripts/*"},
    },
    "vast": {
        "offers": {"method": "POST", "path": "/vast/api/v0/bundles/"},
        "list": {"method": "GET", "path": "/vast/api/v1/instances/"},
        "launch": {"method": "PUT", "path": "/vast/api/v0/asks/*"},
        "delete": {"method": "DELETE", "path": "/vast/api/v0/instances/*"},
    },
}


def always(kind: str, **arguments: Any) -> Trouble:
    """A fault that lasts."""
    return kind, {"count": 0, **arguments}


def times(count: int, kind: str, **arguments: Any) -> Trouble:
    """A fault that hits several times."""
    return kind, {"count": count, **arguments}


def row(cloud: str, name: str, *faults: str | Trouble, **more: Any) -> Fault:
    """A row before a node comes up; a fault is its kind, or its kind and arguments."""
    whole = [(one, {}) if isinstance(one, str) else one for one in faults]
    return Fault(name=name, cloud=cloud, faults=whole, **more)


def ending(cloud: str, name: str, *faults: str | Trouble, **more: Any) -> Fault:
    """A row before a node is to end."""
    return row(cloud, name, *faults, **{"at": "end", "ends": "gone", **more})


def any_call(cloud: str, trouble: str, call: str, count: int = 1, skip: int = 0, **more: Any) -> Fault:
    """One trouble with one kind of call."""
    kind, arguments = TROUBLES[trouble]
    hits = {**arguments, **CALLS[cloud][call], "count": count, "skip": skip}
    often = {0: "always ", 1: ""}.get(count, f"{count} times ")
    late = f" from the {skip + 1}th on" if skip else ""
    make = ending if call.startswith("delete") else row
    return make(cloud, f"{call}: {often}{trouble}{late}", (kind, hits), **more)


def once(cloud: str) -> list[Fault]:
    """Every trouble once with every kind of call: the user gets what was declared."""
    return [any_call(cloud, trouble, call) for call in CALLS[cloud] for trouble in TROUBLES]
