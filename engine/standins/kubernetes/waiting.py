"""Waits until an object is ready, or gone."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.standins.kubernetes.cluster import ApiRefused, Cluster, UnknownKind, Unreachable
from engine.standins.kubernetes.objects import (
    SKIP_AWAIT,
    TIMEOUT_SECONDS,
    annotation,
    full_name,
    is_own,
    metadata,
)
from engine.standins.kubernetes.pods import problems, selector_text, warnings
from engine.standins.kubernetes.readiness import assess
from engine.standins.kubernetes.values import Object

#: As long as the official plugin waits for most kinds.
DEFAULT_S = 600.0
_LOOK_S = 0.4

#: Tells the person who waits: one line.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Waited:
    """How a wait ended.

    Attributes:
        live: the object as last seen.
        reasons: why it is not ready; empty when it is.
    """

    live: Object
    reasons: list[str]


class ClusterLook:
    """What a rule of readiness may look at, read from the cluster.

    Args:
        cluster: where.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def endpoints(self, service: Object) -> list[Object]:
        """The EndpointSlices of a Service."""
        names = metadata(service)
        selector = f"kubernetes.io/service-name={names['name']}"
        return self._cluster.list("discovery.k8s.io/v1", "EndpointSlice", names["namespace"], selector)

    def binding_mode(self, claim: Object) -> str:
        """`volumeBindingMode` of a claim's storage class; empty if that is not known."""
        name = (claim.get("spec") or {}).get("storageClassName")
        if not name:
            return ""
        found = self._cluster.get(
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
        )
        return str((found or {}).get("volumeBindingMode") or "")


def seconds_for(body: Object, asked: float) -> float:
    """How long to wait for an object.

    Args:
        body: may have an annotation that says it.
        asked: the engine's `customTimeouts`; 0 without.
    """
    if asked > 0:
        return asked
    try:
        return float(annotation(body, TIMEOUT_SECONDS) or DEFAULT_S)
    except ValueError:
        return DEFAULT_S


def until_ready(
    cluster: Cluster,
    live: Object,
    seconds: float,
    stop: threading.Event,
    tell: Tell,
    now: Callable[[], float] = time.monotonic,
) -> Waited:
    """Waits until an object is ready, has failed for good, the time is over, or the engine cancels.

    Args:
        cluster: where it is.
        live: as it was just stored.
        seconds: how long at most.
        stop: set when the engine cancels.
        tell: is told what is waited for, whenever that changes.
        now: tells seconds.
    """
    if annotation(live, SKIP_AWAIT) == "true":
        return Waited(live, [])
    end, told, look = now() + seconds, "", ClusterLook(cluster)
    while True:
        verdict = assess(live, look)
        if verdict.ready:
            return Waited(live, [])
        if verdict.failed:
            return Waited(live, why_not(cluster, live, verdict.message))
        if stop.is_set():
            return Waited(live, why_not(cluster, live, f"cancelled while waiting: {verdict.message}"))
        if now() > end:
            words = f"not ready after {seconds:.0f} s: {verdict.message}"
            return Waited(live, why_not(cluster, live, words))
        words = "; ".join([verdict.message, *pod_problems(cluster, live)][:2])
        if words != told:
            tell(f"waiting: {words}")
            told = words
        stop.wait(_LOOK_S)
        found = cluster.get(live)
        if found is None or metadata(found).get("uid") != metadata(live).get("uid"):
            return Waited(live, [f"{full_name(live)} was deleted by somebody else while it was waited for"])
        live = found


def why_not(cluster: Cluster, live: Object, first: str) -> list[str]:
    """The reasons why an object is not ready: its own, those of its pods, and warnings about it.

    Args:
        cluster: where it is.
        live: the object.
        first: the first reason.
    """
    reasons = [first, *pod_problems(cluster, live)]
    names = metadata(live)
    uid = str(names.get("uid"))
    try:
        found = cluster.list("v1", "Event", names.get("namespace"), fields=f"involvedObject.uid={uid}")
    except (ApiRefused, UnknownKind, Unreachable):
        return reasons  # who may not read events gets the other words
    return list(dict.fromkeys([*reasons, *warnings(found)]))


def pod_problems(cluster: Cluster, live: Object) -> list[str]:
    """What is wrong with the pods of an object.

    Args:
        cluster: where it is.
        live: the object.
    """
    if live.get("kind") == "Pod":
        return problems([live])
    selector = (live.get("spec") or {}).get("selector") or {}
    labels = selector_text(selector if live.get("kind") == "Service" else selector.get("matchLabels"))
    if not labels or not is_own(str(live.get("apiVersion"))):
        return []
    try:
        return problems(cluster.list("v1", "Pod", metadata(live).get("namespace"), labels))
    except (ApiRefused, UnknownKind, Unreachable):
        return []


def until_gone(
    cluster: Cluster,
    body: Object,
    seconds: float,
    stop: threading.Event,
    tell: Tell,
    now: Callable[[], float] = time.monotonic,
) -> str:
    """Waits until an object, with this very uid, is gone.

    Args:
        cluster: where it was.
        body: names it.
        seconds: how long at most.
        stop: set when the engine cancels.
        tell: is told when it takes long.
        now: tells seconds.

    Returns:
        Why it is still there; empty when it is gone.
    """
    end, uid, told = now() + seconds, metadata(body).get("uid"), False
    while True:
        live = cluster.get(body)
        if live is None or (uid and metadata(live).get("uid") != uid):
            return ""
        left = metadata(live).get("finalizers") or []
        if stop.is_set() or now() > end:
            how = "cancelled" if stop.is_set() else f"not gone after {seconds:.0f} s"
            return f"{how}: {full_name(live)} still has the finalizers {left}"
        if not told:
            tell(f"waiting for the end of {full_name(live)}")
            told = True
        stop.wait(_LOOK_S)
