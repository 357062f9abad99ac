"""Previews as the engine prints them, made of the parts that a test cares for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

NODE = "pulumi-python:dynamic/gpu:GpuNode"
GUARD = "pulumi-python:dynamic/gpu:LeakGuard"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}
Event = dict[str, Any]


def urn(name: str, kind: str = NODE) -> str:
    return f"urn:pulumi:test::gpuplane::{kind}::{name}"


def candidate(gpu: str = "RTX4090", **more: Any) -> dict[str, Any]:
    return {"cloud": "runpod", "credentials": "main", "gpu": gpu, "region": "EU-RO-1", **more}


def state(name: str, kind: str = NODE, cluster: str = "", **parts: Any) -> dict[str, Any]:
    """A resource's state: `inputs`, `outputs`, `id`."""
    parent = urn(cluster, "gpuplane:gpu:GpuCluster") if cluster else ""
    return {"urn": urn(name, kind), "type": kind, "parent": parent, **parts}


def living(name: str, usd: float | None, cluster: str = "chat", **inputs: Any) -> dict[str, Any]:
    """The state of a node that is there."""
    outputs = {"candidate": candidate(), **({} if usd is None else {"hourlyUsd": usd})}
    inputs = {"candidates": [candidate()], "node": name, **inputs}
    return state(name, cluster=cluster, id=f"id-{name}", inputs=inputs, outputs=outputs)


def planned(name: str, usd: float | None, cluster: str = "chat", **inputs: Any) -> dict[str, Any]:
    """The state that a preview shows of a node to come."""
    told = {"estimatedHourlyUsd": usd, "estimateSource": "runpod catalogue", "estimateDate": "2026-11-27"}
    outputs = {"candidate": candidate(), **({} if usd is None else told)}
    inputs = {"candidates": [candidate()], "node": name, **inputs}
    return state(name, cluster=cluster, inputs=inputs, outputs=outputs)


def step(
    op: str,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    diff: Mapping[str, str] | None = None,
) -> list[Event]:
    """Both events of a step: the first knows no outputs yet."""
    of = dict(new or old or {})
    first = None if new is None else {key: value for key, value in new.items() if key != "outputs"}
    detailed = {path: {"diffKind": kind, "inputDiff": True} for path, kind in (diff or {}).items()}
    told = {"op": op, "urn": of["urn"], "type": of["type"], "old": old, "detailedDiff": detailed or None}
    return [
        {"resourcePreEvent": {"metadata": {**told, "new": first}, "planning": True}},
        {"resOutputsEvent": {"metadata": {**told, "new": new}, "planning": True}},
    ]


def said(text: str, severity: str = "error", name: str = "") -> Event:
    about = {"urn": urn(name)} if name else {}
    return {"diagnosticEvent": {"prefix": f"{severity}: ", "message": text, "severity": severity, **about}}


def found(policy: str, text: str, name: str, level: str = "mandatory") -> Event:
    return {
        "policyEvent": {
            "resourceUrn": urn(name),
            "message": f"What the policy is for.\n{text}\n",
            "policyName": policy,
            "policyPackName": "gpuplane",
            "enforcementLevel": level,
            "severity": "high",
        }
    }


def stream(*parts: Event | Iterable[Event], result: str = "succeeded") -> str:
    """The text of a preview, one event a line."""
    events: list[Event] = [{"preludeEvent": {"config": {}}}]
    for part in parts:
        events += [part] if isinstance(part, dict) else list(part)
    events += [{"summaryEvent": {"isPreview": True, "result": result}}, {"cancelEvent": {}}]
    return "\n".join(
        json.dumps({"sequence": number, "timestamp": 0, **event}) for number, event in enumerate(events)
    )
