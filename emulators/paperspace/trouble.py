"""The faults of the API, as far as they hit any call: before it has an effect, or after."""

from __future__ import annotations

from emulators.cloud import Frame
from emulators.faults import Fault
from emulators.http import Answer, CutConnection, Request
from emulators.paperspace.fleet import Fleet
from emulators.paperspace.problems import Refusal, error_page

FAULT_KINDS = frozenset(
    {
        # Any call to the API, nothing done:
        "error",
        "html_error_page",
        "rate_limited",
        "ok_body_with_error_code",
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
        "no_capacity",
        "provision_forever",
        "unknown_state",
        "unusable",
        # Starts and deletes:
        "start_conflict",
        "start_no_capacity",
        "delete_refused",
        "delete_5xx_but_deleted",
        # Traffic to nodes:
        "node_error",
        "node_slow",
        "node_hang",
        "node_cut",
    }
)
"""Every fault that can be set; docs/clouds/paperspace.md says what each does."""


class Trouble:
    """What goes wrong with one call.

    Args:
        frame: Clock and faults.
        fleet: To find the name of the machine that a call is about; faults may be for some names only.
        request: The call.
        path: Its path below the API's base.
    """

    def __init__(self, frame: Frame, fleet: Fleet, request: Request, path: str) -> None:
        self._frame = frame
        self._request = request
        self._path = path
        self._name = _node_name(request, path, fleet)

    def hits(self, kind: str) -> Fault | None:
        """The fault of this kind that hits the call, if one does."""
        return self._frame.faults.take(
            kind,
            cloud="paperspace",
            method=self._request.method,
            path=self._path,
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
            told = {"Retry-After": str(int(fault.number("retry_after_s", 0)))} if fault.args else {}
            raise Refusal(429, "Too many requests", headers=told)
        if fault := self.hits("error"):
            raise Refusal(int(fault.number("status", 500)), fault.text("message", "Internal server error"))
        if fault := self.hits("ok_body_with_error_code"):
            status = int(fault.number("status", 500))
            raise Refusal(status, fault.text("message", "Internal server error"), answered=200)
        if fault := self.hits("html_error_page"):
            return error_page(int(fault.number("status", 502)))
        return None

    async def after(self) -> None:
        """Faults that spoil the answer of a call that has had its effect."""
        create = self._path == "/machines" and self._request.method == "POST"
        delete = self._path.startswith("/machines/") and self._request.method == "DELETE"
        for kind, applies in (
            ("create_then_500", create),
            ("delete_5xx_but_deleted", delete),
            ("error_after", True),
        ):
            if applies and (fault := self.hits(kind)):
                raise Refusal(
                    int(fault.number("status", 500)), fault.text("message", "Internal server error")
                )
        for kind, applies in (("create_then_hang", create), ("hang_after", True)):
            if applies and (fault := self.hits(kind)):
                await self._hang(fault)
        if self.hits("cut_after"):
            raise CutConnection

    async def _hang(self, fault: Fault) -> None:
        await self._frame.clock.sleep(fault.number("seconds", 600))
        raise CutConnection


def _node_name(request: Request, path: str, fleet: Fleet) -> str:
    """Name of the machine, or of another object being made, that a request is about; empty if of none."""
    parts = path.strip("/").split("/")
    if len(parts) >= 2 and parts[0] == "machines":
        machine = fleet.any(parts[1])
        return "" if machine is None else machine.name
    if request.method == "POST":
        try:
            body = request.json()
        except ValueError:
            return ""
        name = body.get("name") if isinstance(body, dict) else None
        return name if isinstance(name, str) else ""
    return ""
