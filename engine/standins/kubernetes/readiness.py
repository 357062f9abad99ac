"""When an object is ready. One rule for each kind; a kind without a rule is ready at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.standins.kubernetes.objects import is_own
from engine.standins.kubernetes.values import Object


@dataclass(frozen=True)
class Verdict:
    """How far an object is.

    Attributes:
        ready: whether it is ready.
        message: what is waited for.
        failed: whether it will never be ready.
    """

    ready: bool
    message: str = ""
    failed: bool = False


class Look(Protocol):
    """What a rule may look at besides the object itself."""

    def endpoints(self, service: Object) -> list[Object]:
        """The EndpointSlices of a Service."""

    def binding_mode(self, claim: Object) -> str:
        """`volumeBindingMode` of a claim's storage class; empty if that is not known."""


Rule = Callable[[Object, Look], Verdict]


def assess(body: Object, look: Look) -> Verdict:
    """How far an object is.

    Args:
        body: as the server has it.
        look: for what a rule needs besides.
    """
    rule = _RULES.get(str(body.get("kind")))
    # Somebody's CRD may be called Service or Job, too.
    if rule is None or not is_own(str(body.get("apiVersion"))):
        return Verdict(True)
    return rule(body, look)


def _status(body: Object) -> Object:
    return body.get("status") or {}


def _spec(body: Object) -> Object:
    return body.get("spec") or {}


def _conditions(body: Object) -> dict[str, Object]:
    return {str(each.get("type")): each for each in _status(body).get("conditions") or []}


def _is_true(condition: Object | None) -> bool:
    return (condition or {}).get("status") == "True"


def _seen(body: Object) -> bool:
    """Whether its controller has seen the last change."""
    wanted = (body.get("metadata") or {}).get("generation", 0)
    return bool(_status(body).get("observedGeneration", 0) >= wanted)


def _count(body: Object, name: str) -> int:
    return int(_status(body).get(name) or 0)


def _wanted(body: Object) -> int:
    replicas = _spec(body).get("replicas")
    return 1 if replicas is None else int(replicas)


def _deployment(body: Object, look: Look) -> Verdict:
    want, available = _wanted(body), _count(body, "availableReplicas")
    progressing = _conditions(body).get("Progressing") or {}
    if _seen(body) and progressing.get("reason") == "ProgressDeadlineExceeded":
        return Verdict(False, str(progressing.get("message")), failed=True)
    done = (
        _seen(body)
        and _count(body, "updatedReplicas") == want == _count(body, "replicas")
        and available >= want
    )
    return Verdict(done, f"{available}/{want} Pods available")


def _stateful_set(body: Object, look: Look) -> Verdict:
    want, ready = _wanted(body), _count(body, "readyReplicas")
    status = _status(body)
    on_delete = (_spec(body).get("updateStrategy") or {}).get("type") == "OnDelete"
    updated = on_delete or status.get("currentRevision") == status.get("updateRevision")
    words = f"{ready}/{want} Pods ready" + ("" if updated else ", an update is rolling out")
    return Verdict(_seen(body) and ready == want and updated, words)


def _daemon_set(body: Object, look: Look) -> Verdict:
    want, ready = _count(body, "desiredNumberScheduled"), _count(body, "numberReady")
    done = _seen(body) and _count(body, "updatedNumberScheduled") == want == ready
    return Verdict(done, f"{ready}/{want} Pods ready")


def _job(body: Object, look: Look) -> Verdict:
    conditions = _conditions(body)
    if _is_true(conditions.get("Failed")):
        return Verdict(False, f"the Job failed: {conditions['Failed'].get('message', '')}", failed=True)
    if _spec(body).get("suspend"):
        return Verdict(True)
    want = _spec(body).get("completions") or 1
    words = f"{_count(body, 'succeeded')}/{want} Pods have succeeded"
    return Verdict(_is_true(conditions.get("Complete")), words)


def _pod(body: Object, look: Look) -> Verdict:
    phase = _status(body).get("phase", "Pending")
    ready = _is_true(_conditions(body).get("Ready")) or phase == "Succeeded"
    return Verdict(ready, f"the Pod is {phase}", failed=phase == "Failed")


def _claim(body: Object, look: Look) -> Verdict:
    phase = _status(body).get("phase", "Pending")
    if phase == "Pending" and look.binding_mode(body) == "WaitForFirstConsumer":
        return Verdict(True)  # bound when a Pod wants it
    return Verdict(phase == "Bound", f"the claim is {phase}", failed=phase == "Lost")


def _service(body: Object, look: Look) -> Verdict:
    spec = _spec(body)
    kind = spec.get("type", "ClusterIP")
    if kind == "LoadBalancer" and not (_status(body).get("loadBalancer") or {}).get("ingress"):
        return Verdict(False, "the load balancer has no address yet")
    if kind == "ExternalName" or not spec.get("selector") or spec.get("clusterIP") == "None":
        return Verdict(True)
    ready = any(_answers(point) for each in look.endpoints(body) for point in each.get("endpoints") or [])
    return Verdict(ready, "no Pod that the Service selects is ready")


def _answers(endpoint: Any) -> bool:
    # Not set means ready, says the API's reference.
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _ingress(body: Object, look: Look) -> Verdict:
    ready = bool((_status(body).get("loadBalancer") or {}).get("ingress"))
    return Verdict(ready, "the Ingress has no address yet (is there a controller for its class?)")


def _namespace(body: Object, look: Look) -> Verdict:
    return Verdict(_status(body).get("phase", "Active") == "Active", "the Namespace is not Active")


def _definition(body: Object, look: Look) -> Verdict:
    conditions = _conditions(body)
    refused = conditions.get("NamesAccepted") or {}
    if refused.get("status") == "False":
        return Verdict(False, f"its names are not accepted: {refused.get('message', '')}", failed=True)
    return Verdict(_is_true(conditions.get("Established")), "the definition is not established yet")


_RULES: dict[str, Rule] = {
    "CustomResourceDefinition": _definition,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Ingress": _ingress,
    "Job": _job,
    "Namespace": _namespace,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "Service": _service,
    "StatefulSet": _stateful_set,
}
