"""The faults of the API, as far as they hit any call: before it has an effect, or after."""

from __future__ import annotations

from emulators.cloud import Frame
from emulators.faults import Fault
from emulators.http import Answer, CutConnection, Request, html_response
from emulators.lambda_cloud.fleet import Fleet
from emulators.lambda_cloud.problems import Refusal, internal, provider_unavailable, too_many

FAULT_KINDS = frozenset(
    {
        # Any call to the API, nothing done:
        "error",
        "html_error_page",
        "provider_unavailable",
        "rate_limited",
        "slow",
        "hang",
        "cut",
        # Any call, done, and then:
        "error_after",
        "hang_after",
        "cut_after",
        # Launches:
        "create_refused",
        "create_then_500",
        "create_then_hang",
        "launch_then_500",
        "launch_then_hang",
        "no_capacity",
        "stuck_provisioning",
        "goes_unhealthy",
        "preempted",
        "unknown_state",
        "unusable",
        # Ends:
        "delete_refused",
        "delete_5xx_but_deleted",
        "terminate_twice_unknown_error",
        # Traffic to nodes:
        "node_error",
        "node_slow",
        "node_hang",
        "node_cut",
    }
)
"""Every fault that can be set; docs/clouds/lambda.md says what each does."""

_LAUNCH = "/api/v1/instance-operations/launch"
_TERMINATE = "/api/v1/instance-operations/terminate"


class Trouble:
    """What goes wrong with one call.

    Args:
        frame: Clock and faults.
        fleet: To find the name of the node that a call is about; faults may be for some names only.
        request: The call.
        share: Share of calls that answer that those behind Lambda are not available.
    """

    def __init__(self, frame: Frame, fleet: Fleet, request: Request, share: float) -> None:
        self._frame = frame
        self._fleet = fleet
        self._request = request
        self._share = share
        self._name = _node_name(request, fleet)

    def hits(self, kind: str) -> Fault | None:
        """The fault of this kind that hits the call, if one does."""
        return self._frame.faults.take(
            kind,
            cloud="lambda",
            method=self._request.method,
            path=self._request.path,
            name=self._name,
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
            refusal = too_many()
            if "retry_after_s" in fault.args:
                refusal.headers["Retry-After"] = str(int(fault.number("retry_after_s", 12)))
            raise refusal
        if self.hits("provider_unavailable") or (
            self._share and self._fleet.draw(f"provider/{self._fleet.new_id()}") < self._share
        ):
            raise provider_unavailable()
        if fault := self.hits("error"):
            raise _error(fault)
        if fault := self.hits("html_error_page"):
            status = int(fault.number("status", 502))
            return html_response(status, f"{status} Bad Gateway", "cloudflare", {"server": "cloudflare"})
        return None

    async def after(self) -> None:
        """Faults that spoil the answer of a call that has had its effect."""
        launch = self._request.route == _LAUNCH
        end = self._request.route == _TERMINATE
        for kind, applies in (
            ("create_then_500", launch),
            ("launch_then_500", launch),
            ("delete_5xx_but_deleted", end),
            ("error_after", True),
        ):
            if applies and (fault := self.hits(kind)):
                raise _error(fault)
        for kind, applies in (
            ("create_then_hang", launch),
            ("launch_then_hang", launch),
            ("hang_after", True),
        ):
            if applies and (fault := self.hits(kind)):
                await self._hang(fault)
        if self.hits("cut_after"):
            raise CutConnection

    async def _hang(self, fault: Fault) -> None:
        await self._frame.clock.sleep(fault.number("seconds", 600))
        raise CutConnection


def _error(fault: Fault) -> Refusal:
    usual = internal(int(fault.number("status", 500)))
    return Refusal(
        usual.status,
        fault.text("code", usual.code),
        fault.text("message", usual.message),
        usual.suggestion,
    )


def _node_name(request: Request, fleet: Fleet) -> str:
    """Name of the node that a request is about: from the body, or of the instance that it names."""
    parts = request.path.strip("/").split("/")
    if len(parts) == 4 and parts[2] == "instances":
        machine = fleet.any(parts[3])
        return (machine.name or "") if machine else ""
    if len(parts) != 4 or parts[2] != "instance-operations":
        return ""
    try:
        body = request.json()
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    ids = body.get("instance_ids")
    if isinstance(ids, list) and ids:
        machine = fleet.any(str(ids[0]))
        return (machine.name or "") if machine else ""
    name = body.get("name")
    return name if isinstance(name, str) else ""
