"""When an object is ready, as tables of objects; and why a pod is not."""

from __future__ import annotations

from typing import Any

import pytest

from engine.standins.kubernetes.pods import problem, problems, selector_text, warnings
from engine.standins.kubernetes.readiness import Verdict, assess

READY, WAITS, FAILED = "ready", "waits", "failed"


class Look:
    """What else there is in the cluster."""

    def __init__(self, endpoints: list[dict[str, Any]] | None = None, mode: str = "") -> None:
        self._endpoints, self._mode = endpoints or [], mode

    def endpoints(self, service: dict[str, Any]) -> list[dict[str, Any]]:
        return self._endpoints

    def binding_mode(self, claim: dict[str, Any]) -> str:
        return self._mode


def body(kind: str, status: dict[str, Any], spec: dict[str, Any] | None = None, api: str = "apps/v1"):
    found = {"apiVersion": api, "kind": kind, "metadata": {"name": "x", "generation": 2}, "status": status}
    return {**found, **({"spec": spec} if spec is not None else {})}


def word(verdict: Verdict) -> str:
    return READY if verdict.ready else FAILED if verdict.failed else WAITS


def condition(kind: str, status: str = "True", **more: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, **more}]}


ROLLED_OUT = {"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
REVISIONS = {"currentRevision": "b", "updateRevision": "b"}
SEEN = {"observedGeneration": 2}


@pytest.mark.parametrize(
    ("status", "spec", "expected"),
    [
        (ROLLED_OUT, {"replicas": 2}, READY),
        ({**ROLLED_OUT, "observedGeneration": 1}, {"replicas": 2}, WAITS),
        ({**ROLLED_OUT, "availableReplicas": 1}, {"replicas": 2}, WAITS),
        ({**ROLLED_OUT, "updatedReplicas": 1}, {"replicas": 2}, WAITS),
        ({**ROLLED_OUT, "replicas": 3}, {"replicas": 2}, WAITS),
        (SEEN, {"replicas": 0}, READY),
        (SEEN, {}, WAITS),
        ({}, {}, WAITS),
        (
            {**SEEN, **condition("Progressing", "False", reason="ProgressDeadlineExceeded", message="m")},
            {},
            FAILED,
        ),
        (
            {"observedGeneration": 1, **condition("Progressing", "False", reason="ProgressDeadlineExceeded")},
            {},
            WAITS,
        ),
    ],
)
def test_deployments(status, spec, expected):
    assert word(assess(body("Deployment", status, spec), Look())) == expected


@pytest.mark.parametrize(
    ("status", "spec", "expected"),
    [
        ({**SEEN, **REVISIONS, "readyReplicas": 2}, {"replicas": 2}, READY),
        ({**SEEN, **REVISIONS, "readyReplicas": 1}, {"replicas": 2}, WAITS),
        ({**SEEN, "currentRevision": "a", "updateRevision": "b", "readyReplicas": 2}, {"replicas": 2}, WAITS),
        (
            {**SEEN, "currentRevision": "a", "updateRevision": "b", "readyReplicas": 2},
            {"replicas": 2, "updateStrategy": {"type": "OnDelete"}},
            READY,
        ),
        ({**REVISIONS, "readyReplicas": 2}, {"replicas": 2}, WAITS),
    ],
)
def test_stateful_sets(status, spec, expected):
    assert word(assess(body("StatefulSet", status, spec), Look())) == expected


@pytest.mark.parametrize(
    ("kind", "api", "status", "spec", "expected"),
    [
        ("Job", "batch/v1", condition("Complete"), {}, READY),
        ("Job", "batch/v1", {"succeeded": 1}, {"completions": 2}, WAITS),
        ("Job", "batch/v1", condition("Failed", message="too often"), {}, FAILED),
        ("Job", "batch/v1", condition("Failed", "False"), {}, WAITS),
        ("Job", "batch/v1", {}, {"suspend": True}, READY),
        ("Pod", "v1", {"phase": "Running", **condition("Ready")}, {}, READY),
        ("Pod", "v1", {"phase": "Running", **condition("Ready", "False")}, {}, WAITS),
        ("Pod", "v1", {"phase": "Succeeded"}, {}, READY),
        ("Pod", "v1", {"phase": "Failed"}, {}, FAILED),
        (
            "DaemonSet",
            "apps/v1",
            {**SEEN, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3},
            {},
            READY,
        ),
        (
            "DaemonSet",
            "apps/v1",
            {**SEEN, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 2},
            {},
            WAITS,
        ),
        ("DaemonSet", "apps/v1", SEEN, {}, READY),
        ("Namespace", "v1", {"phase": "Active"}, {}, READY),
        ("Namespace", "v1", {"phase": "Terminating"}, {}, WAITS),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1", condition("Established"), {}, READY),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1", {}, {}, WAITS),
        (
            "CustomResourceDefinition",
            "apiextensions.k8s.io/v1",
            condition("NamesAccepted", "False", message="taken"),
            {},
            FAILED,
        ),
        ("Ingress", "networking.k8s.io/v1", {"loadBalancer": {"ingress": [{"ip": "1"}]}}, {}, READY),
        ("Ingress", "networking.k8s.io/v1", {"loadBalancer": {}}, {}, WAITS),
        ("ConfigMap", "v1", {}, {}, READY),
        ("Service", "serving.knative.dev/v1", {}, {"selector": {"a": "b"}}, READY),
        ("Job", "batch.volcano.sh/v1alpha1", {}, {}, READY),
        ("Gateway", "gateway.networking.k8s.io/v1", {}, {}, READY),
    ],
)
def test_other_kinds(kind, api, status, spec, expected):
    assert word(assess(body(kind, status, spec, api), Look())) == expected


SELECTS = {"selector": {"a": "b"}}
ADDRESS = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}


@pytest.mark.parametrize(
    ("spec", "status", "endpoints", "expected"),
    [
        (SELECTS, {}, [{"conditions": {"ready": True}}], READY),
        (SELECTS, {}, [{"conditions": {"ready": False}}, {"conditions": {"ready": True}}], READY),
        (SELECTS, {}, [{}], READY),
        (SELECTS, {}, [{"conditions": {"ready": False}}], WAITS),
        (SELECTS, {}, [], WAITS),
        ({}, {}, [], READY),
        ({**SELECTS, "clusterIP": "None"}, {}, [], READY),
        ({**SELECTS, "type": "ExternalName"}, {}, [], READY),
        ({"type": "LoadBalancer"}, {}, [], WAITS),
        ({"type": "LoadBalancer"}, ADDRESS, [], READY),
        ({**SELECTS, "type": "LoadBalancer"}, ADDRESS, [], WAITS),
    ],
)
def test_services(spec, status, endpoints, expected):
    look = Look([{"endpoints": None}, {"endpoints": endpoints}])
    assert word(assess(body("Service", status, spec, "v1"), look)) == expected


@pytest.mark.parametrize(
    ("phase", "mode", "expected"),
    [
        ("Bound", "", READY),
        ("Pending", "Immediate", WAITS),
        ("Pending", "WaitForFirstConsumer", READY),
        ("Lost", "", FAILED),
    ],
)
def test_claims(phase, mode, expected):
    claim = body("PersistentVolumeClaim", {"phase": phase}, {}, "v1")
    assert word(assess(claim, Look(mode=mode))) == expected


def pod(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


UNSCHEDULABLE = condition("PodScheduled", "False", reason="Unschedulable", message="0/2 nodes: no GPU")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (UNSCHEDULABLE, "Unschedulable: 0/2 nodes: no GPU"),
        (condition("PodScheduled"), ""),
        ({}, ""),
        (
            {
                "containerStatuses": [
                    {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no x"}}}
                ]
            },
            "container c: ImagePullBackOff: no x",
        ),
        ({"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}, ""),
        (
            {
                "initContainerStatuses": [
                    {"name": "i", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
                ]
            },
            "container i: Error, exit code 3",
        ),
        ({"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]}, ""),
        ({"phase": "Failed", "reason": "Evicted", "message": "disk"}, "Evicted: disk"),
    ],
)
def test_what_is_wrong_with_a_pod(status, words):
    assert problem(pod("p", **status)) == words


def test_the_same_problem_of_many_pods_is_one_line():
    pods = [pod(f"p{number}", **UNSCHEDULABLE) for number in range(3)]
    assert problems([*pods, pod("fine")]) == ["Pod p0 and 2 more: Unschedulable: 0/2 nodes: no GPU"]


def test_only_warnings_are_told_each_once_the_newest_last():
    def event(reason: str, kind: str, at: str) -> dict[str, Any]:
        return {"type": kind, "reason": reason, "message": "m", "lastTimestamp": at}

    found = [event("Late", "Warning", "3"), event("Early", "Warning", "1"), event("Fine", "Normal", "2")]
    assert warnings([*found, found[0]]) == ["Early: m", "Late: m"]


def test_labels_as_a_selector():
    assert selector_text({"b": "2", "a": "1"}) == "a=1,b=2"
    assert selector_text(None) == ""
