"""The faults of the API, as far as they hit any call: before it has an effect, or after."""

from __future__ import annotations

from emulators.cloud import Frame
from emulators.faults import Fault
from emulators.http import Answer, CutConnection, Request
from emulators.runpod.fleet import Fleet
from emulators.runpod.problems import Refusal, cloudflare_page, gateway_page

FAULT_KINDS = frozenset(
    {
        # Any call to the API, nothing done:
        "error",
        "html_error_page",
        "cloudflare_403_html",
        "rate_limited",
        "slow",
        "hang",
        "cut",
        # Any call, done, and then:
        "error_after",
        "hang_after",
        "cut_after",
        # Creates:
        "create_refused",
        "create_then_500",
        "create_then_hang",
        "pool_refused",
        "no_capacity",
        "stuck_provisioning",
        "boot_fails",
        "exits",
        "unknown_state",
        "unusable",
        # GraphQL alone:
        "graphql_internal_error",
        # Starts and deletes:
        "start_no_free_gpu",
        "start_without_gpu",
        "delete_refused",
        "delete_5xx_but_deleted",
        # Traffic to nodes:
        "node_error",
        "node_slow",
        "node_hang",
        "node_cut",
    }
)
"""Every fault that can be set; docs/emulators.md says what each does."""


class Trouble:
    """What goes wrong with one call.

    Args:
        frame: Clock and faults.
        fleet: To find the name of the node that a call is about; faults may be for some names only.
        request: The call.
    """

    def __init__(self, frame: Frame, fleet: Fleet, request: Request) -> None:
        self._frame = frame
        self._request = request
        self._name = _node_name(request, fleet)

    def hits(self, kind: str, name: str | None = None) -> Fault | None:
        """The fault of this kind that hits the call, if one does."""
        return self._frame.faults.take(
            kind,
            cloud="runpod",
            method=self._request.method,
            path=self._request.path,
            name=self._name if name is None else name,
            account=self._request.account,
        )

    async def before(self) -> Answer | None:
        """Faults that leave the call without effect; None: go on."""
        if fault := self.hits("slow"):
            await self._frame.clock.sleep(fault.number("seconds", 5))
        if fault := self.hits("hang"):
            await self._hang(fault)
        if self.hits("cut"):
            raise CutConnection
        if fault := self.hits("rate_limited"):
            seconds = str(int(fault.number("retry_after_s", 12)))
            raise Refusal(429, "rate limit exceeded for the minute window", headers={"Retry-After": seconds})
        if fault := self.hits("error"):
            raise Refusal(int(fault.number("status", 500)), fault.text("detail", "internal error"))
        if fault := self.hits("html_error_page"):
            return gateway_page(int(fault.number("status", 502)))
        if self.hits("cloudflare_403_html"):
            return cloudflare_page()
        return None

    async def after(self) -> None:
        """Faults that spoil the answer of a call that has had its effect."""
        create = _launches(self._request)
        delete = self._request.route == "/v2/pods/{id}" and self._request.method == "DELETE"
        for kind, applies in (
            ("create_then_500", create),
            ("delete_5xx_but_deleted", delete),
            ("error_after", True),
        ):
            if applies and (fault := self.hits(kind)):
                raise Refusal(int(fault.number("status", 500)), fault.text("detail", "internal error"))
        for kind, applies in (("create_then_hang", create), ("hang_after", True)):
            if applies and (fault := self.hits(kind)):
                await self._hang(fault)
        if self.hits("cut_after"):
            raise CutConnection

    async def _hang(self, fault: Fault) -> None:
        await self._frame.clock.sleep(fault.number("seconds", 600))
        raise CutConnection


def _launches(request: Request) -> bool:
    """Whether the request is to make a pod, by either API."""
    if request.method != "POST":
        return False
    if request.route == "/graphql":
        return b"podRentInterruptable" in request.body or b"podFindAndDeployOnDemand" in request.body
    return request.route == "/v2/pods"


def _node_name(request: Request, fleet: Fleet) -> str:
    """Name of the node that a request is about: from the body of a create, or of the pod in the path."""
    parts = request.path.strip("/").split("/")
    if parts[0] == "graphql":
        return _node_name_in_query(request, fleet)
    if len(parts) >= 3 and parts[1] == "pods":
        pod = fleet.any(parts[2])
        return "" if pod is None else pod.name
    if request.method == "POST" and parts[-1] == "pods":
        try:
            body = request.json()
        except ValueError:
            return ""
        name = body.get("name") if isinstance(body, dict) else None
        return name if isinstance(name, str) else ""
    return ""


def _node_name_in_query(request: Request, fleet: Fleet) -> str:
    """The same for GraphQL, whose clients put everything into the variable `input`."""
    try:
        body = request.json()
    except ValueError:
        return ""
    variables = body.get("variables") if isinstance(body, dict) else None
    given = variables.get("input") if isinstance(variables, dict) else None
    if not isinstance(given, dict):
        return ""
    pod = fleet.any(str(given.get("podId", "")))
    return pod.name if pod is not None else str(given.get("name") or "")
